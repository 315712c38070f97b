"""The loop of a request with tools: a model call, the calls it asks for, their results, and the next model call.

INVARIANT: each model call is labelled, decided and granted anew, as an `Execution` of its own. One `Consents` serves
them all, so that a consent covers later calls while the labels do not grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ringfence.assistant.toolcalls import ToolCalls
from ringfence.errors import AuditError, Denied, ToolLimitReached, Unsupported
from ringfence.request import Message, Request, ToolCallPart
from ringfence.response import Event, Response, ToolFinished, TurnStarted, Usage
from ringfence.routing.execute import Execution, new_vault

if TYPE_CHECKING:
    from ringfence.assistant.tools import Toolbox
    from ringfence.policy.facts import Facts
    from ringfence.privacy.consents import Consents
    from ringfence.privacy.redaction.vault import Vault
    from ringfence.receipt import Receipt
    from ringfence.routing.runtime import Runtime


_COMPLETE = frozenset({"tool_calls", "stop"})
"""The finish reasons of an answer that said all it meant to."""


class ToolLoop:
    """One request with tools on its way, with the face of an `Execution`.

    It ends with an answer that asks for no call. It also ends with one that asks for a call of a tool without a
    function: then none of that answer's calls is run, and the app answers them all. `tool_choice="required"` holds for
    the first model call; later ones are free to answer.
    """

    def __init__(self, runtime: Runtime, request: Request, toolbox: Toolbox, consents: Consents) -> None:
        self._runtime = runtime
        self._request = request
        self._toolbox = toolbox
        self._consents = consents
        self._plain = {tool.name for tool in request.tools} - toolbox.functions.keys()
        # Beside a call of a plain tool the app answers all calls, and nobody is asked about any.
        nobody = toolbox.approve is None or self._plain
        self._asked_before = frozenset[str]() if nobody else frozenset(toolbox.functions)
        self._answers: list[Response[object]] = []
        self._turns: list[Message] = []
        self._calls = 0
        self._undeclared: set[str] = set()
        self._vault = new_vault(runtime)
        self.response: Response[object] | None = None
        self.receipt: Receipt | None = None
        """The receipt of the last model call that has ended."""

    async def events(self) -> AsyncGenerator[Event, None]:
        """Runs the loop. Closing it cancels the model call or the functions that are under way.

        A coroutine function is cancelled; a plain one runs on in its thread, and what it returns is dropped.

        Raises:
            ToolLimitReached: the model went further than the limits; the calls of its last answer were not run.
            RingfenceError: what `Execution.events` raises. Results can raise the labels, so a later call may be denied.
        """
        # What the model calls need is closed after the last of them, not between two.
        self._runtime = await self._runtime.begin()
        self._runtime.under_way.begin()
        try:
            while True:
                async with aclosing(self._model_call()) as events:
                    async for event in events:
                        yield event
                answer = self._answers[-1]
                calls = self._calls_to_run(answer)
                if not calls:
                    self.response = self._whole(answer)
                    return
                async with aclosing(self._tool_calls(answer, calls)) as finished:
                    async for ended in finished:
                        yield ended
                yield TurnStarted(number=len(self._answers) + 1)
        finally:
            self._runtime.under_way.end()

    async def _model_call(self) -> AsyncGenerator[Event, None]:
        execution = Execution(self._runtime, self._request, self._consents, vault=self._vault, asked=self._asked_before)
        try:
            async with aclosing(execution.events()) as events:
                async for event in events:
                    yield event
        except AuditError as error:
            if error.response is not None:
                error.response = self._whole(error.response)
            raise
        except (Denied, Unsupported) as error:
            if self._undeclared:
                name = min(self._undeclared)
                unknown = self._runtime.gate.policy.unknown
                error.way_out = (
                    f"declare the tool under tools: of the policy, such as {name}: {{ring: device}}; "
                    f"the result of one that is not declared carries '{unknown}'"
                )
            raise
        finally:
            self.receipt = execution.receipt or self.receipt
        assert execution.response is not None  # noqa: S101  (its events have ended without an error)
        self._answers.append(execution.response)

    def _calls_to_run(self, answer: Response[object]) -> tuple[ToolCallPart, ...]:
        """The calls that are carried out now; none if the loop ends with this answer.

        Raises:
            ToolLimitReached: there are too many.
        """
        # INVARIANT: an answer that was cut calls nothing: its last call may be half of one.
        calls = answer.tool_calls if answer.finish.reason in _COMPLETE else ()
        if any(call.name in self._plain for call in calls):
            return ()
        limits = self._toolbox.limits
        self._calls += len(calls)
        if calls and (len(self._answers) > limits.rounds or self._calls > limits.calls):
            name = "rounds" if len(self._answers) > limits.rounds else "calls"
            reached = ToolLimitReached(
                f"the model asked for more tool calls than {name}={getattr(limits, name)} allows",
                response=self._whole(answer),
                way_out=f"tool_limits=ToolLimits({name}=…)",
            )
            reached.receipt = self.receipt
            raise reached
        return calls

    async def _tool_calls(
        self, answer: Response[object], calls: tuple[ToolCallPart, ...]
    ) -> AsyncGenerator[ToolFinished, None]:
        """Carries `calls` out; the next request then has their results."""
        asked = replace(self._request, messages=(*self._request.messages, answer.message))
        work = ToolCalls(self._runtime.gate.policy, await self._facts(asked), calls, self._toolbox)
        async with aclosing(work.events()) as events:
            async for event in events:
                yield event
        declared = self._runtime.gate.policy.document.tools
        # A name that no tool has is the model's own words, which no error may repeat.
        self._undeclared |= {call.name for call in calls} & self._toolbox.functions.keys() - declared.keys()
        # One message a result: some chat templates have room for one only.
        results = [Message("tool", (result,)) for result in work.results]
        if self._vault is not None:
            self._remember(answer.message, calls, results, work.own_labels, self._vault)
        self._turns += [answer.message, *results]
        again = "auto" if asked.tool_choice == "required" else asked.tool_choice
        self._request = replace(asked, messages=(*asked.messages, *results), tool_choice=again)

    def _remember(
        self,
        asked: Message,
        calls: tuple[ToolCallPart, ...],
        results: list[Message],
        own: Mapping[int, frozenset[str]],
        vault: Vault,
    ) -> None:
        """A tool was told nothing of a label that its caller never saw, unless a value of it was restored for it."""
        gate = self._runtime.gate
        unseen = gate.unseen(asked)
        for place, (call, result) in enumerate(zip(calls, results, strict=True)):
            gate.remember(result, unseen - gate.labels_told(call, vault) - own[place], vault)

    async def _facts(self, request: Request) -> Facts:
        """What the policy decides on for the tools that `request`, the answer with the calls included, would reach."""
        gate = self._runtime.gate
        if gate.scans_long(request):
            return (await asyncio.to_thread(gate.clear, request)).facts
        return gate.clear(request).facts

    def _whole(self, last: Response[object]) -> Response[object]:
        """The response of the loop whose last answer is `last`."""
        earlier = [answer for answer in self._answers if answer is not last]
        if not earlier:
            return last
        every = [*earlier, last]
        return replace(
            last,
            usage=_sum([answer.usage for answer in every]),
            adjustments=tuple(dict.fromkeys(one for answer in every for one in answer.adjustments)),
            joins=tuple(join for answer in every for join in answer.joins),
            earlier_messages=tuple(self._turns),
            earlier_receipts=tuple(answer.receipt for answer in earlier),
        )


def _sum(usages: list[Usage]) -> Usage:
    """The tokens of all; a count that one of them does not say is not known."""
    totals: dict[str, int | None] = {}
    for name in (field.name for field in fields(Usage)):
        counts = [getattr(usage, name) for usage in usages]
        totals[name] = None if None in counts else sum(counts)
    return Usage(**totals)


__all__ = ["ToolLoop"]
