"""The shapes that are decoded by hand, held against the SDK's own types."""

from __future__ import annotations

import typing
from typing import Any, cast

import msgspec
import pytest
from openai.types import (
    CreateEmbeddingResponse,
    Embedding,
    Image,
    ImagesResponse,
    audio,
    chat,
    completion_usage,
    create_embedding_response,
    embedding_create_params,
    image_generate_params,
    images_response,
    responses,
)
from openai.types.audio import speech_create_params, transcription_create_params
from openai.types.chat import chat_completion, chat_completion_chunk, completion_create_params
from openai.types.responses import input_token_count_params, response, response_create_params, response_usage
from pydantic import BaseModel, TypeAdapter

from ringfence_openai import counting, embedding, media, transcript
from ringfence_openai.chat import wire as chat_wire
from ringfence_openai.fields import FIELDS, PROTECTED, STORED
from ringfence_openai.responses import wire

PAIRS: list[tuple[Any, Any]] = [
    (wire.OutputTextDelta, responses.ResponseTextDeltaEvent),
    (wire.RefusalDelta, responses.ResponseRefusalDeltaEvent),
    (wire.ArgumentsDelta, responses.ResponseFunctionCallArgumentsDeltaEvent),
    (wire.SummaryDelta, responses.ResponseReasoningSummaryTextDeltaEvent),
    (wire.ReasoningTextDelta, responses.ResponseReasoningTextDeltaEvent),
    (wire.ItemAdded, responses.ResponseOutputItemAddedEvent),
    (wire.ItemDone, responses.ResponseOutputItemDoneEvent),
    (wire.Created, responses.ResponseCreatedEvent),
    (wire.InProgress, responses.ResponseInProgressEvent),
    (wire.PartAdded, responses.ResponseContentPartAddedEvent),
    (wire.PartDone, responses.ResponseContentPartDoneEvent),
    (wire.TextDone, responses.ResponseTextDoneEvent),
    (wire.ErrorEvent, responses.ResponseErrorEvent),
    (wire.Completed, responses.ResponseCompletedEvent),
    (wire.Incomplete, responses.ResponseIncompleteEvent),
    (wire.Failed, responses.ResponseFailedEvent),
    (wire.Whole, responses.Response),
    (wire.UsageBody, responses.ResponseUsage),
    (wire.InputDetails, response_usage.InputTokensDetails),
    (wire.OutputDetails, response_usage.OutputTokensDetails),
    (wire.IncompleteDetails, response.IncompleteDetails),
    (wire.ErrorBody, responses.ResponseError),
    (wire.FunctionCall, responses.ResponseFunctionToolCall),
    (wire.MessageItem, responses.ResponseOutputMessage),
    (wire.ReasoningItem, responses.ResponseReasoningItem),
    (chat_wire.Chunk, chat.ChatCompletionChunk),
    (chat_wire.StreamChoice, chat_completion_chunk.Choice),
    (chat_wire.Delta, chat_completion_chunk.ChoiceDelta),
    (chat_wire.ToolCall, chat_completion_chunk.ChoiceDeltaToolCall),
    (chat_wire.Function, chat_completion_chunk.ChoiceDeltaToolCallFunction),
    (chat_wire.Whole, chat.ChatCompletion),
    (chat_wire.WholeChoice, chat_completion.Choice),
    (chat_wire.UsageBody, completion_usage.CompletionUsage),
    (chat_wire.PromptDetails, completion_usage.PromptTokensDetails),
    (chat_wire.CompletionDetails, completion_usage.CompletionTokensDetails),
    (embedding.Vectors, CreateEmbeddingResponse),
    (embedding.Vector, Embedding),
    (embedding.UsageBody, create_embedding_response.Usage),
    (media.Pictures, ImagesResponse),
    (media.Picture, Image),
    (media.PictureUsage, images_response.Usage),
    (transcript.Delta, audio.TranscriptionTextDeltaEvent),
    (transcript.Done, audio.TranscriptionTextDoneEvent),
    (transcript.Whole, audio.Transcription),
    (counting.Count, responses.input_token_count_response.InputTokenCountResponse),
]

OTHERS_FIELDS: dict[Any, set[str]] = {
    # What compatible servers add, and how some of them report failure inside a stream.
    chat_wire.Delta: {"reasoning_content", "reasoning"},
    chat_wire.Chunk: {"error"},
    wire.ErrorEvent: {"error"},
}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[f"{one.__module__}.{one.__name__}" for one, _ in PAIRS])
def test_every_field_that_is_read_is_one_of_the_sdk(ours: type[msgspec.Struct], theirs: type[BaseModel]) -> None:
    names = set(ours.__struct_encode_fields__) - OTHERS_FIELDS.get(ours, set())
    assert names <= set(theirs.model_fields)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(one, other) for one, other in PAIRS if one.__struct_config__.tag is not None],
    ids=[one.__name__ for one, _ in PAIRS if one.__struct_config__.tag is not None],
)
def test_every_tag_is_that_of_the_sdk(ours: type[msgspec.Struct], theirs: type[BaseModel]) -> None:
    (tag,) = typing.get_args(theirs.model_fields["type"].annotation)
    assert ours.__struct_config__.tag == tag


@pytest.mark.parametrize(
    ("route", "params"),
    [
        ("/responses", response_create_params.ResponseCreateParamsStreaming),
        ("/chat/completions", completion_create_params.CompletionCreateParamsStreaming),
        ("/embeddings", embedding_create_params.EmbeddingCreateParams),
        ("/images/generations", image_generate_params.ImageGenerateParamsStreaming),
        ("/audio/transcriptions", transcription_create_params.TranscriptionCreateParamsStreaming),
        ("/audio/speech", speech_create_params.SpeechCreateParams),
    ],
)
def test_the_fields_of_a_route_are_those_of_the_sdk(route: str, params: object) -> None:
    assert FIELDS[route] == set(cast("Any", params).__annotations__) | _bases(params)


def _bases(params: object) -> set[str]:
    return {name for base in getattr(params, "__orig_bases__", ()) for name in getattr(base, "__annotations__", {})}


def test_every_field_that_is_counted_is_one_of_the_sdk() -> None:
    assert set(counting.COUNTED) <= set(input_token_count_params.InputTokenCountParams.__annotations__)


def test_what_is_protected_is_a_field_somewhere() -> None:
    everywhere = {name for names in FIELDS.values() for name in names}
    assert everywhere >= PROTECTED | STORED


# ---------------------------------------------------------------- whole answers, field by field

USAGE = {
    "input_tokens": 42,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 62,
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1.0,
    "status": "incomplete",
    "error": None,
    "incomplete_details": {"reason": "max_output_tokens"},
    "instructions": None,
    "model": "gpt-6-astra",
    "output": [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "S"}],
            "encrypted_content": "E",
        },
        {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "T", "annotations": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
    ],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": USAGE,
}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-6-astra",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": "T",
                "refusal": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 42,
        "completion_tokens": 20,
        "total_tokens": 62,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
}


def _same(ours: object, theirs: object) -> bool:
    """Whether every field of ours has the value that theirs has."""
    if isinstance(ours, msgspec.Raw):
        ours = msgspec.json.decode(ours)
        return bool(ours == cast("Any", theirs).to_dict())
    if isinstance(ours, msgspec.Struct):
        return all(_same(getattr(ours, name), getattr(theirs, name, None)) for name in ours.__struct_fields__)
    if isinstance(ours, list):
        mine, given = cast("list[object]", ours), cast("list[object]", theirs)
        return len(mine) == len(given) and all(_same(one, other) for one, other in zip(mine, given, strict=True))
    return ours == theirs


def test_a_response_is_read_as_the_sdk_reads_it() -> None:
    theirs = TypeAdapter(responses.Response).validate_python(RESPONSE, strict=True)
    assert _same(wire.decode_whole(msgspec.json.encode(RESPONSE)), theirs)


def test_the_items_of_a_response_are_read_as_the_sdk_reads_them() -> None:
    theirs = TypeAdapter(responses.Response).validate_python(RESPONSE, strict=True)
    decoders: list[Any] = [wire.decode_reasoning, wire.decode_item, wire.decode_call, wire.decode_message]
    for given, item, decode in zip(cast("list[Any]", RESPONSE["output"]), theirs.output, decoders, strict=True):
        assert _same(decode(msgspec.json.encode(given)), item)


def test_a_completion_is_read_as_the_sdk_reads_it() -> None:
    theirs = TypeAdapter(chat.ChatCompletion).validate_python(COMPLETION, strict=True)
    ours = chat_wire.decode_whole(msgspec.json.encode(COMPLETION))
    assert _same(ours.usage, theirs.usage)
    (mine,), (other,) = ours.choices, theirs.choices
    assert (mine.index, mine.finish_reason) == (other.index, other.finish_reason)
    assert (mine.message.content, mine.message.refusal) == (other.message.content, other.message.refusal)
    assert mine.message.tool_calls is not None
    assert other.message.tool_calls is not None
    (call,), (known) = mine.message.tool_calls, cast("Any", other.message.tool_calls[0])
    assert call.function is not None
    assert (call.id, call.function.name, call.function.arguments) == (
        known.id,
        known.function.name,
        known.function.arguments,
    )


BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CALL = {"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}


@pytest.mark.parametrize(
    "chunk",
    [
        {**BASE, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {**BASE, "choices": [{"index": 0, "delta": {"tool_calls": [CALL]}, "finish_reason": None}]},
        {**BASE, "choices": [{"index": 0, "delta": {"refusal": "no"}, "finish_reason": "stop"}]},
        {**BASE, "choices": [], "usage": COMPLETION["usage"]},
    ],
)
def test_a_chunk_is_read_as_the_sdk_reads_it(chunk: dict[str, Any]) -> None:
    theirs = TypeAdapter(chat.ChatCompletionChunk).validate_python(chunk, strict=True)
    assert _same(chat_wire.decode_chunk(msgspec.json.encode(chunk)), theirs)


TEXT = {"item_id": "m", "output_index": 1, "content_index": 2, "delta": "x", "sequence_number": 1}


def _place(**fields: Any) -> dict[str, Any]:
    return {"item_id": "m", "output_index": 1, "delta": "x", "sequence_number": 1, **fields}


EVENTS: list[dict[str, Any]] = [
    {"type": "response.output_text.delta", **TEXT, "logprobs": []},
    {"type": "response.refusal.delta", **TEXT},
    {"type": "response.reasoning_text.delta", **TEXT},
    {"type": "response.function_call_arguments.delta", **_place()},
    {"type": "response.reasoning_summary_text.delta", **_place(summary_index=3)},
    {"type": "response.output_item.added", "output_index": 0, "item": RESPONSE["output"][2], "sequence_number": 1},
    {"type": "response.output_item.done", "output_index": 0, "item": RESPONSE["output"][0], "sequence_number": 1},
    {"type": "response.incomplete", "response": RESPONSE, "sequence_number": 1},
    {"type": "error", "code": "server_error", "message": "m", "param": None, "sequence_number": 1},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_an_event_is_read_as_the_sdk_reads_it(event: dict[str, Any]) -> None:
    theirs = TypeAdapter(responses.ResponseStreamEvent).validate_python(event, strict=True)
    ours = wire.decode_event(msgspec.json.encode(event))
    for name in ours.__struct_fields__:
        if hasattr(theirs, name):
            assert _same(getattr(ours, name), getattr(theirs, name))
