"""Invariants 8 and 9: one execution path, and a stream that breaks never passes for a complete answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from tests.core.support import CANARY, ONCE, Acting, as_shown, assistant, drain, policy, records

from ringfence.errors import (
    AuthenticationFailed,
    BackendDied,
    Closed,
    ConnectFailed,
    ContextLengthExceeded,
    GateError,
    Overloaded,
    ProtocolViolated,
    ProviderError,
    RateLimited,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    TimedOut,
    Unavailable,
    Unsupported,
)
from ringfence.grant import Grant
from ringfence.provider import Plan
from ringfence.request import TextPart, ToolCallPart
from ringfence.response import (
    Event,
    Finish,
    Joined,
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)
from ringfence.testing import Script, ScriptedProvider, failing, text_events

FAULTS: list[Callable[[], BaseException]] = [
    lambda: ProviderError("x"),
    lambda: Unavailable("x", reason="no_memory"),
    lambda: Unsupported("x", setting="seed"),
    lambda: ContextLengthExceeded("x", needed_tokens=2, context_tokens=1),
    lambda: AuthenticationFailed("x"),
    lambda: RequestRejected("x"),
    lambda: RateLimited("x"),
    lambda: Overloaded("x"),
    lambda: ConnectFailed("x"),
    lambda: TimedOut("x", limit="between_events", phase="mid_stream"),
    lambda: StreamBroken("x"),
    lambda: BackendDied("x"),
    lambda: ProtocolViolated("x"),
    lambda: GateError("x"),
    lambda: ValueError(CANARY),
    lambda: KeyError(CANARY),
    lambda: OSError(CANARY),
]
ANSWER = text_events("Hel", "lo ", "wor", "ld")
SECOND = text_events("an", "other")


def named(make: object) -> str:
    return type(make()).__name__ if callable(make) else str(make)


@pytest.mark.parametrize("how", ["fail", "restart", "continue"])
@pytest.mark.parametrize("make", FAULTS, ids=named)
async def test_a_fault_at_any_event_gives_what_the_policy_declares(
    how: str, make: Callable[[], BaseException], tmp_path: Path
) -> None:
    rules = policy("first", "second", fallback=["second"], on_broken_stream=how)
    for index in range(len(ANSWER) + 1):
        at = None if index == len(ANSWER) else index
        error = make()
        first = ScriptedProvider(Script(events=ANSWER, error=error, error_at=at))
        second = ScriptedProvider(SECOND)
        log = tmp_path / str(index)
        async with assistant(rules, log, retry=ONCE, first=first, second=second) as it:
            stream = it.stream("x")
            events, raised = await drain(stream)
        shown = as_shown(ANSWER[:index])
        (receipt,) = records(log)
        expected_error = type(error).__name__
        assert receipt["attempts"][0]["error"] == expected_error
        if index == 0:
            # Nothing came, so nothing is broken: the fallback answers, and no join is seen.
            assert raised is None
            assert [event for event in events if isinstance(event, Joined)] == []
            assert as_shown(events) == "another"
        elif how == "fail":
            assert isinstance(raised, StreamBroken)
            assert raised.partial_text == shown
            assert raised.receipt is not None
            assert second.requests == []
            assert as_shown(events) == shown
            assert receipt["outcome"] == "failed"
            assert CANARY not in str(raised)
        else:
            assert raised is None
            response = await stream.response()
            (joined,) = response.joins
            assert [event for event in events if isinstance(event, Joined)] == [joined]
            assert (joined.broken, joined.recipient) == ("first", "second")
            # Where no text has come there is nothing to go on with.
            assert joined.how == ("continue" if how == "continue" and shown else "restart")
            whole = shown + "another" if how == "continue" else "another"
            assert response.text == whole
            assert as_shown(events) == whole
            assert receipt["output_bytes"] == len(whole)
            assert [attempt["error"] for attempt in receipt["attempts"]] == [expected_error, None]


@pytest.mark.parametrize("how", ["fail", "restart", "continue"])
@pytest.mark.parametrize("index", range(1, len(ANSWER) + 1))
async def test_partial_text_holds_what_came_when_nobody_can_go_on(how: str, index: int) -> None:
    at = None if index == len(ANSWER) else index
    first = ScriptedProvider(Script(events=ANSWER, error=StreamBroken("cut"), error_at=at))
    async with assistant(policy("first", on_broken_stream=how), first=first) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond("x")
    assert caught.value.partial_text == as_shown(ANSWER[:index])
    assert caught.value.recipient == "first"


@pytest.mark.parametrize("how", ["restart", "continue"])
async def test_partial_text_holds_what_came_when_the_fallback_cannot_even_start(how: str) -> None:
    first = ScriptedProvider(failing(StreamBroken("cut"), after=ANSWER[:3]))
    second = ScriptedProvider(failing(AuthenticationFailed("no")))
    rules = policy("first", "second", fallback=["second"], on_broken_stream=how)
    async with assistant(rules, first=first, second=second) as it:
        stream = it.stream("x")
        events, raised = await drain(stream)
    assert isinstance(raised, StreamBroken)
    assert raised.partial_text == as_shown(events) == "Hello "


@pytest.mark.parametrize("how", ["fail", "restart", "continue"])
async def test_output_bytes_of_a_broken_answer_count_what_came_once(how: str) -> None:
    first = ScriptedProvider(failing(StreamBroken("cut"), after=ANSWER[:3]))
    async with assistant(policy("first", on_broken_stream=how), first=first) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond("x")
    assert caught.value.receipt is not None
    assert caught.value.receipt.output_bytes == len("Hello ")


async def test_input_bytes_of_a_failed_request_count_what_was_sent_though_the_last_recipient_was_away() -> None:
    first = ScriptedProvider(failing(ProviderError("no")))
    rules = policy("first", "gone", fallback=["gone"])
    async with assistant(rules, first=first) as it:
        with pytest.raises(ProviderError) as caught:
            await it.respond("12345")
    assert caught.value.receipt is not None
    assert caught.value.receipt.input_bytes == 5
    assert caught.value.receipt.recipient == "first"


async def test_two_breaks_are_two_joins_and_the_text_is_whole() -> None:
    first = ScriptedProvider(failing(StreamBroken("cut"), after=text_events("one ")[:2]))
    second = ScriptedProvider(failing(StreamBroken("cut"), after=text_events("two ")[:2]))
    third = ScriptedProvider("three")
    rules = policy("first", "second", "third", fallback=["second", "third"], on_broken_stream="continue")
    async with assistant(rules, first=first, second=second, third=third) as it:
        response = await it.respond("x")
    assert response.text == "one two three"
    assert [(j.broken, j.recipient, j.how) for j in response.joins] == [
        ("first", "second", "continue"),
        ("second", "third", "continue"),
    ]
    assert [m.role for m in third.requests[0].messages] == ["user", "assistant", "user"]
    assert third.requests[0].messages[1].text == "one two "


async def test_a_continuation_is_told_what_came_and_nothing_is_told_it_on_restart() -> None:
    broken = failing(StreamBroken("cut"), after=ANSWER[:2])
    for how, roles in (("restart", ["user"]), ("continue", ["user", "assistant", "user"])):
        second = ScriptedProvider("lo")
        rules = policy("first", "second", fallback=["second"], on_broken_stream=how)
        async with assistant(rules, first=ScriptedProvider(broken), second=second) as it:
            await it.respond("x")
        assert [m.role for m in second.requests[0].messages] == roles


@pytest.mark.parametrize(
    "begun",
    [
        (ReasoningStart(0), ReasoningDelta(0, "hm"), ReasoningEnd(0)),
        (ToolCallStart(0, "1", "look"), ToolCallDelta(0, "{")),
        (TextStart(0), TextDelta(0, "a"), TextEnd(0), ToolCallStart(1, "1", "look")),
    ],
    ids=["reasoning", "open tool call", "text and a tool call"],
)
async def test_what_is_not_only_text_is_not_continued(begun: tuple[ProviderEvent, ...]) -> None:
    first, second = ScriptedProvider(failing(StreamBroken("cut"), after=begun)), ScriptedProvider("more")
    rules = policy("first", "second", fallback=["second"], on_broken_stream="continue")
    async with assistant(rules, first=first, second=second) as it:
        with pytest.raises(StreamBroken):
            await it.respond("x")
    assert second.requests == []


async def test_structured_output_is_never_continued() -> None:
    first, second = ScriptedProvider(failing(StreamBroken("cut"), after=text_events("[1,")[:2])), ScriptedProvider("2]")
    rules = policy("first", "second", fallback=["second"], on_broken_stream="continue")
    async with assistant(rules, first=first, second=second) as it:
        with pytest.raises(StreamBroken):
            await it.respond("x", output={"type": "array"})
    assert second.requests == []


async def test_text_view_of_a_restarted_stream_never_joins_two_answers() -> None:
    first = ScriptedProvider(failing(StreamBroken("cut"), after=ANSWER[:3]))
    rules = policy("first", "second", fallback=["second"], on_broken_stream="restart")
    async with assistant(rules, first=first, second=ScriptedProvider(SECOND)) as it:
        stream = it.stream("x")
        text = ""
        try:
            async for piece in stream.text():
                text += piece
        except RingfenceError:
            return
    # It may end at the join, or begin again; it may not show half an answer and another one as one text.
    assert text in {"Hello ", "another"}


# ------------------------------------------------------------------ grammar
_T, _D, _E, _F = TextStart(0), TextDelta(0, "a"), TextEnd(0), Finish("stop")
_GRAMMAR: dict[str, tuple[object, ...]] = {
    "delta without start": (_D,),
    "end without start": (_E,),
    "delta after end": (_T, _D, _E, _D),
    "end twice": (_T, _E, _E),
    "start twice": (_T, _T),
    "index skipped": (TextStart(1),),
    "index negative": (TextStart(-1),),
    "index reused after end": (_T, _E, _T),
    "finish inside an open part": (_T, _D, _F),
    "event after finish": (_T, _E, _F, UsageReport(usage=Usage())),
    "finish twice": (_F, _F),
    "reasoning delta in a text": (_T, ReasoningDelta(0, "a")),
    "tool delta in a text": (_T, ToolCallDelta(0, "{")),
    "text delta in reasoning": (ReasoningStart(0), _D),
    "reasoning end of a text": (_T, ReasoningEnd(0)),
    "text end of a tool call": (ToolCallStart(0, "1", "look"), _E),
    "tool end of reasoning": (ReasoningStart(0), ToolCallEnd(0)),
    "delta at an unknown index": (_T, TextDelta(7, "a")),
    "a string": ("hello",),
    "None": (None,),
    "a dict": ({"type": "text_delta"},),
    "a join of its own": (Joined(broken="a", recipient="b", how="restart"),),
}


@pytest.mark.parametrize("events", _GRAMMAR.values(), ids=_GRAMMAR.keys())
@pytest.mark.parametrize("tail", [(), (_F,)], ids=["then ends", "then finishes"])
async def test_a_break_of_the_event_grammar_is_an_error(events: tuple[object, ...], tail: tuple[object, ...]) -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        for event in (*events, *tail):
            yield event  # type: ignore[misc]  # pyright: ignore[reportReturnType]

    provider = Acting(body)
    async with assistant(policy("first"), first=provider) as it:
        _, error = await drain(it.stream("x"))
    assert isinstance(error, ProtocolViolated | StreamBroken)
    assert error.receipt is not None
    assert [attempt.error for attempt in error.receipt.attempts] in (["ProtocolViolated"], ["StreamBroken"])
    assert provider.ended == 1


@pytest.mark.parametrize("count", range(len(ANSWER)))
async def test_a_stream_that_ends_without_finish_is_an_error(count: int) -> None:
    async with assistant(policy("first"), first=ScriptedProvider(ANSWER[:count])) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond("x")
    assert caught.value.partial_text == as_shown(ANSWER[:count])


async def test_a_stream_that_ended_before_it_began_says_so_in_its_phase() -> None:
    async with assistant(policy("first"), first=ScriptedProvider(())) as it:
        with pytest.raises(StreamBroken) as caught:
            await it.respond("x")
    assert caught.value.phase == "before_first_event"


@pytest.mark.parametrize("bad", [b"bytes", None, 5], ids=["bytes", "None", "int"])
@pytest.mark.parametrize("then", ["end", "raise"])
async def test_a_delta_that_is_no_text_is_an_error_with_a_receipt(bad: object, then: str, tmp_path: Path) -> None:
    events: list[ProviderEvent] = [TextStart(0), TextDelta(0, bad)]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    script = Script(events=[*events, _E, _F]) if then == "end" else Script(events=events, error=StreamBroken("cut"))
    async with assistant(policy("first"), tmp_path, first=ScriptedProvider(script)) as it:
        with pytest.raises(ProviderError):
            await it.respond("x")
    assert [receipt["outcome"] for receipt in records(tmp_path)] == ["failed"]


# ------------------------------------------------------------------ what a provider may do while it is closed
async def test_a_provider_that_raises_while_it_is_closed_does_not_reach_the_app(tmp_path: Path) -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            for event in ANSWER:
                yield event
        except GeneratorExit:
            raise ValueError(CANARY) from None

    async with assistant(policy("first"), tmp_path, first=Acting(body)) as it:
        stream = it.stream("x")
        await anext(stream)
        await stream.aclose()
    (receipt,) = records(tmp_path)
    assert receipt["outcome"] == "cancelled"
    assert [attempt["recipient"] for attempt in receipt["attempts"]] == ["first"]


async def test_a_provider_that_raises_while_a_broken_stream_of_it_is_closed_raises_no_content() -> None:
    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        try:
            yield TextDelta(0, "without a start")
        finally:
            raise ValueError(CANARY)

    async with assistant(policy("first"), first=Acting(body)) as it:
        with pytest.raises(RingfenceError) as caught:
            await it.respond("x")
    assert CANARY not in str(caught.value)


async def test_a_provider_whose_run_is_no_generator_is_an_error_of_the_tree(tmp_path: Path) -> None:
    class Wrong(ScriptedProvider):
        def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
            return "no generator"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    async with assistant(policy("first"), tmp_path, first=Wrong()) as it:
        with pytest.raises(ProviderError):
            await it.respond("x")
    assert [len(receipt["attempts"]) for receipt in records(tmp_path)] == [1]


# ------------------------------------------------------------------ streaming equals not streaming
_MIXED: tuple[ProviderEvent, ...] = (
    ReasoningStart(0),
    ReasoningDelta(0, "think"),
    ReasoningEnd(0, state="opaque"),
    UsageReport(usage=Usage(input_tokens=1)),
    TextStart(1),
    ToolCallStart(2, "call-1", "look"),
    TextDelta(1, "Hel"),
    ToolCallDelta(2, '{"a":'),
    TextDelta(1, "lo"),
    ToolCallDelta(2, "1}"),
    ToolCallEnd(2),
    TextEnd(1),
    UsageReport(usage=Usage(input_tokens=3, output_tokens=2)),
    Finish("tool_calls", "tool_use"),
)


@pytest.mark.parametrize("events", [ANSWER, _MIXED, (Finish("refusal", "no"),)], ids=["text", "mixed", "empty"])
async def test_streaming_gives_exactly_what_not_streaming_gives(events: tuple[ProviderEvent, ...]) -> None:
    async with assistant(policy("first"), first=ScriptedProvider(events)) as it:
        whole = await it.respond("x")
        stream = it.stream("x")
        seen, error = await drain(stream)
        streamed = await stream.response()
    assert error is None
    assert tuple(seen) == events
    for name in ("message", "finish", "usage", "adjustments", "labels", "joins", "output"):
        assert getattr(whole, name) == getattr(streamed, name)


async def test_parts_stand_in_order_of_index_though_they_overlap() -> None:
    async with assistant(policy("first"), first=ScriptedProvider(_MIXED)) as it:
        response = await it.respond("x")
    (reasoning,) = response.reasoning
    assert (reasoning.provider, reasoning.text, reasoning.state) == ("first", "think", "opaque")
    assert response.message.parts[1:] == (
        TextPart("Hello", labels=response.labels),
        ToolCallPart("call-1", "look", '{"a":1}', labels=response.labels),
    )
    assert response.usage == Usage(input_tokens=3, output_tokens=2)
    assert (response.finish_reason, response.finish.raw) == ("tool_calls", "tool_use")


async def test_the_response_of_a_stream_that_failed_raises_the_same_again() -> None:
    async with assistant(policy("first"), first=ScriptedProvider(failing(RequestRejected("no")))) as it:
        stream = it.stream("x")
        _, error = await drain(stream)
        with pytest.raises(RequestRejected) as caught:
            await stream.response()
    assert caught.value is error


async def test_a_closed_stream_has_no_response() -> None:
    async with assistant(policy("first"), first=ScriptedProvider("abc")) as it:
        stream = it.stream("x")
        await anext(stream)
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(Closed):
            await stream.response()


async def test_a_stream_that_was_never_drawn_sends_nothing_and_leaves_no_receipt(tmp_path: Path) -> None:
    provider = ScriptedProvider("abc")
    async with assistant(policy("first"), tmp_path / "log", first=provider) as it:
        await it.stream("x").aclose()
        it.stream("x")
        await asyncio.sleep(0)
    assert provider.requests == []
    assert not (tmp_path / "log").exists()


async def test_events_are_seen_as_they_come_and_not_at_the_end() -> None:
    passed = asyncio.Event()

    async def body(plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        grant.spend(plan.request)
        yield TextStart(0)
        yield TextDelta(0, "a")
        await asyncio.wait_for(passed.wait(), 5)
        yield TextEnd(0)
        yield Finish("stop")

    async with assistant(policy("first"), first=Acting(body)) as it:
        seen: list[Event] = []
        async for event in it.stream("x"):
            seen.append(event)
            if len(seen) == 2:
                passed.set()
    assert len(seen) == 4
