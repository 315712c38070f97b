"""The calls of one answer: each is admitted in order, then all that were run side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ringfence import threads
from ringfence.assistant.parameters import ArgumentsInvalid
from ringfence.assistant.tools import FunctionTool, ToolError, ToolResult, text_of
from ringfence.errors import describe
from ringfence.request import ToolCallPart, ToolResultPart
from ringfence.response import ToolFinished

if TYPE_CHECKING:
    from ringfence.assistant.tools import Toolbox
    from ringfence.policy import Policy
    from ringfence.policy.facts import Facts

_END_S = 1.0
"""How long a cancelled coroutine may take to end before nobody waits for it any more."""


class _NotRun(Exception):
    """A call that is not run; the message is what the model is told."""


@dataclass(frozen=True, slots=True, repr=False)
class _Admitted:
    place: int
    call: ToolCallPart
    function: FunctionTool[..., Any]
    arguments: dict[str, Any]


class ToolCalls:
    """Carries out the calls of one answer. When `events` has ended, `results` are the parts for the model, in order.

    The arguments of a call are those that its tool may see; so a person who is asked sees no others.

    INVARIANT: a function runs only after the policy, its parameters' types and the app have said yes, in this order.
    """

    def __init__(self, policy: Policy, facts: Facts, calls: Sequence[ToolCallPart], toolbox: Toolbox) -> None:
        self._policy = policy
        self._facts = facts
        self._calls = calls
        self._toolbox = toolbox
        self._at_once = asyncio.Semaphore(toolbox.limits.calls_at_once)
        self._results: dict[int, ToolResultPart] = {}
        self.own_labels: dict[int, frozenset[str]] = {}
        """What each result carries by itself, and not only because of the request that caused it, by place."""

    @property
    def results(self) -> list[ToolResultPart]:
        """What goes back to the model, in the order of the calls."""
        return [self._results[place] for place in range(len(self._calls))]

    async def events(self) -> AsyncGenerator[ToolFinished, None]:
        """Runs the calls; an event for each as it ends. Closing it cancels those that still run."""
        admitted: list[_Admitted] = []
        for place, call in enumerate(self._calls):
            try:
                admitted.append(await self._admit(place, call))
            except _NotRun as refusal:
                yield self._finished(place, _failed(str(refusal)), ran=False)
        running = {asyncio.create_task(self._run(one)): one.place for one in admitted}
        pending = set(running)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=running.__getitem__):
                    result, duration_s = task.result()
                    yield self._finished(running[task], result, ran=True, duration_s=duration_s)
        finally:
            await _end(pending)

    async def _admit(self, place: int, call: ToolCallPart) -> _Admitted:
        function = self._toolbox.functions.get(call.name)
        if function is None:
            raise _NotRun("there is no tool of this name")
        # INVARIANT: a tool is a recipient too: nothing of a request reaches one that the policy does not let it reach.
        outcome = self._policy.tool_verdict(call.name, self._facts).outcome
        if outcome == "deny":
            raise _NotRun("the policy does not let this conversation reach this tool")
        fault = ""
        arguments: dict[str, Any] = {}
        try:
            arguments = function.read(call.arguments)
        except ArgumentsInvalid as error:
            fault = str(error)
        if fault:
            raise _NotRun(fault)
        if not await self._approved(call, must_ask=outcome == "ask" or function.ask):
            raise _NotRun("the call was not allowed")
        return _Admitted(place, call, function, arguments)

    async def _approved(self, call: ToolCallPart, *, must_ask: bool) -> bool:
        approve = self._toolbox.approve
        if approve is None:
            return not must_ask
        try:
            answer = await threads.call(approve, replace(call, labels=self._facts.labels))
        except Exception:  # noqa: BLE001  (an app's callback may raise anything, and a failure is a no)
            return False
        return answer is True

    async def _run(self, one: _Admitted) -> tuple[ToolResult, float]:
        async with self._at_once:
            began_s = time.perf_counter()
            work = asyncio.create_task(_called(one))
            try:
                await asyncio.wait({work}, timeout=self._toolbox.limits.call_timeout_s)
                result = _outcome(work)
            finally:
                await _end({work})
            return result, time.perf_counter() - began_s

    def _finished(self, place: int, result: ToolResult, *, ran: bool, duration_s: float = 0.0) -> ToolFinished:
        call = self._calls[place]
        own = result.labels
        if ran and not self._is_declared(call.name):
            own |= {self._policy.unknown}
        self.own_labels[place] = own
        labels = self._facts.labels | own
        self._results[place] = ToolResultPart(call.id, call.name, result.text, is_error=result.is_error, labels=labels)
        return ToolFinished(call_id=call.id, name=call.name, is_error=result.is_error, duration_s=duration_s)

    def _is_declared(self, name: str) -> bool:
        return name in self._policy.document.tools


class _Ended:
    """How a function ended. What a task gives or raises, asyncio shows in its debug log; this shows nothing."""

    __slots__ = ("error", "value")

    def __init__(self, value: object = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


async def _called(one: _Admitted) -> _Ended:
    try:
        return _Ended(await threads.call(one.function.function, **one.arguments))
    except Exception as error:  # noqa: BLE001  (an app's function may raise anything)
        return _Ended(error=error)


def _outcome(work: asyncio.Task[_Ended]) -> ToolResult:
    """What the model is told of how a function ended. Of an exception: its type and place, never its message."""
    if not work.done():
        return _failed("the tool did not answer in time")
    if work.cancelled():
        return _failed("the tool failed: it cancelled itself")
    ended = work.result()
    if ended.error is not None:
        told = str(ended.error) if isinstance(ended.error, ToolError) else f"the tool failed: {describe(ended.error)}"
        return _encodable(_failed(told))
    return _encodable(_as_result(ended.value))


def _as_result(value: object) -> ToolResult:
    if isinstance(value, ToolResult):
        return value
    try:
        return ToolResult(text_of(value))
    except Exception as error:  # noqa: BLE001  (an app's object may raise anything)
        return _failed(f"the tool's result has no JSON form: {type(error).__name__}")


def _encodable(result: ToolResult) -> ToolResult:
    """`result`, unless nobody could send it: a file name may be no Unicode."""
    try:
        result.text.encode()
    except UnicodeEncodeError:
        return replace(_failed("the tool's result is not valid Unicode"), labels=result.labels)
    return result


def _failed(why: str) -> ToolResult:
    return ToolResult(why, is_error=True)


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancels `tasks` and waits for them, though not for ever. What they raise is nobody's any more."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_END_S)


__all__ = ["ToolCalls"]
