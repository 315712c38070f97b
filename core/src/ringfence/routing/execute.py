"""The attempts of one request: cleared, then recipient after recipient as its decision plans, then a receipt.

    clear ─► step: ready? ─► plan ─► grant ─► provider.run ─► events
               ▲                                    │ failed
               └──────── retry, fallback ◄──────────┘

INVARIANT: every send, the first as well as a retry, fallback, hedge or restart, asks the gate for a grant of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Container
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ringfence.errors import (
    AuditError,
    Denied,
    GateError,
    ProviderError,
    RingfenceError,
    StreamBroken,
    TimedOut,
    Unsupported,
)
from ringfence.privacy.audit.files import Busy
from ringfence.privacy.consents import Consents
from ringfence.privacy.material import utf8_bytes
from ringfence.receipt import Outcome, Receipt
from ringfence.request import Message, Request, TextPart
from ringfence.response import Event, Joined, Response
from ringfence.routing.leg import Errand, Leg, unseen
from ringfence.routing.limits import Watchdog
from ringfence.routing.record import Record, message_bytes
from ringfence.routing.runtime import Runtime
from ringfence.routing.send import Kind
from ringfence.routing.walk import Walk

if TYPE_CHECKING:
    from ringfence.policy.decision import Step
    from ringfence.privacy.gate import Cleared
    from ringfence.privacy.redaction.vault import Vault
    from ringfence.routing.hedge import Race

_log = logging.getLogger("ringfence")

CONTINUE = "Your last message was cut off. Go on exactly where it stopped. Do not repeat any of it."
"""What the next recipient is told when a broken stream is continued elsewhere."""


class Execution:
    """One request on its way. `events()` is the only execution path; when it has ended, `response` holds the answer.

    `asked` are the tools before each call of which a person can be asked.
    """

    def __init__(
        self,
        runtime: Runtime,
        request: Request,
        consents: Consents | None = None,
        *,
        kind: Kind = "answer",
        vault: Vault | None = None,
        asked: Container[str] = (),
    ) -> None:
        self._runtime = runtime
        self._kind: Kind = kind
        self._request = request
        self._asked = asked
        self._consents = consents or runtime.consents.request(tenant=request.tenant)
        # INVARIANT: one vault for a user's request, and none that two share.
        self._vault = vault or new_vault(runtime)
        self._prefix_unseen: frozenset[str] | None = None
        self._record = Record()
        self._watchdog: Watchdog | None = None
        self._errand: Errand | None = None
        self._leg: Leg | None = None
        self._joins: list[Joined] = []
        self._broken: str | None = None
        self._break: RingfenceError | None = None
        self._prefix = ""
        self._came = ""
        self.response: Response[object] | None = None
        self.receipt: Receipt | None = None
        """The receipt, once the request has ended, however it did."""

    async def events(self) -> AsyncGenerator[Event, None]:
        """Runs the request. Closing it cancels the work, and the receipt says so.

        Raises:
            InvalidRequest: a label or fact the policy does not know, or an option the provider does not know.
            Denied: the policy leaves no recipient.
            ProviderError: the last recipient that the plan allows failed.
            StreamBroken: a stream broke after its first event, and the policy does not let it go on elsewhere.
            AuditError: the record cannot be written: nothing was sent, or `response` on the error holds the answer.
        """
        runtime = self._runtime = await self._runtime.begin()
        if runtime.audit is not None:
            await _without_blocking(runtime.audit.open)
        runtime.under_way.begin()
        outcome: Outcome = "cancelled"
        failure: BaseException | None = None
        try:
            cleared = self._record.cleared = await self._clear()
            if not cleared.decision.plan:
                raise denied(cleared)
            recipients = cleared.gate.policy.recipients
            walk = Walk(
                cleared.decision.plan, runtime.retry, lambda name: runtime.providers.utilisation(recipients[name])
            )
            self._watchdog = Watchdog(runtime.timeouts)
            self._errand = Errand(
                runtime=runtime,
                request=self._request,
                record=self._record,
                kind=self._kind,
                vault=self._vault,
                asked=self._asked,
            )
            while True:
                try:
                    async with aclosing(self._send(walk, cleared)) as sending:
                        async for event in sending:
                            if self._broken is not None:
                                yield self._join(self._broken)
                            yield event
                    break
                except (ProviderError, GateError) as error:
                    cleared = self._record.cleared = await self._go_on(walk, cleared, error)
            outcome = "answered"
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            failure = error
            outcome = "denied" if isinstance(error, Denied) else "failed"
            raise
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
            try:
                await self._settle(outcome, failure)
            finally:
                runtime.under_way.end()

    async def _clear(self) -> Cleared:
        gate = self._runtime.gate
        gate.policy.check_facts(self._request.facts)
        if gate.scans_long(self._request):
            return await asyncio.to_thread(gate.clear, self._request)
        return gate.clear(self._request)

    def _send(self, walk: Walk, cleared: Cleared) -> AsyncGenerator[Event, None]:
        """What comes of the step that `walk` stands on; `_leg` is the send that answers, or the one of the step."""
        after_s = walk.hedge_after_s
        # How many tokens a prompt has is another number at every model.
        if after_s is None or self._kind == "count":
            self._leg = self._begin(walk.step, cleared=cleared)
            return self._leg.events()
        from ringfence.routing.hedge import Race  # noqa: PLC0415  (few routes hedge)

        race = Race(walk, self._record, partial(self._begin, cleared=cleared), after_s=after_s, won=self._answering)
        self._leg = race.first
        return race.events()

    def _begin(self, step: Step, *, cleared: Cleared, race: Race | None = None, hedge: bool = False) -> Leg:
        errand, watchdog, consents = self._errand, self._watchdog, self._consents
        assert errand is not None and watchdog is not None  # noqa: S101, PT018  (events() made them)
        if hedge:
            watchdog, consents = watchdog.beside(), consents.unasked()
        return Leg(errand, cleared, step, consents=consents, watchdog=watchdog, beside=race)

    def _answering(self, leg: Leg) -> None:
        self._leg = leg

    async def _go_on(self, walk: Walk, cleared: Cleared, error: ProviderError | GateError) -> Cleared:
        """Waits and moves `walk` to what is tried after `error`; returns what to send there.

        Raises:
            RingfenceError: nothing is left to try.
        """
        leg = self._leg
        assert self._watchdog is not None and leg is not None  # noqa: S101, PT018  (events() made them)
        recipient, sent = leg.step.recipient, leg.send.sent
        if isinstance(error, ProviderError):
            error.recipient = recipient
        if leg.watchdog.started:
            # INVARIANT: a stream that broke after its first event goes on only as the policy declares.
            cleared = self._after_break(leg, cleared, error)
        worst = self._record.failed(error, sent=sent)
        wait_s = walk.after(error, sent=sent)
        if wait_s is None:
            if isinstance(worst, Unsupported):
                _tell_refused(worst, cleared)
            broken = self._broken is not None and self._break is not None
            last = self._broken_for_good(recipient, error) if broken else worst
            if walk.untried:
                _tell(last, f"name {', '.join(walk.untried)} under fallback: to have it asked after a failure")
            raise last
        if self._watchdog.ends_within(wait_s):
            raise TimedOut("the request took longer than its total limit", limit="total", phase="before_first_event")
        await asyncio.sleep(wait_s)
        return cleared

    def _after_break(self, leg: Leg, cleared: Cleared, error: RingfenceError) -> Cleared:
        """What goes out after a stream broke: the same again (`restart`), or more (`continue`).

        Raises:
            StreamBroken: the policy says `fail`, or an answer like this cannot be continued.
        """
        recipient, text = leg.step.recipient, self._prefix + leg.assembler.partial_text
        self._came = text
        how = cleared.decision.on_broken_stream
        continuable = leg.assembler.only_text and self._request.output is None
        if how == "fail" or (how == "continue" and not continuable):
            raise _stream_broken(recipient, error, text) from error
        self._broken, self._break = recipient, error
        if how == "restart" or not text:
            return cleared
        self._prefix = text
        labels = frozenset(cleared.decision.labels)
        told = (
            Message("assistant", (TextPart(text, labels=labels),)),
            Message("user", (TextPart(CONTINUE, labels=labels),)),
        )
        if self._vault is not None:
            gate = self._runtime.gate
            self._prefix_unseen = self._unseen_by_all(leg.step)
            gate.remember(told[0], self._prefix_unseen, self._vault)
            gate.remember(told[1], labels, self._vault)
        return self._runtime.gate.clear_again(
            cleared, replace(self._request, messages=(*self._request.messages, *told))
        )

    def _unseen_by_all(self, step: Step) -> frozenset[str]:
        """The labels of which nobody who wrote a part of the answer saw anything, `step` the last of them."""
        labels = unseen(step)
        return labels if self._prefix_unseen is None else labels & self._prefix_unseen

    def _broken_for_good(self, recipient: str, error: RingfenceError) -> StreamBroken:
        """What the app is told when a stream broke and `recipient`, where it was to go on, failed with `error`."""
        assert self._broken is not None and self._break is not None  # noqa: S101, PT018  (the caller looked)
        broken = _stream_broken(self._broken, self._break, self._came)
        broken.message += f"; then recipient '{recipient}' failed: {error.message}"
        return broken

    def _join(self, broken: str) -> Joined:
        assert self._leg is not None  # noqa: S101  (its first event has come)
        recipient = self._leg.step.recipient
        joined = Joined(broken=broken, recipient=recipient, how="continue" if self._prefix else "restart")
        self._joins.append(joined)
        self._broken = None
        return joined

    async def _settle(self, outcome: Outcome, failure: BaseException | None) -> None:
        """Writes the receipt of whatever became of the request."""
        record, leg = self._record, self._leg
        message = None
        if leg is not None:
            assembler = leg.assembler
            record.usage, record.finish = assembler.usage, assembler.finish
            message = assembler.message(self._prefix)
            if outcome == "answered":
                record.output_bytes = message_bytes(message)
            else:
                resumed = self._broken is None and not isinstance(failure, StreamBroken)
                record.output_bytes = utf8_bytes(self._prefix + assembler.partial_text if resumed else self._came)
        receipt = record.receipt(outcome)
        if receipt is None:
            return
        if isinstance(failure, RingfenceError):
            failure.receipt = receipt
        if outcome == "answered" and message is not None and leg is not None:
            self.response = self._respond(leg, message, receipt)
        self.receipt = receipt
        audit = self._runtime.audit
        if audit is not None:
            try:
                await _without_blocking(audit.append, receipt)
            except AuditError as error:
                error.receipt, error.response = receipt, self.response
                if outcome == "cancelled":
                    _log.warning("a cancelled request could not be recorded: %s", error.message)
                    return  # a cancellation must stay one
                raise

    def _respond(self, leg: Leg, message: Message, receipt: Receipt) -> Response[object]:
        assembler = leg.assembler
        assert assembler.finish is not None  # noqa: S101  (the leg would have raised)
        if self._vault is not None and (labels := self._unseen_by_all(leg.step)):
            self._runtime.gate.remember(message, labels, self._vault)
        return Response(
            message=message,
            output=assembler.embeddings,
            finish=assembler.finish,
            usage=assembler.usage,
            receipt=receipt,
            adjustments=leg.send.adjustments,
            labels=frozenset(receipt.labels),
            joins=tuple(self._joins),
        )


async def _without_blocking(work: Callable[..., None], *arguments: object) -> None:
    """Does `work`, in a thread if it would have to wait. Once begun there it is done, whoever cancels."""
    try:
        work(*arguments, wait=False)
    except Busy:
        await asyncio.shield(asyncio.to_thread(work, *arguments))


def new_vault(runtime: Runtime) -> Vault | None:
    """The vault of one request of a user; `None` where the policy redacts nothing."""
    if not runtime.gate.redacts:
        return None
    from ringfence.privacy.redaction.vault import Vault  # noqa: PLC0415  (few policies redact)

    return Vault()


def denied(cleared: Cleared) -> Denied:
    """The refusal of a request that the policy leaves no recipient for."""
    decision = cleared.decision
    labels = ", ".join(decision.labels)
    asked = f" among {', '.join(sorted(cleared.request.to))}" if cleared.request.to is not None else ""
    verdicts = decision.recipients
    asked_of = verdicts if cleared.request.to is None else cleared.request.to & verdicts.keys()
    allowed = [name for name in sorted(asked_of) if verdicts[name].verdict == "allow"]
    if allowed:
        return Denied(
            f"policy '{decision.policy}' allows {', '.join(allowed)}, but route '{decision.route}' does not lead there",
            decision=decision,
            way_out="name it under prefer: or fallback: of that route",
        )
    return Denied(
        f"policy '{decision.policy}' allows no recipient{asked} for task {decision.task} with labels [{labels}]",
        decision=decision,
        way_out="ringfence policy explain FILE, which gives the reason for every recipient",
    )


def _tell_refused(error: Unsupported, cleared: Cleared) -> None:
    """Adds who might have served a request that nobody allowed can: the policy is what its reader may change."""
    verdicts, asked = cleared.decision.recipients, cleared.request.to
    refused = [
        f"'{name}'" + (f" by {', '.join(verdict.rules)}" if verdict.rules else "")
        for name, verdict in sorted(verdicts.items())
        if verdict.verdict == "deny" and (asked is None or name in asked)
    ]
    if refused:
        _tell(error, f"note that the policy refuses {', '.join(refused)}")


def _tell(error: RingfenceError, told: str) -> None:
    """Adds `told` to the way out of `error`, once: a provider may raise one object again and again."""
    known = error.way_out.split("; ") if error.way_out else []
    error.way_out = "; ".join(known if told in known else (*known, told))


def _stream_broken(recipient: str, error: RingfenceError, text: str) -> StreamBroken:
    said = f"the stream from '{recipient}' broke after {len(text)} characters: {error.message}"
    broken = StreamBroken(said, way_out=error.way_out)
    broken.recipient = recipient
    broken.partial_text = text
    return broken
