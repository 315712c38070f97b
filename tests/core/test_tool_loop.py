"""Functions of the app that a model calls: what goes to the model, what is run, and where the loop ends."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.core.support import CANARY, assistant, drain, policy, records, until
from tests.core.tool_support import SaysYes, calls, look_up, one, results

from ringfence import (
    Assistant,
    FunctionTool,
    InvalidRequest,
    Message,
    Receipt,
    RingfenceError,
    TextPart,
    Tool,
    ToolCallPart,
    ToolError,
    ToolLimitReached,
    ToolLimits,
    ToolResult,
    ToolResultPart,
    tool,
)
from ringfence.errors import AuditError, Closed, Overloaded
from ringfence.privacy.audit import AuditLog
from ringfence.response import (
    Event,
    Finish,
    FinishReason,
    ToolCallEnd,
    ToolCallStart,
    ToolFinished,
    TurnStarted,
    Usage,
    UsageReport,
)
from ringfence.testing import ScriptedProvider, failing, text_events


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
async def double(number: int) -> int:
    """Twice a number."""
    await asyncio.sleep(0)
    return 2 * number


# ------------------------------------------------------------------ the loop
async def test_the_model_gets_the_result_and_answers() -> None:
    provider = ScriptedProvider(calls(("weather", {"city": "Oslo"}), say="Let me look."), "It is sunny.")
    async with one(provider) as it:
        response = await it.respond("How is the weather?", tools=[weather])
    assert response.text == "It is sunny."
    assert response.finish_reason == "stop"
    first, second = provider.requests
    assert first.tools == second.tools == (weather.definition,)
    assert [message.role for message in second.messages] == ["user", "assistant", "tool"]
    assert results(provider) == [
        ToolResultPart("call-0", "weather", "sunny in Oslo", labels=frozenset({"unclassified"}))
    ]


async def test_the_response_has_every_turn_all_tokens_and_every_receipt(tmp_path: Path) -> None:
    provider = ScriptedProvider(calls(("weather", {"city": "Oslo"})), calls(("double", {"number": 2})), "Done.")
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        response = await it.respond("x", tools=[weather, double])
    assert [message.role for message in response.messages] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert response.messages[-1] is response.message
    assert response.usage == Usage(input_tokens=21, output_tokens=11)
    assert [receipt.finish_reason for receipt in response.receipts] == ["tool_calls", "tool_calls", "stop"]
    assert response.receipt is response.receipts[-1]
    assert [record["id"] for record in records(tmp_path)] == [receipt.id for receipt in response.receipts]


async def test_a_count_that_one_call_does_not_say_is_not_known() -> None:
    silent = tuple(event for event in calls(("weather", {"city": "Oslo"})) if not isinstance(event, UsageReport))
    async with one(ScriptedProvider(silent, "Done.")) as it:
        response = await it.respond("x", tools=[weather])
    assert response.usage == Usage()


async def test_an_answer_without_calls_is_what_it_is_without_tools() -> None:
    async with one(ScriptedProvider("Hello.")) as it:
        response = await it.respond("x", tools=[weather])
    assert response.text == "Hello."
    assert response.messages == (response.message,)
    assert response.receipts == (response.receipt,)


async def test_a_plain_function_becomes_a_tool() -> None:
    def shout(text: str) -> str:
        """Says it louder."""
        return text.upper()

    provider = ScriptedProvider(calls(("shout", {"text": "hi"})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[shout])
    assert provider.requests[0].tools[0].description == "Says it louder."
    assert [part.text for part in results(provider)] == ["HI"]


async def test_a_required_call_is_required_once() -> None:
    provider = ScriptedProvider(calls(("weather", {"city": "Oslo"})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[weather], tool_choice="required")
    assert [request.tool_choice for request in provider.requests] == ["required", "auto"]


async def test_an_answer_that_calls_a_tool_without_a_function_is_the_apps() -> None:
    ran: list[str] = []

    def note(text: str) -> str:
        ran.append(text)
        return "noted"

    provider = ScriptedProvider(calls(("note", {"text": "a"}), ("search", {"query": "b"})))
    async with one(provider) as it:
        response = await it.respond("x", tools=[note, Tool(name="search")])
    assert response.finish_reason == "tool_calls"
    assert [call.name for call in response.tool_calls] == ["note", "search"]
    assert ran == []
    assert len(provider.requests) == 1


async def test_calls_of_one_answer_run_side_by_side_and_come_back_in_order() -> None:
    both = asyncio.Barrier(2)

    async def meet(name: str) -> str:
        await both.wait()
        if name == "first":
            await asyncio.sleep(0.02)
        return name

    provider = ScriptedProvider(calls(("meet", {"name": "first"}), ("meet", {"name": "second"})), "Done.")
    async with one(provider) as it, it.stream("x", tools=[meet]) as stream:
        finished = [event.call_id async for event in stream if isinstance(event, ToolFinished)]
    assert finished == ["call-1", "call-0"]
    assert [part.text for part in results(provider)] == ["first", "second"]


async def test_no_more_calls_run_at_once_than_allowed() -> None:
    now, most = 0, 0

    async def count(number: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return number

    provider = ScriptedProvider(calls(*(("count", {"number": n}) for n in range(6))), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[count], tool_limits=ToolLimits(calls_at_once=2))
    assert most == 2
    assert [part.text for part in results(provider)] == ["0", "1", "2", "3", "4", "5"]


async def test_plain_functions_run_in_threads_side_by_side() -> None:
    both = threading.Barrier(2)

    def meet() -> str:
        both.wait(timeout=5)
        return threading.current_thread().name

    provider = ScriptedProvider(calls(("meet", {}), ("meet", "")), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[meet])
    assert [part.text for part in results(provider)] == ["ringfence-call", "ringfence-call"]


@pytest.mark.parametrize("reason", ["length", "content_filter", "refusal", "error", "other"])
async def test_a_call_of_an_answer_that_was_cut_is_not_run(reason: FinishReason) -> None:
    ran: list[str] = []

    def purge(folder: str = "everything") -> str:
        ran.append(folder)
        return "gone"

    cut = (ToolCallStart(0, "1", "purge"), ToolCallEnd(0), Finish(reason))
    async with assistant(policy("first"), first=ScriptedProvider(cut, "never")) as it:
        response = await it.respond("x", tools=[purge])
    assert ran == []
    assert response.finish_reason == reason


# ------------------------------------------------------------------ events
async def test_the_events_are_those_of_each_call_with_the_tools_between() -> None:
    first = calls(("weather", {"city": "Oslo"}), ("weather", {"town": "Rome"}))
    last = text_events("Done.")
    async with one(ScriptedProvider(first, last)) as it, it.stream("x", tools=[weather]) as stream:
        events, error = await drain(stream)
    assert error is None
    between = events[len(first) : -len(last)]
    assert tuple(events[: len(first)]) == first
    assert tuple(events[-len(last) :]) == last
    assert [type(event) for event in between] == [ToolFinished, ToolFinished, TurnStarted]
    refused, ran, turn = between
    assert isinstance(refused, ToolFinished)
    assert (refused.call_id, refused.is_error, refused.duration_s) == ("call-1", True, 0.0)
    assert isinstance(ran, ToolFinished)
    assert (ran.call_id, ran.name, ran.is_error) == ("call-0", "weather", False)
    assert ran.duration_s > 0
    assert turn == TurnStarted(number=2)


async def test_streaming_gives_the_same_response() -> None:
    script = (calls(("double", {"number": 4}), say="Hm."), text_events("It ", "is 8."))
    async with one(ScriptedProvider(*script)) as it:
        whole = await it.respond("x", tools=[double])
    async with one(ScriptedProvider(*script)) as it, it.stream("x", tools=[double]) as stream:
        text = "".join([piece async for piece in stream.text()])
        streamed = await stream.response()
    assert streamed.messages == whole.messages
    assert streamed.usage == whole.usage
    assert text == "Hm.It is 8."


async def test_only_a_stream_is_told_to_be_one_in_every_call() -> None:
    provider = ScriptedProvider(calls(("double", {"number": 4})), "a", calls(("double", {"number": 4})), "b")
    async with one(provider) as it:
        await it.respond("x", tools=[double])
        async with it.stream("x", tools=[double]) as stream:
            await stream.response()
    assert [request.stream for request in provider.requests] == [False, False, True, True]


# ------------------------------------------------------------------ approval
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (True, "8"),
        (False, "the call was not allowed"),
        ("yes", "the call was not allowed"),
        (None, "the call was not allowed"),
        (ValueError("x"), "the call was not allowed"),
    ],
    ids=["yes", "no", "something else", "nothing", "raises"],
)
async def test_a_call_runs_only_after_a_yes(answer: object, text: str) -> None:
    asked: list[ToolCallPart] = []

    def approve(call: ToolCallPart) -> Any:
        asked.append(call)
        if isinstance(answer, Exception):
            raise answer
        return answer

    provider = ScriptedProvider(calls(("double", {"number": 4})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[double], approve=approve)
    assert [(call.name, call.arguments) for call in asked] == [("double", '{"number": 4}')]
    assert [part.text for part in results(provider)] == [text]
    assert [part.is_error for part in results(provider)] == [text != "8"]


async def test_approval_may_be_a_coroutine_and_is_asked_one_call_at_a_time() -> None:
    asking = 0
    order: list[str] = []

    async def approve(call: ToolCallPart) -> bool:
        nonlocal asking
        asking += 1
        assert asking == 1
        await asyncio.sleep(0.001)
        asking -= 1
        order.append(call.id)
        return call.id == "call-1"

    provider = ScriptedProvider(calls(("double", {"number": 1}), ("double", {"number": 2})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[double], approve=approve)
    assert order == ["call-0", "call-1"]
    assert [part.text for part in results(provider)] == ["the call was not allowed", "4"]


async def test_nobody_is_asked_about_a_call_that_cannot_run() -> None:
    person = SaysYes[ToolCallPart]()
    provider = ScriptedProvider(calls(("double", {"number": "four"}), ("triple", {})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[double], approve=person)
    assert person.asked == []
    assert [part.is_error for part in results(provider)] == [True, True]


async def test_a_tool_that_asks_is_refused_where_nobody_can_be_asked() -> None:
    ran: list[str] = []

    @tool(ask=True)
    def delete(name: str) -> str:
        ran.append(name)
        return "gone"

    provider = ScriptedProvider(calls(("delete", {"name": "x"})), "Done.")
    async with one(provider) as it:
        with pytest.raises(InvalidRequest, match="'delete' asks before each call"):
            await it.respond("x", tools=[delete])
        assert provider.requests == []
        await it.respond("x", tools=[delete], approve=lambda _: True)
    assert ran == ["x"]


# ------------------------------------------------------------------ what fails is told to the model
async def test_an_exception_is_told_by_its_type_only() -> None:
    def fail() -> str:
        raise KeyError(CANARY)

    async def afail() -> str:
        raise ValueError(CANARY)

    provider = ScriptedProvider(calls(("fail", {}), ("afail", {})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[fail, afail])
    said = [part.text for part in results(provider)]
    assert [text.partition(" at ")[0] for text in said] == ["the tool failed: KeyError", "the tool failed: ValueError"]
    assert CANARY not in "".join(said)
    assert all(part.is_error for part in results(provider))


async def test_a_tool_error_is_told_in_its_own_words() -> None:
    def book(day: str) -> str:
        raise ToolError(f"no seats on {day}")

    provider = ScriptedProvider(calls(("book", {"day": "Monday"})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[book])
    (result,) = results(provider)
    assert (result.text, result.is_error) == ("no seats on Monday", True)


@pytest.mark.parametrize("error", [SystemExit(CANARY), StopIteration(CANARY), KeyboardInterrupt(CANARY)])
async def test_a_function_in_a_thread_cannot_end_the_loop(error: BaseException) -> None:
    def leave() -> str:
        raise error

    provider = ScriptedProvider(calls(("leave", {})), "Done.")
    async with one(provider) as it:
        assert (await it.respond("x", tools=[leave])).text == "Done."
    (result,) = results(provider)
    assert result.is_error
    assert CANARY not in result.text


async def test_a_coroutine_that_cancels_itself_has_failed() -> None:
    async def give_up() -> str:
        raise asyncio.CancelledError

    provider = ScriptedProvider(calls(("give_up", {})), "Done.")
    async with one(provider) as it:
        assert (await it.respond("x", tools=[give_up])).text == "Done."
    assert [part.is_error for part in results(provider)] == [True]


async def test_a_tool_that_is_not_there_is_told() -> None:
    provider = ScriptedProvider(calls(("wether", {"city": "Oslo"})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[weather])
    (result,) = results(provider)
    assert (result.name, result.text, result.is_error) == ("wether", "there is no tool of this name", True)


async def test_a_tool_that_takes_too_long_is_told() -> None:
    cancelled = asyncio.Event()
    let_go = threading.Event()

    async def sleepy() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        return "never"

    def blocked() -> str:
        let_go.wait(10)
        return "too late"

    provider = ScriptedProvider(calls(("sleepy", {}), ("blocked", {}), ("double", {"number": 1})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[sleepy, blocked, double], tool_limits=ToolLimits(call_timeout_s=0.1))
    let_go.set()
    late = "the tool did not answer in time"
    assert [(part.text, part.is_error) for part in results(provider)] == [(late, True), (late, True), ("2", False)]
    assert cancelled.is_set()


async def test_a_coroutine_that_will_not_end_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.assistant import toolcalls

    monkeypatch.setattr(toolcalls, "_END_S", 0.05)
    let_go = asyncio.Event()
    ended = asyncio.Event()

    async def stubborn() -> str:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        raise ValueError(CANARY)

    provider = ScriptedProvider(calls(("stubborn", {})), "Done.")
    async with one(provider) as it:
        assert (await it.respond("x", tools=[stubborn], tool_limits=ToolLimits(call_timeout_s=0.05))).text == "Done."
    let_go.set()
    await ended.wait()


async def test_a_result_without_a_json_form_is_told() -> None:
    def odd() -> object:
        return object()

    provider = ScriptedProvider(calls(("odd", {})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[odd])
    assert [(part.text, part.is_error) for part in results(provider)] == [
        ("the tool's result has no JSON form: TypeError", True)
    ]


async def test_a_result_that_is_no_unicode_is_told() -> None:
    def list_files() -> list[str]:
        return ["caf\udce9.txt"]

    def refuse() -> str:
        raise ToolError("caf\udce9.txt")

    provider = ScriptedProvider(calls(("list_files", {}), ("refuse", {})), "Done.")
    async with one(provider) as it:
        await it.respond("x", tools=[list_files, refuse])
    assert [part.text for part in results(provider)] == ["the tool's result is not valid Unicode"] * 2


# ------------------------------------------------------------------ limits
def endless() -> ScriptedProvider:
    return ScriptedProvider(calls(("double", {"number": 1}), ("double", {"number": 2}), say="More."))


@pytest.mark.parametrize(
    ("limits", "asked", "said"), [(ToolLimits(rounds=2), 3, "rounds=2"), (ToolLimits(calls=5), 3, "calls=5")]
)
async def test_a_limit_ends_the_request_with_what_was_said(limits: ToolLimits, asked: int, said: str) -> None:
    ran: list[int] = []

    def double(number: int) -> int:
        ran.append(number)
        return 2 * number

    provider = endless()
    async with one(provider) as it:
        with pytest.raises(ToolLimitReached, match=said) as caught:
            await it.respond("x", tools=[double], tool_limits=limits)
    error = caught.value
    assert len(provider.requests) == asked
    assert len(ran) == 2 * (asked - 1)
    assert error.response.text == "More."
    assert len(error.response.tool_calls) == 2
    assert len(error.response.messages) == (asked - 1) * 3 + 1
    assert error.receipt is error.response.receipt
    assert len(error.response.receipts) == asked


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"calls": True}, {"calls_at_once": 1.5}, {"call_timeout_s": 0}, {"call_timeout_s": "1"}]
)
def test_a_limit_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        ToolLimits(**wrong)


# ------------------------------------------------------------------ failures of the model's side
async def test_a_later_call_that_fails_has_its_own_receipt(tmp_path: Path) -> None:
    provider = ScriptedProvider(calls(("double", {"number": 1})), failing(Overloaded("full")))
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        async with it.stream("x", tools=[double]) as stream:
            _, error = await drain(stream)
        assert isinstance(error, Overloaded)
        assert error.receipt is stream.receipt
        assert stream.receipt is not None
        assert stream.receipt.outcome == "failed"
    assert [record["outcome"] for record in records(tmp_path)] == ["answered", "failed"]


async def test_a_record_that_cannot_be_written_loses_no_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[Receipt] = []
    append = AuditLog.append

    def once(log: AuditLog, receipt: Receipt, /, *, wait: bool = True) -> None:
        kept.append(receipt)
        if len(kept) > 1:
            raise AuditError("the disk is full")
        append(log, receipt, wait=wait)

    monkeypatch.setattr(AuditLog, "append", once)
    provider = ScriptedProvider(calls(("double", {"number": 1})), "Done.")
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        with pytest.raises(AuditError) as caught:
            await it.respond("x", tools=[double])
    response = caught.value.response
    assert response is not None
    assert response.text == "Done."
    assert [message.role for message in response.messages] == ["assistant", "tool", "assistant"]
    assert list(response.receipts) == kept


async def test_a_function_is_made_a_tool_once_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.assistant import tools

    made: list[str] = []

    class Counting(FunctionTool[..., Any]):
        def __init__(self, function: Any) -> None:
            made.append(function.__name__)
            super().__init__(function)

    monkeypatch.setattr(tools, "FunctionTool", Counting)
    async with one(ScriptedProvider(calls(("look_up", {"name": "bob"})), "Done.")) as it:
        await it.respond("x", tools=[look_up])
    assert made == ["look_up"]


# ------------------------------------------------------------------ structured output
class Sum(BaseModel):
    total: int


async def test_only_the_last_answer_is_validated() -> None:
    provider = ScriptedProvider(calls(("double", {"number": 4}), say="not JSON"), '{"total": 8}')
    async with one(provider) as it:
        response = await it.respond("x", tools=[double], output=Sum)
        assert response.output == Sum(total=8)
    assert all(request.output is not None for request in provider.requests)


async def test_partials_begin_again_with_each_answer() -> None:
    provider = ScriptedProvider(calls(("double", {"number": 4}), say='{"total": 1'), text_events('{"total"', ": 8}"))
    async with one(provider) as it, it.stream("x", tools=[double], output=Sum) as stream:
        seen: list[Any] = [partial async for partial in stream.partials()]
    assert [partial.total for partial in seen] == [1, None, 8, 8]
    assert seen[-1] == Sum(total=8)


async def test_partials_of_a_long_answer_are_not_made_at_every_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.assistant.output import Output

    made: list[int] = []
    partial = Output[Any].partial

    def counting(output: Output[Any], text: str) -> object | None:
        made.append(len(text))
        return partial(output, text)

    monkeypatch.setattr(Output, "partial", counting)
    words = ["word"] * 3000
    async with (
        one(ScriptedProvider(text_events(*json.dumps(words)))) as it,
        it.stream("x", output=list[str]) as stream,
    ):
        seen: list[object] = [value async for value in stream.partials()]
    assert seen[-1] == words
    assert made[:200] == list(range(1, 201))
    assert len(made) < 1_600 < len(json.dumps(words)) / 10


async def test_a_repair_turn_knows_the_tool_turns() -> None:
    provider = ScriptedProvider(calls(("double", {"number": 4})), "eight", '{"total": 8}')
    async with one(provider) as it:
        response = await it.respond("x", tools=[double], output=Sum, repair=1)
    assert response.output == Sum(total=8)
    roles = [message.role for message in provider.requests[-1].messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


# ------------------------------------------------------------------ sessions
async def test_a_session_remembers_the_tool_turns_and_their_labels() -> None:
    def doctor() -> ToolResult:
        return ToolResult("it is the knee", labels=frozenset({"health"}))

    provider = ScriptedProvider(calls(("doctor", {})), "The knee.", "Yes.")
    async with one(provider) as it:
        session = it.session(tools=[doctor])
        await session.respond("What is it?", labels={"work"})
        assert [message.role for message in session.messages] == ["user", "assistant", "tool", "assistant"]
        assert "health" in session.labels
        await session.respond("Sure?")
    assert [message.role for message in provider.requests[-1].messages] == [
        *("user", "assistant", "tool", "assistant", "user")
    ]
    assert "health" in provider.requests[-1].labels


async def test_a_turn_that_failed_leaves_no_trace() -> None:
    async with one(endless()) as it:
        session = it.session(tools=[double], tool_limits=ToolLimits(rounds=1))
        with pytest.raises(ToolLimitReached):
            await session.respond("x")
        assert session.messages == ()


# ------------------------------------------------------------------ closing
async def test_closing_the_stream_cancels_a_coroutine(tmp_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "never"

    provider = ScriptedProvider(calls(("slow", {}), ("double", {"number": 1})), "never")
    async with assistant(policy("first"), tmp_path, first=provider) as it:
        stream = it.stream("x", tools=[slow, double])
        drawing = asyncio.create_task(drain(stream))
        await began.wait()
        await stream.aclose()
        await drawing
        assert ended.is_set()
        with pytest.raises(Closed):
            await stream.response()
    assert len(provider.requests) == 1
    assert [record["outcome"] for record in records(tmp_path)] == ["answered"]


async def test_leaving_a_stream_between_its_events_cancels_a_coroutine() -> None:
    ended = asyncio.Event()

    async def slow() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "never"

    async with one(ScriptedProvider(calls(("slow", {}), ("double", {"number": 1})))) as it:
        async with it.stream("x", tools=[slow, double]) as stream:
            async for event in stream:
                if isinstance(event, ToolFinished):
                    break
        assert ended.is_set()


async def test_cancelling_the_caller_cancels_a_coroutine() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "never"

    async with one(ScriptedProvider(calls(("slow", {})))) as it:
        asking = asyncio.create_task(it.respond("x", tools=[slow]))
        await began.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert ended.is_set()


async def test_an_exception_that_nobody_waits_for_is_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    began = asyncio.Event()

    async def fail() -> str:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError(CANARY) from None
        return "never"

    async with one(ScriptedProvider(calls(("fail", {})))) as it:
        asking = asyncio.create_task(it.respond("x", tools=[fail]))
        await began.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        del asking
        gc.collect()
        await asyncio.sleep(0)
    assert CANARY not in caplog.text


async def test_what_a_function_in_a_thread_returns_too_late_is_dropped() -> None:
    began, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        let_go.wait(10)
        ended.set()
        return "too late"

    provider = ScriptedProvider(calls(("slow", {})), "never")
    async with one(provider) as it:
        asking = asyncio.create_task(it.respond("x", tools=[slow]))
        await until(began.is_set)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        let_go.set()
        await until(ended.is_set)
        await asyncio.sleep(0.01)
    assert len(provider.requests) == 1


async def test_the_record_stays_open_until_the_loop_has_ended(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def wait() -> str:
        await closed.wait()
        return "on"

    provider = ScriptedProvider(calls(("wait", {})), "never")
    it = assistant(policy("first"), tmp_path, first=provider)
    asking = asyncio.create_task(it.respond("x", tools=[wait]))
    await until(lambda: bool(provider.requests))
    await it.close()
    closed.set()
    with pytest.raises(RingfenceError) as caught:
        await asking
    assert isinstance(caught.value, Closed)
    assert [record["outcome"] for record in records(tmp_path)] == ["answered", "failed"]


# ------------------------------------------------------------------ without await
def test_the_loop_without_await() -> None:
    provider = ScriptedProvider(calls(("weather", {"city": "Oslo"}), ("double", {"number": 4})), "Done.")
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        response = it.respond("x", tools=[weather, double], approve=lambda _: True)
    assert response.text == "Done."
    assert [part.text for part in results(provider)] == ["sunny in Oslo", "8"]


def test_a_function_may_ask_the_same_assistant() -> None:
    provider = ScriptedProvider(calls(("ask", {"question": "y"})), "inner", "outer")
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:

        def ask(question: str) -> str:
            return it.respond(question).text

        assert it.respond("x", tools=[ask]).text == "outer"
    assert [part.text for part in results(provider)] == ["inner"]


def test_a_function_that_hangs_does_not_keep_the_process_alive() -> None:
    program = """
import asyncio, time
from ringfence import AsyncAssistant, ToolLimits
from ringfence.response import Finish, ToolCallEnd, ToolCallStart
from ringfence.testing import ScriptedProvider, text_events

def hang() -> str:
    time.sleep(60)
    return "never"

model = ScriptedProvider([ToolCallStart(0, "a", "hang"), ToolCallEnd(0), Finish("tool_calls")], text_events("Done."))
async def main():
    async with AsyncAssistant(providers={"mlx": model}, audit=False) as it:
        response = await it.respond("x", tools=[hang], tool_limits=ToolLimits(call_timeout_s=0.05))
        print(response.text)

asyncio.run(main())
"""
    clean = {name: value for name, value in os.environ.items() if name != "RINGFENCE_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=40, env=clean
    )
    assert done.stdout == "Done.\n"


def test_closing_a_synchronous_stream_cancels_a_coroutine() -> None:
    ended = threading.Event()

    async def slow() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "never"

    provider = ScriptedProvider(calls(("slow", {}), ("double", {"number": 1})))
    with Assistant(policy("first"), providers={"first": provider}, audit=False) as it:
        with it.stream("x", tools=[slow, double]) as stream:
            for event in stream:
                if isinstance(event, ToolFinished):
                    break
        assert ended.is_set()


# ------------------------------------------------------------------ arguments of the app
@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [3]},
        {"tools": weather},
        {"tools": [weather], "approve": True},
        {"tools": [weather], "tool_limits": {"rounds": 3}},
        {"tools": [weather, weather]},
        {"tools": [len]},
    ],
    ids=["no tool", "no list", "approve", "limits", "twice", "no types"],
)
async def test_what_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    provider = ScriptedProvider()
    async with one(provider) as it:
        with pytest.raises(InvalidRequest):
            await it.respond("x", **wrong)
    assert provider.requests == []


async def test_explain_takes_functions_too() -> None:
    async with one(ScriptedProvider()) as it:
        assert it.explain("x", tools=[look_up]).outcome == "allow"


async def test_no_part_of_a_tool_shows_in_a_repr() -> None:
    secret = ToolResult(CANARY, labels=frozenset({"work"}))
    assert CANARY not in repr(secret)
    message = Message("user", (TextPart(CANARY),))
    provider = ScriptedProvider(calls(("weather", {"city": CANARY})), CANARY)
    async with one(provider) as it, it.stream([message], tools=[weather]) as stream:
        events, _ = await drain(stream)
    between: list[Event] = [event for event in events if isinstance(event, ToolFinished | TurnStarted)]
    assert CANARY not in repr(between)
    assert CANARY not in repr(await stream.response())
