"""What goes out: whole and streamed, as the SDK's own types have it, and as our client reads it."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from contextlib import aclosing
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ringfence.errors import Overloaded
from ringfence.request import Message, OutputSchema, Request, Settings, TextPart, Tool, ToolCallPart
from ringfence.response import (
    Adjustment,
    Finish,
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
from ringfence.routing.assemble import Assembler
from ringfence.testing import Script, text_events
from ringfence_house_node.service import Call

RICH: list[ProviderEvent] = [
    ReasoningStart(0),
    ReasoningDelta(0, "Let me "),
    ReasoningDelta(0, "think."),
    ReasoningEnd(0),
    TextStart(1),
    TextDelta(1, "Two cities 🏛️: "),
    TextEnd(1),
    ToolCallStart(2, "c1", "weather"),
    ToolCallStart(3, "c2", "weather"),
    ToolCallDelta(3, '{"city": '),
    ToolCallDelta(2, '{"city": "Oslo"}'),
    ToolCallDelta(3, '"Rome"}'),
    ToolCallEnd(2),
    ToolCallEnd(3),
    UsageReport(
        usage=Usage(input_tokens=7, output_tokens=5, cached_input_tokens=6, reasoning_tokens=2),
    ),
    Finish("tool_calls", "tool_calls"),
]
TOOL = {"type": "function", "function": {"name": "weather"}}
CALLS = [("c1", "weather", '{"city": "Oslo"}'), ("c2", "weather", '{"city": "Rome"}')]


async def test_a_whole_answer_is_what_the_sdk_types_say(make_node: Any) -> None:
    _, body = await make_node(RICH).chat(tools=[TOOL])
    answer = ChatCompletion.model_validate(body, strict=True)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Two cities 🏛️: ")
    calls: Any = choice.message.tool_calls
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == CALLS
    assert choice.finish_reason == "tool_calls"
    assert body["choices"][0]["message"]["reasoning_content"] == "Let me think."
    assert answer.model == "house-model"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 5, 12)


async def test_every_event_of_a_stream_is_what_the_sdk_types_say(make_node: Any) -> None:
    *events, last = await make_node(RICH).stream(tools=[TOOL], stream_options={"include_usage": True})
    assert last == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(event, strict=True) for event in events]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == "Two cities 🏛️: "
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == "Let me think."
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "tool_calls"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


async def test_words_that_come_together_go_out_as_one_and_what_waits_for_nobody_goes_at_once(make_node: Any) -> None:
    words = tuple(f"word{number} " for number in range(64))
    at_once = await make_node(list(text_events(*words))).stream()
    one_by_one = await make_node(Script(events=text_events(*words[:4]), delay_s=0.001)).stream()

    assert _texts(at_once) == ["".join(words)]
    assert _texts(one_by_one) == list(words[:4])


def _texts(events: list[Any]) -> list[str]:
    deltas = [choice["delta"] for event in events[:-1] for choice in event["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


async def test_usage_comes_only_where_it_is_asked_for(make_node: Any) -> None:
    events = await make_node().stream()
    assert all("usage" not in event for event in events[:-1])


@pytest.mark.parametrize("stream", [True, False])
async def test_cached_tokens_are_never_told(make_node: Any, stream: bool) -> None:
    status, pieces = await make_node(RICH).call(
        {
            "model": "house-model",
            "messages": [{"role": "user", "content": "x"}],
            "stream": stream,
            "stream_options": {"include_usage": True},
        }
    )
    assert status == 200
    assert b"cached" not in b"".join(pieces)


async def test_the_sdk_reads_a_stream(make_node: Any) -> None:
    async with make_node("hello there").sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="house-model", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == "hello there"


async def test_the_sdk_parses_structured_output(make_node: Any) -> None:
    from pydantic import BaseModel

    class City(BaseModel):
        name: str
        people: int

    node = make_node('{"name": "Oslo", "people": 700000}')
    async with node.sdk() as sdk:
        answer = await sdk.chat.completions.parse(
            model="house-model", messages=[{"role": "user", "content": "Norway?"}], response_format=City
        )
    assert answer.choices[0].message.parsed == City(name="Oslo", people=700000)
    assert node.asked.output.schema["required"] == ["name", "people"]


# ---------------------------------------------------------------- our own client


def _request(**fields: Any) -> Request:
    return Request(messages=(Message("user", (TextPart("Hello"),)),), **fields)


def _assembled(events: list[ProviderEvent]) -> Assembler:
    assembler = Assembler("openai", frozenset())
    for event in events:
        assembler.add(event)
    return assembler


@pytest.mark.parametrize("stream", [True, False])
async def test_our_client_reads_what_the_engine_said(make_node: Any, ours_at: Any, stream: bool) -> None:
    ours = await ours_at(make_node(RICH))
    events = await ours.events(_request(tools=(Tool(name="weather"),), stream=stream))
    said = _assembled(events)
    message = said.message()
    assert message.text == "Two cities 🏛️: "
    assert [(p.id, p.name, p.arguments) for p in message.parts if isinstance(p, ToolCallPart)] == CALLS
    assert said.finish is not None
    assert said.finish.reason == "tool_calls"
    reported = [event.usage for event in events if isinstance(event, UsageReport)][-1]
    assert reported == Usage(input_tokens=7, output_tokens=5, reasoning_tokens=2)


async def test_what_our_client_asks_is_what_the_engine_is_asked(make_node: Any, ours_at: Any) -> None:
    node = make_node('{"a": 1}')
    ours = await ours_at(node)
    request = _request(
        settings=Settings(
            max_output_tokens=9, temperature=0.5, top_k=4, stop=("END",), logit_bias={3: 1.0}, reasoning_effort="low"
        ),
        output=OutputSchema(schema={"type": "object", "properties": {"a": {"type": "integer"}}}, name="answer"),
    )
    await ours.events(request)
    assert node.asked.settings == request.settings
    assert node.asked.messages == request.messages
    assert node.asked.output is not None
    assert node.asked.output.schema == request.output.schema  # type: ignore[union-attr]


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_finish_reason_arrives(make_node: Any, ours_at: Any, reason: Any, stream: bool) -> None:
    ours = await ours_at(make_node(list(text_events("x", finish=Finish(reason)))))
    events = await ours.events(_request(stream=stream))
    last = events[-1]
    assert isinstance(last, Finish)
    assert last.reason == reason


async def test_a_refusal_is_one(make_node: Any, ours_at: Any) -> None:
    node = make_node(list(text_events("I will not.", finish=Finish("refusal"))))
    _, body = await node.chat()
    message = ChatCompletion.model_validate(body, strict=True).choices[0].message
    assert (message.content, message.refusal) == (None, "I will not.")
    whole = await (await ours_at(node)).events(_request(stream=False))
    streamed = await (await ours_at(node)).events(_request())
    # The text of a stream has gone out before it is known to be a refusal.
    assert [getattr(events[-1], "reason", None) for events in (whole, streamed)] == ["refusal", "content_filter"]


async def test_vectors_arrive_in_both_codings(make_node: Any, ours_at: Any) -> None:
    node = make_node()
    for coding in ("float", "base64"):
        body = {"model": "house-model", "input": ["a", "bb"], "encoding_format": coding}
        status, pieces = await node.call(body, "/v1/embeddings")
        assert status == 200
        answer = CreateEmbeddingResponse.model_validate_json(pieces[0]) if coding == "float" else None
        data = json.loads(pieces[0])["data"]
        if answer is not None:
            assert [one.embedding for one in answer.data] == [[1.0, 0.0], [0.0, 1.0]]
            assert answer.usage.prompt_tokens == 3
        else:
            assert struct.unpack("<2f", base64.b64decode(data[1]["embedding"])) == (0.0, 1.0)
    texts = Message("user", (TextPart("a"), TextPart("bb")))
    made = await (await ours_at(node)).vectors(Request(messages=(texts,), task="embed"))
    assert made.vectors == ((1.0, 0.0), (0.0, 1.0))
    assert node.asked.task == "embed"


@pytest.mark.parametrize(
    "fields",
    [{"input": [1, 2]}, {"input": []}, {"input": " "}, {"input": "x", "dimensions": 2}, {"input": ["a"] * 2049}],
)
async def test_what_cannot_be_embedded_is_refused(make_node: Any, fields: dict[str, Any]) -> None:
    node = make_node()
    status, pieces = await node.call({"model": "house-model", **fields}, "/v1/embeddings")
    assert (status, json.loads(pieces[0])["error"]["type"]) == (400, "invalid_request_error")
    assert node.engine.requests == []


async def test_a_server_without_vectors_is_not_asked_for_any(make_node: Any) -> None:
    node = make_node(server="mlx_lm")
    status, pieces = await node.call({"model": "house-model", "input": "x"}, "/v1/embeddings")
    assert (status, json.loads(pieces[0])["error"]["code"]) == (400, "unsupported_parameter")


# ---------------------------------------------------------------- what was not honoured, silence, hanging up


async def test_what_the_engine_did_not_honour_is_told(make_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    node = make_node()
    made = Adjustment(setting="reasoning_effort", action="changed", detail="the model knows no levels")
    plan: Any = node.engine.plan

    def adjusted(*given: Any) -> Any:
        return replace(plan(*given), adjustments=(made,))

    monkeypatch.setattr(node.engine, "plan", adjusted)
    told = [{"setting": "reasoning_effort", "action": "changed", "detail": "the model knows no levels"}]
    _, body = await node.chat()
    assert body["adjustments"] == told
    events = await node.stream()
    assert events[-2]["adjustments"] == told


async def test_a_silent_engine_has_a_stream_that_has_begun(make_node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence_house_node.api.answering.HEAD_AFTER_S", 0.01)
    node = make_node(Script(delay_s=60))
    answer = await asyncio.wait_for(node.api.respond(_call()), 30)
    assert (answer.status, answer.stream) == (200, True)
    await answer.body.aclose()
    assert node.engine.cancelled == 1


async def test_an_engine_that_fails_after_a_silence_says_so_in_the_stream(
    make_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence_house_node.api.answering.HEAD_AFTER_S", 0.0)
    *_, last = await make_node(Script(events=(), error=Overloaded("full"))).stream()
    assert last["error"]["code"] == "server_is_overloaded"


async def _until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  (the double has no event)
            await asyncio.sleep(0.005)


SLOW = Script(events=text_events(*["x"] * 500), delay_s=0.01)


def _call() -> Call:
    body = {"model": "house-model", "messages": [{"role": "user", "content": "x"}], "stream": True}
    return Call(path="/v1/chat/completions", body=json.dumps(body).encode(), tenant=None)


@pytest.mark.parametrize("drawn", [0, 3])
async def test_closing_the_body_ends_the_work(make_node: Any, drawn: int) -> None:
    node = make_node(SLOW)
    answer = await node.api.respond(_call())
    async with aclosing(answer.body) as body:
        for _ in range(drawn):
            await anext(body)
    assert node.engine.cancelled == 1


async def test_a_caller_that_goes_before_the_first_event_ends_the_work(make_node: Any) -> None:
    node = make_node(Script(delay_s=60))
    asking = asyncio.create_task(node.api.respond(_call()))
    await _until(lambda: node.engine.requests)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert node.engine.cancelled == 1


async def test_answers_side_by_side_do_not_mix(make_node: Any) -> None:
    node = make_node(*[Script(events=text_events(*[str(n)] * 20), delay_s=0.001) for n in range(8)])
    streams = await asyncio.gather(*(node.stream() for _ in range(8)))
    texts = [
        "".join(choice["delta"].get("content", "") for event in events[:-1] for choice in event["choices"])
        for events in streams
    ]
    assert sorted(texts) == [str(n) * 20 for n in range(8)]
