"""What compatible servers write differently, chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ringfence.request import Message, ReasoningPart, TextPart, ToolCallPart
from ringfence.response import Finish, ProviderEvent, ToolCallStart, Usage, UsageReport
from ringfence.routing.assemble import Assembler
from ringfence_openai.chat.answer import ChatDecoder, whole
from ringfence_openai.faults import Malformed, Refused


def _chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return json.dumps({"id": "x", "choices": [choice], **fields}).encode()


def _read(*chunks: bytes) -> list[ProviderEvent]:
    decoder = ChatDecoder()
    return [event for chunk in (*chunks, b"[DONE]") for event in decoder.feed(chunk)]


def _message(events: Sequence[ProviderEvent]) -> Message:
    assembler = Assembler("openai", frozenset())
    for event in events:
        assembler.add(event)
    assert assembler.finish is not None
    return assembler.message()


def _call(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    given = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [{key: value for key, value in given.items() if value is not None}]}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_of_other_servers_is_reasoning(field: str) -> None:
    events = _read(_chunk({field: "hm "}), _chunk({field: "yes"}), _chunk({"content": "A"}), _chunk(finish="stop"))
    assert _message(events).parts == (ReasoningPart("openai", "hm yes"), TextPart("A"))
    body = {"choices": [{"index": 0, "message": {field: "hm yes", "content": "A"}, "finish_reason": "stop"}]}
    assert _message(whole(json.dumps(body).encode(), "application/json")).parts == _message(events).parts


def test_calls_in_turns_and_at_once_are_told_apart() -> None:
    events = _read(
        _chunk(_call(0, "a", "f", "")),
        _chunk(_call(1, "b", "g", "")),
        _chunk(_call(1, None, None, "{1}")),
        _chunk(_call(0, None, None, "{0}")),
        _chunk(finish="tool_calls"),
    )
    assert _message(events).parts == (ToolCallPart("a", "f", "{0}"), ToolCallPart("b", "g", "{1}"))


def test_calls_that_all_have_the_index_0_are_told_apart_by_id() -> None:
    """As Ollama writes them."""
    events = _read(
        _chunk(_call(0, "a", "f", "{0}")), _chunk(_call(0, "b", "f", "{1}")), _chunk(_call(0, "c", "f", "{2}"), "stop")
    )
    assert [part.arguments for part in _message(events).parts if isinstance(part, ToolCallPart)] == [
        "{0}",
        "{1}",
        "{2}",
    ]
    assert events[-1] == Finish("tool_calls", "stop")


def test_a_call_without_an_id_gets_one() -> None:
    (part,) = _message(_read(_chunk(_call(0, None, "f", "{}")), _chunk(finish="tool_calls"))).parts
    assert isinstance(part, ToolCallPart)
    assert part.id == "call_0"


def test_a_call_without_an_index_takes_its_place() -> None:
    body = {"tool_calls": [_call(None, "a", "f", "{}")["tool_calls"][0], _call(None, "b", "g", "{}")["tool_calls"][0]]}
    events = _read(_chunk(body), _chunk(finish="tool_calls"))
    assert [part.name for part in _message(events).parts if isinstance(part, ToolCallPart)] == ["f", "g"]


@pytest.mark.parametrize("index", [None, 0])
def test_calls_without_ids_are_told_apart_by_their_names(index: int | None) -> None:
    events = _read(
        _chunk(_call(index, None, "f", '{"a": 1}')),
        _chunk(_call(index, None, "g", '{"b"')),
        _chunk(_call(index, None, None, ": 2}"), "tool_calls"),
    )
    assert [part for part in _message(events).parts if isinstance(part, ToolCallPart)] == [
        ToolCallPart(_ids(events)[0], "f", '{"a": 1}'),
        ToolCallPart(_ids(events)[1], "g", '{"b": 2}'),
    ]
    assert len(set(_ids(events))) == 2


def _ids(events: Sequence[ProviderEvent]) -> list[str]:
    return [event.id for event in events if isinstance(event, ToolCallStart)]


def test_calls_without_an_index_go_on_at_their_ids() -> None:
    events = _read(
        _chunk(_call(None, "a", "f", '{"a"')),
        _chunk(_call(None, "b", "g", '{"b"')),
        _chunk(_call(None, "a", None, ": 1}")),
        _chunk(_call(None, "b", "g", ": 2}"), "tool_calls"),
    )
    assert _message(events).parts == (ToolCallPart("a", "f", '{"a": 1}'), ToolCallPart("b", "g", '{"b": 2}'))


def test_a_name_that_comes_again_begins_no_call() -> None:
    events = _read(_chunk(_call(0, None, "f", '{"a"')), _chunk(_call(0, None, "f", ": 1}"), "tool_calls"))
    assert [part.arguments for part in _message(events).parts if isinstance(part, ToolCallPart)] == ['{"a": 1}']


@pytest.mark.parametrize("call_id", [None, "nobody"])
def test_arguments_of_no_call_break_the_answer(call_id: str | None) -> None:
    with pytest.raises(Malformed):
        ChatDecoder().feed(_chunk(_call(None, call_id, None, "{}")))


@pytest.mark.parametrize(
    ("raw", "unified"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
        ("eos", "other"),
    ],
)
def test_reasons_are_unified_and_kept(raw: str, unified: Any) -> None:
    assert _read(_chunk({"content": "A"}), _chunk(finish=raw))[-1] == Finish(unified, raw)


def test_a_refusal_is_text_and_a_reason() -> None:
    events = _read(_chunk({"refusal": "I can"}), _chunk({"refusal": "not."}), _chunk(finish="stop"))
    assert _message(events).text == "I cannot."
    assert events[-1] == Finish("refusal", "stop")


def test_usage_with_every_chunk_is_told_once() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    events = _read(
        _chunk({"content": "A"}, usage=usage), _chunk(finish="stop", usage={**usage, "completion_tokens": 2})
    )
    assert [event.usage for event in events if isinstance(event, UsageReport)] == [
        Usage(input_tokens=3, output_tokens=2)
    ]


def test_chunks_without_choices_are_no_fault() -> None:
    events = _read(b'{"choices": [], "prompt_filter_results": [{}]}', _chunk({"content": "A"}), _chunk(finish="stop"))
    assert _message(events).text == "A"


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b'{"error": {"message": "m", "type": "server_error", "code": 500}}', ("server_error",)),
        (b'{"error": {"message": "m", "code": "rate_limit_exceeded", "type": null}}', ("rate_limit_exceeded",)),
        (b'{"error": "model crashed"}', ()),
    ],
)
def test_an_error_inside_the_stream_is_a_refusal(data: bytes, codes: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as caught:
        ChatDecoder().feed(data)
    assert caught.value.codes == codes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"object": "x"}',
        b'{"choices": [{"delta": {"content": 1}}]}',
        b"\xff",
        b"[DONE]",
    ],
)
def test_what_is_no_chunk_breaks_the_answer(data: bytes) -> None:
    with pytest.raises(Malformed):
        ChatDecoder().feed(data)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"<html>"])
def test_what_is_no_completion_breaks_the_answer(body: bytes) -> None:
    with pytest.raises(Malformed):
        whole(body, "application/json")
