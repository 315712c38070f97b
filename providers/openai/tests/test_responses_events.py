"""Events and items of the Responses API beyond plain text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ringfence.request import Message, ReasoningPart, TextPart, ToolCallPart
from ringfence.response import Finish, ProviderEvent, TextDelta
from ringfence.routing.assemble import Assembler
from ringfence_openai.faults import Malformed, Refused
from ringfence_openai.responses.items import whole
from ringfence_openai.responses.stream import ResponsesDecoder

SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    "content": [{"type": "reasoning_text", "text": "Three."}],
    "encrypted_content": "E",
}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
TEXT = {"id": "m_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}


def _event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def _end(status: str = "completed", **fields: Any) -> bytes:
    return _event(f"response.{status}", response={"status": status, **fields})


def _read(*events: bytes) -> list[ProviderEvent]:
    decoder = ResponsesDecoder()
    found = [event for data in events for event in decoder.feed(data)]
    assert decoder.finished
    return found


def _message(events: Sequence[ProviderEvent]) -> Message:
    assembler = Assembler("openai", frozenset())
    for event in events:
        assembler.add(event)
    assert assembler.finish is not None
    return assembler.message()


def _whole(*items: Any, status: str = "completed", **fields: Any) -> list[ProviderEvent]:
    return whole(json.dumps({"status": status, "output": items, **fields}).encode(), "application/json")


def _same(one: Message, other: Message) -> bool:
    def plain(message: Message) -> list[Any]:
        return [
            (part.text, json.loads(part.state or "null")) if isinstance(part, ReasoningPart) else part
            for part in message.parts
        ]

    return plain(one) == plain(other)


def test_an_item_of_a_tool_at_the_vendor_is_kept_as_it_is() -> None:
    streamed = _read(
        _event("response.output_item.added", output_index=0, item={**SEARCH, "status": "in_progress"}),
        _event("response.web_search_call.searching", output_index=0, item_id="ws_1"),
        _event("response.output_item.done", output_index=0, item=SEARCH),
        _end(),
    )
    (part,) = _message(streamed).parts
    assert isinstance(part, ReasoningPart)
    assert json.loads(part.state or "") == SEARCH
    assert _same(_message(streamed), _message(_whole(SEARCH)))


def test_pieces_of_reasoning_are_joined_alike() -> None:
    def delta(kind: str, **fields: Any) -> bytes:
        return _event(f"response.reasoning_{kind}.delta", output_index=0, **fields)

    streamed = _read(
        _event("response.output_item.added", output_index=0, item={"type": "reasoning", "summary": []}),
        delta("summary_text", summary_index=0, delta="On"),
        delta("summary_text", summary_index=0, delta="e."),
        delta("summary_text", summary_index=1, delta="Two."),
        delta("text", content_index=0, delta="Three."),
        _event("response.output_item.done", output_index=0, item=REASONING),
        _end(),
    )
    assert _message(streamed).parts[0].text == "One.\n\nTwo.\n\nThree."  # type: ignore[union-attr]
    assert _same(_message(streamed), _message(_whole(REASONING)))


def test_items_that_come_without_deltas_are_told_all_the_same() -> None:
    items = (REASONING, TEXT, CALL)
    done = [_event("response.output_item.done", output_index=place, item=item) for place, item in enumerate(items)]
    assert _same(_message(_read(*done, _end())), _message(_whole(*items)))


def test_arguments_that_come_with_the_complete_call_are_told() -> None:
    events = _read(
        _event("response.output_item.added", output_index=0, item={**CALL, "arguments": ""}),
        _event("response.output_item.done", output_index=0, item=CALL),
        _end(),
    )
    assert _message(events).parts == (ToolCallPart("c1", "f", '{"a": 1}'),)
    assert events[-1] == Finish("tool_calls", "completed")


def test_parts_left_open_end_with_the_answer() -> None:
    events = _read(
        _event("response.output_text.delta", output_index=0, content_index=0, delta="Hal"),
        _end("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    )
    assert _message(events).parts == (TextPart("Hal"),)
    assert events[-1] == Finish("length", "max_output_tokens")


def _delta(text: str) -> bytes:
    return _event("response.output_text.delta", output_index=0, content_index=0, delta=text)


def _said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def test_text_that_only_the_complete_item_holds_is_told() -> None:
    done = _event("response.output_item.done", output_index=0, item=_said("half and the rest"))
    events = _read(_delta("half"), done, _end())
    assert _message(events).parts == (TextPart("half and the rest"),)
    assert TextDelta(0, " and the rest") in events


@pytest.mark.parametrize("status", ["completed", "incomplete"])
@pytest.mark.parametrize("before", [(), ("The ",), ("The ", "answer")])
def test_text_that_only_the_complete_answer_holds_is_told(status: str, before: tuple[str, ...]) -> None:
    events = _read(*(_delta(text) for text in before), _end(status, output=[_said("The answer")]))
    assert _message(events).parts == (TextPart("The answer"),)


def test_items_that_only_the_complete_answer_holds_are_told() -> None:
    items = (REASONING, TEXT, CALL)
    done = _event("response.output_item.done", output_index=1, item=TEXT)
    assert _same(_message(_read(_end(output=list(items)))), _message(_whole(*items)))
    assert len(_message(_read(done, _end(output=list(items)))).parts) == 3


def test_nothing_is_told_twice() -> None:
    done = _event("response.output_item.done", output_index=0, item=_said("Hi."))
    assert _message(_read(_delta("Hi."), done, _end(output=[_said("Hi.")]))).parts == (TextPart("Hi."),)
    assert _message(_read(_delta("Hi. "), _end(output=[_said("Hi.")]))).parts == (TextPart("Hi. "),)


@pytest.mark.parametrize("text", ["", " "])
def test_a_complete_item_without_its_text_takes_nothing_back(text: str) -> None:
    done = _event("response.output_item.done", output_index=0, item=_said(text))
    assert _message(_read(_delta("Hi."), done, _end())).parts == (TextPart("Hi."),)


def test_a_complete_item_that_says_something_else_breaks_the_answer() -> None:
    decoder = ResponsesDecoder()
    decoder.feed(_delta("yes"))
    with pytest.raises(Malformed):
        decoder.feed(_event("response.output_item.done", output_index=0, item=_said("no")))


def test_empty_deltas_make_no_part() -> None:
    events = _read(_event("response.output_text.delta", output_index=0, content_index=0, delta=""), _end())
    assert events == [Finish("stop", "completed")]


@pytest.mark.parametrize(
    ("reason", "unified"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("max_messages", "other")],
)
def test_an_incomplete_answer_says_why(reason: str, unified: Any) -> None:
    details = {"reason": reason}
    assert _read(_end("incomplete", incomplete_details=details))[-1] == Finish(unified, reason)
    assert _whole(status="incomplete", incomplete_details=details)[-1] == Finish(unified, reason)


def test_a_kind_of_event_that_nobody_knows_is_no_fault() -> None:
    assert ResponsesDecoder().feed(b'{"type": "response.new_thing.delta", "delta": {"not": "text"}}') == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"{}",
        b'{"type": 3}',
        b'{"type": "response.output_text.delta", "output_index": "x", "delta": "d"}',
        b'{"type": "response.output_text.delta", "output_index": 0, "delta": {}}',
        b'{"type": "response.output_item.done", "output_index": 0, "item": 3}',
        b'{"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call"}}',
        b'{"type": "response.completed", "response": {"status": "queued"}}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_event_breaks_the_answer(data: bytes) -> None:
    with pytest.raises(Malformed):
        ResponsesDecoder().feed(data)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"output": []}', b'{"status": "in_progress"}', b'{"status": "completed", "output": [3]}']
)
def test_what_is_no_answer_breaks_it(body: bytes) -> None:
    with pytest.raises(Malformed):
        whole(body, "application/json")


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (_event("error", code="server_error", message="m"), ("server_error",)),
        (_event("error", error={"type": "rate_limit_error", "code": None}), ("rate_limit_error",)),
        (_end("failed", error={"code": "rate_limit_exceeded", "message": "m"}), ("rate_limit_exceeded",)),
        (_end("failed"), ()),
    ],
)
def test_a_failure_inside_the_stream_is_a_refusal(data: bytes, codes: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as caught:
        ResponsesDecoder().feed(data)
    assert caught.value.codes == codes


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_whole_answer_that_failed_is_a_refusal(status: str) -> None:
    with pytest.raises(Refused):
        _whole(status=status)
