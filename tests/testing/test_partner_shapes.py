"""Every answer and event of the double has the shape that the vendors' own SDKs declare."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, get_args, get_type_hints

import pytest
from google.genai import models as genai_models
from google.genai import types as genai
from openai.types import (
    CreateEmbeddingResponse,
    ImageGenStreamEvent,
    ImagesResponse,
    Model,
    embedding_create_params,
    image_generate_params,
)
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionVerbose,
    speech_create_params,
    transcription_create_params,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk, completion_create_params
from openai.types.responses import Response, ResponseStreamEvent, input_token_count_params, response_create_params
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from openai.types.shared import ErrorObject
from tests.testing.scenery import ERRORS, SCENES, sse_data, unknown_fields, validated

from ringfence.testing.partners import (
    gemini_content,
    gemini_errors,
    gemini_fields,
    gemini_media,
    openai_chat,
    openai_errors,
    openai_fields,
    openai_media,
    openai_responses,
    wire_events,
)
from ringfence.testing.scenes import ErrorKind, Scene

REQUEST: dict[str, object] = {
    "model": "gpt-5-mini",
    "input": "hello",
    "instructions": "Be brief.",
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
    "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
    "max_output_tokens": 20,
}
CHAT: dict[str, object] = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
# The vendor sends these; its SDK does not declare them.
SENT_UNDECLARED = {"response.store", "store", "obfuscation"}


@pytest.fixture(params=SCENES, ids=str)
def scene(request: pytest.FixtureRequest) -> Scene:
    return SCENES[request.param]


def test_responses_events_are_those_of_the_sdk(scene: Scene) -> None:
    events = sse_data(openai_responses.answer({**REQUEST, "stream": True}, scene).events)
    for number, event in enumerate(events):
        known = validated(ResponseStreamEvent, event)
        assert known.type == event["type"]
        assert known.sequence_number == number
        assert unknown_fields(known) <= SENT_UNDECLARED


def test_a_whole_response_is_that_of_the_sdk(scene: Scene) -> None:
    whole = openai_responses.answer(REQUEST, scene)
    for body in (whole.body, whole.failed[1]):
        assert unknown_fields(validated(Response, json.loads(body))) <= SENT_UNDECLARED


def test_chat_chunks_are_those_of_the_sdk(scene: Scene) -> None:
    for chunk in sse_data(openai_chat.answer(CHAT, scene).events):
        _in_openais_words(chunk["choices"])
        known = validated(ChatCompletionChunk, chunk)
        assert unknown_fields(known) <= {"choices.delta.reasoning_content"}


def test_a_whole_chat_completion_is_that_of_the_sdk(scene: Scene) -> None:
    body = json.loads(openai_chat.answer({"model": "m"}, scene).body)
    _in_openais_words(body["choices"])
    assert unknown_fields(validated(ChatCompletion, body)) <= {"choices.message.reasoning_content"}


def _in_openais_words(choices: list[dict[str, Any]]) -> None:
    """Other servers' finish words take the place of two that OpenAI does not have."""
    for choice in choices:
        if choice["finish_reason"] in {"error", "abort"}:
            choice["finish_reason"] = "stop"


def test_gemini_chunks_are_those_of_the_sdk(scene: Scene) -> None:
    for chunk in sse_data(gemini_content.answer("m", scene, stream=True, sse=True).events):
        genai.GenerateContentResponse.model_validate(chunk)  # forbids what it does not know


def test_gemini_chunks_without_sse_are_one_json_array(scene: Scene) -> None:
    events = gemini_content.answer("m", scene, stream=True, sse=False).events or ()
    chunks = json.loads(b"".join(events))
    assert len(chunks) == wire_events(scene, "gemini")


def test_a_whole_gemini_answer_is_that_of_the_sdk(scene: Scene) -> None:
    body = json.loads(gemini_content.answer("m", scene, stream=False, sse=False).body)
    genai.GenerateContentResponse.model_validate(body)


def test_wire_events_counts_what_is_sent(scene: Scene) -> None:
    assert wire_events(scene) == len(openai_responses.answer({**REQUEST, "stream": True}, scene).events or ())
    assert wire_events(scene, "chat") == len(openai_chat.answer(CHAT, scene).events or ())
    assert wire_events(scene, "gemini") == len(gemini_content.answer("m", scene, stream=True, sse=True).events or ())


def test_openai_media_are_those_of_the_sdk() -> None:
    scene = SCENES["everything"]
    cases: list[tuple[Any, Any]] = [
        (CreateEmbeddingResponse, openai_media.embeddings({"model": "m", "input": ["a", "b"]}, Scene())),
        (ImagesResponse, openai_media.images({"prompt": "p", "n": 2}, scene)),
        (Transcription, openai_media.transcription({}, scene)),
        (TranscriptionVerbose, openai_media.transcription({"response_format": "verbose_json"}, scene)),
        (InputTokenCountResponse, openai_media.count({"input": "x"}, scene)),
        (Model, openai_media.model("m")),
    ]
    for kind, answer in cases:
        assert unknown_fields(validated(kind, json.loads(answer.body))) == set(), kind
    for kind, answer in (
        (ImageGenStreamEvent, openai_media.images({"prompt": "p", "stream": True}, scene)),
        (TranscriptionStreamEvent, openai_media.transcription({"stream": "true"}, scene)),
    ):
        for event in sse_data(answer.events):
            assert unknown_fields(validated(kind, event)) == set(), kind


def test_gemini_media_are_those_of_the_sdk() -> None:
    requests: dict[str, object] = {"requests": [{"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4}]}
    assert len(_embedding(gemini_media.embed_all(requests, Scene()).body).values or ()) == 4
    genai.CountTokensResponse.model_validate({"totalTokens": _whole(gemini_media.count({}, Scene()))["totalTokens"]})
    drawn = _whole(gemini_media.predict({"instances": [{"prompt": "p"}]}, Scene()))["predictions"][0]
    assert inner(genai_models, "_GeneratedImage_from_vertex")(drawn)["image"]["image_bytes"]
    model = inner(genai_models, "_Model_from_mldev")(_whole(gemini_media.model("m")))
    model.pop("tuned_model_info")  # the SDK puts the whole answer there
    genai.Model.model_validate(model)


def inner(module: object, name: str) -> Any:
    """A private function of the SDK: it says what the SDK sends and reads, as nothing public does."""
    return getattr(module, name)


def _whole(answer: Any) -> Any:
    return json.loads(answer.body)


def _embedding(body: bytes) -> genai.ContentEmbedding:
    return genai.ContentEmbedding.model_validate(json.loads(body)["embeddings"][0])


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_are_those_of_the_sdk(kind: ErrorKind) -> None:
    assert validated(ErrorObject, openai_errors.error_body(kind, "m")["error"]).message
    error: Any = gemini_errors.error_body(kind, "m", 2.5)["error"]
    assert error["code"] == gemini_errors.status_of(kind)
    assert error["details"][-1]["retryDelay"] == "2.5s"


PARAMETERS: dict[str, Any] = {
    "responses": response_create_params.ResponseCreateParams,
    "responses/input_tokens": input_token_count_params.InputTokenCountParams,
    "chat/completions": completion_create_params.CompletionCreateParams,
    "embeddings": embedding_create_params.EmbeddingCreateParams,
    "images/generations": image_generate_params.ImageGenerateParams,
    "audio/transcriptions": transcription_create_params.TranscriptionCreateParams,
    "audio/speech": speech_create_params.SpeechCreateParams,
}


@pytest.mark.parametrize("route", openai_fields.FIELDS)
def test_openai_takes_the_fields_that_the_sdk_sends(route: str) -> None:
    kinds = get_args(PARAMETERS[route]) or (PARAMETERS[route],)
    assert openai_fields.FIELDS[route] == {name for kind in kinds for name in get_type_hints(kind)}


def test_gemini_takes_the_fields_that_the_sdk_sends() -> None:
    source = inspect.getsource(inner(genai_models, "_GenerateContentConfig_to_mldev"))
    outer = set(re.findall(r"parent_object,\s*\['(\w+)'\]", source))
    nested = set(re.findall(r"to_object,\s*\['(\w+)'\]", source))
    assert gemini_fields.FIELDS["generateContent"] == outer | {"contents", "generationConfig"}
    declared = {field.alias for field in genai.GenerationConfig.model_fields.values()}
    assert nested <= gemini_fields.GENERATION_CONFIG
    assert gemini_fields.GENERATION_CONFIG - nested <= declared
