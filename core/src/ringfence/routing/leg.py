"""One leg of a request's way: a send to one recipient, from `ready` to its place in the record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Container
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ringfence.errors import Phase, ProtocolViolated, RingfenceError, StreamBroken, describe
from ringfence.provider import Embeddings
from ringfence.response import Event
from ringfence.routing.assemble import Assembler
from ringfence.routing.send import Kind, Send, Yielded

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

    async def events(self) -> AsyncGenerator[Event, None]:
        """What the recipient answers, restored. Closing it cancels the work.

        Raises:
            RingfenceError: it failed; what a plugin raised is `ProtocolViolated`.
        """
        assembler, watchdog = self.assembler, self.watchdog
        failure: BaseException | None = None
        watchdog.start()
        try:
            run = await self._open()
            restoring = self._restoring()
            while True:
                try:
                    came = await watchdog.next(run)
                except StopAsyncIteration:
                    break
                if not watchdog.started:
                    await self._began()
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

    async def _open(self) -> AsyncGenerator[Yielded, None]:
        """All that must happen before anything is sent."""
        send, watchdog, runtime = self.send, self.watchdog, self._errand.runtime
        if await watchdog.wait(send.ready()):
            with watchdog.paused():
                await send.consent(self._consents)
        if runtime.gate.policy.document.budgets:
            await watchdog.wait(send.reserve(runtime.ledger()))
        run, watchdog.grant = send.open()
        if self._beside is not None:
            self._beside.granted(self)
        return run

    async def _began(self) -> None:
        """The first event has come."""
        self.watchdog.started = True
        self._require_spent()
        if self._beside is not None:
            await self._beside.began(self)
        self._errand.record.event_came()

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
        send, assembler = self.send, self.assembler
        try:
            await send.close()
        finally:
            # Also where the app cancels while a provider cleans up: what was sent is on record.
            self._errand.record.ended(send, send.attempt(failure, self._reached))
            if send.spending is not None:
                complete = assembler.finish is not None
                await send.spending.settle(assembler.usage, sent=send.sent, complete=complete, failure=failure)

    @property
    def _reached(self) -> Phase | None:
        """How far it was, if the receipt tells of another one: of its own recipient that says whether it was sent."""
        if self._beside is None:
            return None
        return self.watchdog.phase if self.send.sent else "plan"

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
