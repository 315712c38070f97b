"""Rules on failures: what a backend refuses with, and what breaks an answer at any of its events."""

from __future__ import annotations

import asyncio
import time
from typing import Any, get_args

import pytest

from ringfence import errors
from ringfence.request import Request, ToolCallPart
from ringfence.testing.kit.base import Subject, needs_backend
from ringfence.testing.kit.expect import expect, fail, named
from ringfence.testing.kit.material import TOOLS
from ringfence.testing.kit.opened import Outcome
from ringfence.testing.scenes import ErrorKind, Fault, Scene

_CLASSES: dict[ErrorKind, tuple[type[errors.ProviderError], ...]] = {
    "bad_request": (errors.RequestRejected,),
    "authentication": (errors.AuthenticationFailed,),
    # A wire that has one status for several of these tells no more than that it refused.
    "permission": (errors.AuthenticationFailed, errors.RequestRejected),
    "not_found": (errors.Unavailable, errors.RequestRejected),
    "context_length": (errors.ContextLengthExceeded, errors.RequestRejected),
    "rate_limited": (errors.RateLimited,),
    "server": (errors.Overloaded,),
    "overloaded": (errors.Overloaded,),
}
_KINDS = get_args(ErrorKind)
_MISLEADING = "429 rate limit quota exceeded 401 invalid api key 503 overloaded maximum context length 404 not found"
_MAX_EVENTS = 80
_PATIENCE_S = 0.15
"""How long nothing may come before an answer counts as stalled."""


class FailureRules(Subject):
    """What failed is told as what it was, and a part never passes for the whole (invariant 9)."""

    @needs_backend
    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    @pytest.mark.parametrize("kind", _KINDS)
    def test_every_error_has_its_class(self, kind: ErrorKind, *, stream: bool) -> None:
        """Each refusal of the backend is the right class of error, in the phase before the first event."""
        self._kit_refusal(kind, self.bench.outcome(self.bench.asking(stream=stream), Scene(error=kind)))

    @needs_backend
    @pytest.mark.parametrize("kind", _KINDS)
    def test_errors_are_told_by_status_and_not_by_words(self, kind: ErrorKind) -> None:
        """What stands in the message of a refusal does not change what it is."""
        outcome = self.bench.outcome(self.bench.asking(), Scene(error=kind, text=(_MISLEADING,)))
        self._kit_refusal(kind, outcome)

    @needs_backend
    @pytest.mark.parametrize("error", ["authentication", "rate_limited", "server"])
    def test_errors_are_the_same_for_every_task(self, error: Any) -> None:
        """A refusal is the same class of error for vectors, pictures and speech as for text."""
        for kind in self.bench.kinds():
            request = self.bench.asking(kind=kind)
            self._kit_refusal(error, self.bench.outcome(request, Scene(error=error), kind=kind))

    def _kit_refusal(self, kind: ErrorKind, outcome: Outcome) -> None:
        error = outcome.error
        expect(not outcome.events, f"events came before {kind} was told")
        expect(isinstance(error, _CLASSES[kind]), f"{kind} was told as {named(error)}, not {_names(_CLASSES[kind])}")
        retryable = any(one.retryable for one in _CLASSES[kind])
        expect(getattr(error, "retryable", None) is retryable, f"{kind} is told with retryable={not retryable}")
        if isinstance(error, errors.ProviderError):
            expect(error.phase == "before_first_event", f"{kind} is told in phase {error.phase}")
            expect(error.retry_after_s is None, f"{kind} is told with a wait that nobody asked for")

    @needs_backend
    @pytest.mark.parametrize("kind", ["rate_limited", "overloaded"])
    def test_the_wait_that_is_asked_for_is_told(self, kind: Any) -> None:
        """`retry_after_s` is what the backend asked for, in seconds."""
        error = self.bench.outcome(self.bench.asking(), Scene(error=kind, retry_after_s=7)).error
        waited = getattr(error, "retry_after_s", None)
        expect(waited == 7, f"the backend asked for 7 s, retry_after_s is {waited}")  # noqa: PLR2004

    @needs_backend
    @pytest.mark.parametrize("kind", ["rate_limited", "server", "overloaded", "reset"])
    def test_nothing_is_sent_again_by_itself(self, kind: Any) -> None:
        """A provider makes one request under one grant; the core tries again, with a new one."""
        scene = Scene(fault="reset") if kind == "reset" else Scene(error=kind)
        outcome = self.bench.outcome(self.bench.asking(), scene, Scene())
        expect(len(outcome.seen) == 1, f"the backend saw {len(outcome.seen)} requests")
        again = isinstance(outcome.error, errors.GateError)
        expect(not again, "a second request was tried under the same grant; the transport refused it")
        expect(isinstance(outcome.error, errors.ProviderError), f"a failed request ended in {named(outcome.error)}")

    @needs_backend
    def test_no_connection_is_told(self) -> None:
        """Where nothing listens, the error is `ConnectFailed` in the phase `connect`."""

        async def asked() -> Outcome:
            async with self.bench.nowhere() as found:
                return await found.outcome(self.bench.asking())

        error = self.bench.run(asked()).error
        expect(isinstance(error, errors.ConnectFailed), f"no connection was told as {named(error)}")
        expect(getattr(error, "phase", None) == "connect", f"no connection was told in {getattr(error, 'phase', None)}")

    # ------------------------------------------------------------------ broken answers
    @needs_backend
    @pytest.mark.parametrize("fault", get_args(Fault))
    def test_a_fault_at_any_event_is_no_answer(self, fault: Fault) -> None:
        """Whatever breaks a stream, at whichever of its events: it ends in a typed error, and never in a finish."""
        scene, request = self._kit_long()
        count = self._kit_wire_events(scene, request)
        expect(count > 1, f"a streamed answer has {count} wire events: is it streamed?")
        if fault == "stall":
            for place in range(count):
                expect(self._kit_stalls(scene, request, place), f"a stall at event {place} of {count} was not seen")
            return
        for place in range(count):
            broken = Scene(text=scene.text, tool_calls=scene.tool_calls, fault=fault, fault_at=place)
            self._kit_broken(self.bench.outcome(request, broken), fault, f"'{fault}' at event {place} of {count}")

    @needs_backend
    @pytest.mark.parametrize("fault", ["reset", "end", "malformed"])
    def test_a_whole_answer_that_is_cut_is_no_answer(self, fault: Any) -> None:
        """An answer that was asked for whole, and did not come whole, ends in a typed error."""
        request = self.bench.asking(stream=False)
        self._kit_broken(self.bench.outcome(request, Scene(fault=fault)), fault, f"'{fault}' in a whole answer")

    def _kit_broken(self, outcome: Outcome, fault: str, what: str) -> None:
        error = outcome.error
        expect(outcome.finish is None, f"{what} passed for a complete answer")
        allowed: tuple[type[BaseException], ...] = (errors.StreamBroken,)
        if fault == "error_event":
            allowed = (errors.ProviderError,)
        elif not outcome.events:
            allowed = (errors.StreamBroken, errors.ConnectFailed, errors.Overloaded)
        other = (errors.ProtocolViolated, errors.Unsupported)
        fits = isinstance(error, allowed) and not isinstance(error, other)
        expect(fits, f"{what} ended in {named(error)}, not {_names(allowed)}")
        phases = ("mid_stream",) if outcome.events else ("connect", "before_first_event")
        phase = getattr(error, "phase", None)
        expect(phase in phases, f"{what}, after {len(outcome.events)} events, is told in phase {phase}")

    def _kit_long(self) -> tuple[Scene, Request]:
        calls = (ToolCallPart("call_kit_9", TOOLS[0].name, '{"kit_city": "Oslo"}'),) if self.bench.can("tools") else ()
        request = self.bench.asking(tools=TOOLS if calls else ())
        return Scene(text=("one ", "two ", "three"), tool_calls=calls), request

    def _kit_wire_events(self, scene: Scene, request: Request) -> int:
        """How many wire events the answer has: as the backend says, else as many as can be stalled at."""
        count = self.bench.wire_events
        if count is None:
            self.bench.answer(request, scene)
            told: Any = getattr(self.bench.backend, "wire_events", None)
            count = self.bench.wire_events = self._kit_found(scene, request) if told is None else int(told(scene))
        return count

    def _kit_found(self, scene: Scene, request: Request) -> int:
        places = range(_MAX_EVENTS)
        found = next((place for place in places if not self._kit_stalls(scene, request, place)), None)
        if found is None:
            fail(f"an answer of four words has more than {_MAX_EVENTS} wire events")
        return found

    def _kit_stalls(self, scene: Scene, request: Request, place: int) -> bool:
        """Whether the answer stalls at `place`, rather than being complete before."""
        self.bench.play(Scene(text=scene.text, tool_calls=scene.tool_calls, fault="stall", fault_at=place))
        outcome = self.bench.run(self._kit_stalled(request, _PATIENCE_S))
        cut = self._kit_was_cut(finished=outcome.finish is not None)
        expect(not cut or outcome.finish is None, f"a stall at event {place} passed for a complete answer")
        return cut

    def _kit_was_cut(self, *, finished: bool) -> bool:
        """Whether the backend saw the client go before the answer was complete."""
        until = time.monotonic() + (0.25 if finished else 3.0)
        while time.monotonic() < until:
            seen = self.bench.seen()
            if seen and seen[-1].disconnected_s is not None:
                return True
            time.sleep(0.005)
        return False

    async def _kit_stalled(self, request: Request, patience_s: float) -> Outcome:
        """The outcome after `patience_s` without an event."""
        found = await self.bench.opened()
        outcome = Outcome()
        ready = await found.ready(request)
        task = asyncio.ensure_future(found.finish(ready, outcome))
        count = -1
        while not task.done() and count < len(outcome.events):
            count = len(outcome.events)
            await asyncio.wait({task}, timeout=patience_s)
        if not task.done():
            task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, AssertionError):
            raise result
        return outcome


def _names(classes: tuple[type[BaseException], ...]) -> str:
    return " or ".join(one.__name__ for one in classes)


__all__ = ["FailureRules"]
