"""A tool call that the answer did not complete is no call: the answer is broken, and says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ringfence.errors import StreamBroken
from ringfence.request import TextPart, ToolCallPart
from ringfence.response import Finish, ProviderEvent, ToolCallDelta, ToolCallEnd
from ringfence.routing.assemble import Assembler
from ringfence_openai.chat.answer import ChatDecoder
from ringfence_openai.chat.answer import whole as whole_chat
from ringfence_openai.errors import as_provider_error
from ringfence_openai.faults import Cut, Refused
from ringfence_openai.responses.items import whole as whole_response
from ringfence_openai.responses.stream import ResponsesDecoder
from ringfence_openai.stops import Stopping

HALVES = ["", "{", '{"folder": "t', '"{}"', "[]"]


def _chat(arguments: str, reason: str) -> list[ProviderEvent]:
    call = {"index": 0, "id": "c", "function": {"name": "purge", "arguments": arguments}}
    decoder = ChatDecoder()
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": reason}]}
    events = [event for data in (json.dumps(chunk).encode(), b"[DONE]") for event in decoder.feed(data)]
    assert decoder.finished
    return events


def _whole_chat(arguments: str, reason: str) -> Sequence[ProviderEvent]:
    call = {"id": "c", "function": {"name": "purge", "arguments": arguments}}
    choice = {"index": 0, "message": {"tool_calls": [call]}, "finish_reason": reason}
    return whole_chat(json.dumps({"choices": [choice]}).encode(), "application/json")


def _item(arguments: str, status: str | None = None) -> dict[str, Any]:
    said = {} if status is None else {"status": status}
    return {"type": "function_call", "call_id": "c", "name": "purge", "arguments": arguments, **said}


def _ended(reason: str) -> dict[str, Any]:
    details = {"length": "max_output_tokens", "content_filter": "content_filter"}
    if reason not in details:
        return {"status": "completed"}
    return {"status": "incomplete", "incomplete_details": {"reason": details[reason]}}


def _event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": f"response.{kind}", "output_index": 0, **fields}).encode()


def _responses(arguments: str, reason: str, *, done: dict[str, Any] | None = None) -> list[ProviderEvent]:
    ended = _ended(reason)
    data = [_event("output_item.added", item=_item("")), _event("function_call_arguments.delta", delta=arguments)]
    if done is not None:
        data.append(_event("output_item.done", item=done))
    decoder = ResponsesDecoder()
    return [event for one in (*data, _event(str(ended["status"]), response=ended)) for event in decoder.feed(one)]


def _whole_response(arguments: str, reason: str, status: str | None = None) -> Sequence[ProviderEvent]:
    body = {**_ended(reason), "output": [_item(arguments, status)]}
    return whole_response(json.dumps(body).encode(), "application/json")


READERS: list[Callable[[str, str], Sequence[ProviderEvent]]] = [_chat, _whole_chat, _responses, _whole_response]


def _calls(events: Sequence[ProviderEvent]) -> list[str]:
    assembler = Assembler("openai", frozenset())
    for event in events:
        assembler.add(event)
    return [part.arguments for part in assembler.message().parts if isinstance(part, ToolCallPart)]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("arguments", HALVES)
def test_half_a_call_breaks_an_answer_that_was_cut(read: Any, reason: str, arguments: str) -> None:
    with pytest.raises(Cut):
        read(arguments, reason)


@pytest.mark.parametrize("read", READERS)
def test_a_call_whose_arguments_came_whole_outlives_the_cut(read: Any) -> None:
    events = read('{"folder": "tmp"}', "length")
    assert _calls(events) == ['{"folder": "tmp"}']
    assert events[-1].reason == "length"


@pytest.mark.parametrize("read", [_chat, _whole_chat, _whole_response])
def test_a_call_without_arguments_is_whole_where_the_answer_is(read: Any) -> None:
    events = read("", "tool_calls")
    assert _calls(events) == _calls(_chat("", "tool_calls"))
    assert events[-1].reason == "tool_calls"


def test_the_word_of_the_backend_makes_a_call_without_arguments_whole() -> None:
    assert len(_calls(_responses("", "length", done=_item("", "completed")))) == 1
    assert len(_calls(_whole_response("", "length", "completed"))) == 1
    with pytest.raises(Cut):
        _responses("", "length", done=_item(""))


@pytest.mark.parametrize("reason", ["length", "stop"])
def test_a_call_that_the_backend_calls_incomplete_is_none(reason: str) -> None:
    with pytest.raises(Cut):
        _responses('{"a', reason, done=_item('{"a', "incomplete"))
    with pytest.raises(Cut):
        _whole_response('{"a', reason, "incomplete")


def test_a_call_that_is_open_at_the_end_is_none() -> None:
    with pytest.raises(Cut):
        _responses('{"a":', "stop")


def test_arguments_go_on_being_told_as_they_come() -> None:
    decoder = ResponsesDecoder()
    decoder.feed(_event("output_item.added", item=_item("")))
    assert decoder.feed(_event("function_call_arguments.delta", delta='{"a')) == [ToolCallDelta(0, '{"a')]


def _stopping(*data: bytes) -> list[ProviderEvent]:
    decoder = Stopping(ResponsesDecoder(), ("END",))
    return [event for one in data for event in decoder.feed(one)]


TEXT = json.dumps(
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "bye END"}
).encode()


def test_a_stop_sequence_beside_an_open_call_breaks_the_answer() -> None:
    with pytest.raises(Cut):
        _stopping(_event("output_item.added", item=_item("")), TEXT)


def test_a_stop_sequence_after_a_call_leaves_the_call() -> None:
    whole = '{"text": "END"}'
    done = _event("output_item.done", item=_item(whole, "completed"))
    events = _stopping(_event("output_item.added", item=_item("")), done, TEXT)
    assert _calls(events) == [whole]
    assert ToolCallEnd(0) in events
    assert events[-1] == Finish("stop")


def test_the_error_says_what_happened_and_when() -> None:
    error = as_provider_error(Cut(), "before_first_event", 1)
    assert isinstance(error, StreamBroken)
    assert str(error).startswith("the answer was cut inside a tool call")
    assert error.phase == "mid_stream"


def test_a_failure_at_the_end_is_no_end() -> None:
    decoder = ResponsesDecoder()
    with pytest.raises(Refused):
        decoder.feed(_event("failed", response={"status": "failed"}))
    assert not decoder.finished


def test_text_that_was_cut_is_still_an_answer() -> None:
    decoder = ChatDecoder()
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hal"}, "finish_reason": "length"}]}
    assembler = Assembler("openai", frozenset())
    for data in (json.dumps(chunk).encode(), b"[DONE]"):
        for event in decoder.feed(data):
            assembler.add(event)
    assert assembler.message().parts == (TextPart("Hal"),)
