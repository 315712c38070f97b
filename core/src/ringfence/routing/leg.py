"""One leg of a request's way: a send to one recipient, from `ready` to its place in the record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Container
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from ringfence.errors import Phase, ProtocolViolated, RingfenceError, StreamBroken, describe
from ringfence.provider import Embeddings
from ringfence.response import Event
from ringfence.routing.assemble import Assembler
from ringfence.routing.send import Kind, Send

if TYPE_CHECKING:
    from ringfence.policy.decision import Step
    from ringfence.privacy.consents import Consents
    from ringfence.privacy.gate import Cleared
    from ringfence.privacy.redaction.restoring import Restoring
    from ringfence.privacy.redaction.vault import Vault
    from ringfence.request import Request
    from ringfence.routing.limits import Watchdog
    from ringfence.routing.record import Record
    from ringfence.routing.runtime import Runtime


@dataclass(slots=True, kw_only=True)
class Errand:
    """What every leg of one request shares."""

    runtime: Runtime
    request: Request
    record: Record
    kind: Kind
    vault: Vault | None
    asked: Container[str]
    sends: list[Send] = field(default_factory=list[Send])
    """Of every leg so far."""


class Beside(Protocol):
    """Who wants to know how far a leg is that is not alone under way."""

    def granted(self, leg: Leg) -> None:
        """`leg` has its grant and is about to be sent."""
        ...

    async def began(self, leg: Leg) -> None:
        """The first event of `leg` has come; it is worked on when this returns."""
        ...


class Leg:
    """One send to one recipient. `events()`, drawn once, is complete or raises; either way it ends on record."""

    __slots__ = ("_beside", "_consents", "_errand", "assembler", "cleared", "send", "step", "watchdog")

    def __init__(
        self,
        errand: Errand,
        cleared: Cleared,
        step: Step,
        *,
        consents: Consents,
        watchdog: Watchdog,
        beside: Beside | None = None,
    ) -> None:
        runtime = errand.runtime
        to = runtime.gate.policy.recipients[step.recipient]
        self._beside = beside
        self._consents = consents
        self._errand = errand
        self.assembler = Assembler(to.provider, frozenset(cleared.decision.labels), to.url)
        self.cleared = cleared
        self.send = Send(runtime.gate, runtime.providers, cleared, step, errand.kind, vault=errand.vault)
        self.step = step
        self.watchdog = watchdog
        errand.sends.append(self.send)

    async def events(self) -> AsyncGenerator[Event, None]:  # noqa: C901, PLR0912  (every way it can go, in order)
        """What the recipient answers, restored. Closing it cancels the work.

        Raises:
            RingfenceError: it failed; what a plugin raised is `ProtocolViolated`.
        """
        errand, beside = self._errand, self._beside
        send, assembler, watchdog = self.send, self.assembler, self.watchdog
        failure: BaseException | None = None
        watchdog.start()
        try:
            if len(errand.sends) > 1:
                await watchdog.wait(self.until_alone())
            if await watchdog.wait(send.ready()):
                with watchdog.paused():
                    await send.consent(self._consents)
            if errand.runtime.gate.policy.document.budgets:
                await watchdog.wait(send.reserve(errand.runtime.ledger()))
            run, watchdog.grant = send.open()
            if beside is not None:
                beside.granted(self)
            restoring = self._restoring()
            while True:
                try:
                    came = await watchdog.next(run)
                except StopAsyncIteration:
                    break
                if not watchdog.started:
                    watchdog.started = True
                    self._require_spent()
                    if beside is not None:
                        await beside.began(self)
                    errand.record.event_came()
                for event in (came,) if restoring is None or isinstance(came, Embeddings) else restoring.take(came):
                    assembler.add(event)
                    if not isinstance(event, Embeddings):
                        yield event
            self._require_spent()
            if assembler.finish is None:
                raise StreamBroken("the stream ended without its end", phase=watchdog.phase)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            failure = error
        await self._end(failure)
        if failure is not None:
            # Raised here and not in the handler, so that no exception of a plugin stays in its context.
            raise _of_the_tree(failure, watchdog.phase)

    async def until_alone(self) -> None:
        """Waits until no other leg uses the vault.

        INVARIANT: one at a time does, whichever of them has failed: a thread that redacts is not cancelled.
        """
        for send in self._errand.sends:
            if send is not self.send:
                await send.until_prepared()

    def _restoring(self) -> Restoring | None:
        """What restores the events of the answer; `None` where there is nothing to restore or to keep from a tool."""
        errand, cleared, gate = self._errand, self.cleared, self._errand.runtime.gate
        vault = errand.vault
        if vault is None or not (vault.issued or errand.request.tools):
            return None
        from ringfence.privacy.redaction.restoring import Restoring  # noqa: PLC0415  (few policies redact)

        return Restoring(
            vault,
            in_json=errand.request.output is not None,
            tool=lambda call: gate.tool_call(
                replace(call, labels=cleared.facts.labels),
                cleared.facts,
                vault,
                unseen(self.step),
                asked=call.name in errand.asked,
            ),
        )

    async def _end(self, failure: BaseException | None) -> None:
        send, assembler, watchdog = self.send, self.assembler, self.watchdog
        try:
            await send.close()
        finally:
            # Also where the app cancels while a provider cleans up: what was sent is on record.
            attempt = send.attempt(failure, watchdog.phase, alone=self._beside is None)
            self._errand.record.ended(send, attempt)
            if send.spending is not None:
                complete = assembler.finish is not None
                await send.spending.settle(assembler.usage, sent=send.sent, complete=complete, failure=failure)

    def _require_spent(self) -> None:
        # INVARIANT: no answer is taken that was made without spending the grant.
        if not self.send.sent:
            raise ProtocolViolated("the provider answered without spending its grant", phase=self.watchdog.phase)


def unseen(step: Step) -> frozenset[str]:
    """The labels of which the recipient of `step` sees nothing."""
    return frozenset(label for label, _ in step.redact)


def _of_the_tree(failure: BaseException, phase: Phase) -> BaseException:
    """`failure` as an app may see it: what a plugin raised or hung on its error may hold content."""
    if isinstance(failure, RingfenceError):
        failure.__cause__ = failure.__context__ = None
        return failure
    if isinstance(failure, Exception):
        return ProtocolViolated(f"the provider raised {describe(failure)}", phase=phase)
    return failure


__all__ = ["Beside", "Errand", "Leg", "unseen"]
