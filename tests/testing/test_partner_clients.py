"""The vendors' own SDKs work against the double, with and without scenes."""

from __future__ import annotations

import io
import json
import struct
import wave
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types
from openai.types.responses import ResponseFunctionToolCall
from tests.testing.scenery import CALLS, ERRORS

from ringfence.request import ImagePart
from ringfence.testing import PartnerServer
from ringfence.testing.scenes import ErrorKind, Scene

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
}
SENTENCE = "This is a canned answer of the local double."


@pytest.fixture
async def network() -> AsyncIterator[httpx2.AsyncClient]:
    # No certificates are loaded: all is plain HTTP on loopback.
    async with httpx2.AsyncClient(trust_env=False, verify=False) as made:
        yield made


@pytest.fixture
def client(server: PartnerServer, network: httpx2.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", base_url=server.openai.url, max_retries=0, http_client=network)


@pytest.fixture
def gemini(server: PartnerServer, network: httpx2.AsyncClient) -> Any:
    # The SDK is only partly typed.
    options = types.HttpOptions(
        base_url=server.gemini.url, httpx_async_client=network, httpx_client=httpx2.Client(verify=False)
    )
    return genai.Client(api_key="k", http_options=options).aio


async def test_a_response_without_a_scene_is_a_sentence(client: openai.AsyncOpenAI) -> None:
    whole = await client.responses.create(model="m", input="hi")
    streamed = await client.responses.create(model="m", input="hi", stream=True)
    deltas = [event.delta async for event in streamed if event.type == "response.output_text.delta"]
    assert whole.output_text == "".join(deltas) == SENTENCE
    assert len(deltas) > 1


async def test_tools_are_called_and_their_results_answered(client: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
    called = (await client.responses.create(model="m", input="hi", tools=tools)).output[0]
    assert isinstance(called, ResponseFunctionToolCall)
    assert json.loads(called.arguments) == {"city": "text", "days": 2}
    back: Any = [
        {"type": "function_call", "call_id": called.call_id, "name": called.name, "arguments": called.arguments},
        {"type": "function_call_output", "call_id": called.call_id, "output": "sunny"},
    ]
    assert (await client.responses.create(model="m", input=back, tools=tools)).output_text == SENTENCE


async def test_a_schema_is_answered_with_an_instance(client: openai.AsyncOpenAI) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}
    answer = await client.responses.create(model="m", input="hi", text=text)
    assert json.loads(answer.output_text) == {"city": "text", "days": 2}


async def test_chat_tells_its_usage_only_if_asked(client: openai.AsyncOpenAI, server: PartnerServer) -> None:
    server.play(Scene(reasoning=("Hm",)))
    messages: Any = [{"role": "user", "content": "hi"}]
    silent = await client.chat.completions.create(model="m", messages=messages, stream=True)
    assert [chunk async for chunk in silent if chunk.usage] == []
    told = await client.chat.completions.create(
        model="m", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in told]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 18
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == "Hello there, friend."


async def test_parallel_calls_of_chat_interleave(client: openai.AsyncOpenAI, server: PartnerServer) -> None:
    server.play(Scene(text=(), tool_calls=CALLS))
    messages: Any = [{"role": "user", "content": "hi"}]
    stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
    deltas = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    arguments = {0: "", 1: ""}
    for delta in deltas:
        assert delta.function is not None
        arguments[delta.index] += delta.function.arguments or ""
    assert [arguments[0], arguments[1]] == [call.arguments for call in CALLS]
    order = [delta.index for delta in deltas]
    assert order != sorted(order)


async def test_vectors_depend_on_the_text_alone(client: openai.AsyncOpenAI) -> None:
    texts = ["a", "b", "a"]
    packed = (await client.embeddings.create(model="m", input=texts, dimensions=8)).data
    plain = (await client.embeddings.create(model="m", input=texts, dimensions=8, encoding_format="float")).data
    assert packed[0].embedding == packed[2].embedding != packed[1].embedding
    for one, other in zip(packed, plain, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(value * value for value in one.embedding) == pytest.approx(1, abs=1e-5)


async def test_played_vectors_are_answered(client: openai.AsyncOpenAI, server: PartnerServer) -> None:
    server.play(Scene(vectors=((1.0, 0.0), (0.0, 1.0))))
    answered = (await client.embeddings.create(model="m", input=["a", "b"])).data
    assert [one.embedding for one in answered] == [[1.0, 0.0], [0.0, 1.0]]


async def test_pictures_speech_and_transcripts(client: openai.AsyncOpenAI, server: PartnerServer) -> None:
    drawn = await client.images.generate(model="m", prompt="p", n=2)
    assert drawn.data is not None
    assert len(drawn.data) == 2
    spoken = (await client.audio.speech.create(model="m", input="x", voice="alloy", response_format="wav")).content
    with wave.open(io.BytesIO(spoken)) as sound:
        assert sound.getnframes() / sound.getframerate() == 0.5
    heard = await client.audio.transcriptions.create(model="m", file=("a.wav", spoken))
    assert heard.text == SENTENCE
    upload = server.seen()[-1]
    assert spoken in upload.body
    assert upload.headers["content-type"].startswith("multipart/form-data")


async def test_speech_defaults_to_mp3(client: openai.AsyncOpenAI) -> None:
    spoken = await client.audio.speech.create(model="m", input="x", voice="alloy")
    assert spoken.response.headers["content-type"] == "audio/mpeg"
    (head,) = struct.unpack(">H", spoken.content[:2])
    assert head >> 5 == 0x7FF  # the sync word of a frame


async def test_models_are_listed_and_missing_ones_refused(client: openai.AsyncOpenAI) -> None:
    assert "gpt-5-mini" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("m")).id == "m"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.responses.create(model="missing-one", input="x")
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("kind", ERRORS)
async def test_openai_refuses_as_played(client: openai.AsyncOpenAI, server: PartnerServer, kind: ErrorKind) -> None:
    statuses = {"bad_request": 400, "authentication": 401, "permission": 403, "not_found": 404, "context_length": 400}
    statuses |= {"rate_limited": 429, "server": 500, "overloaded": 503}
    server.play(Scene(error=kind, retry_after_s=1.5))
    with pytest.raises(openai.APIStatusError) as refused:
        await client.responses.create(model="m", input="x", stream=True)
    assert refused.value.status_code == statuses[kind]
    assert refused.value.response.headers["retry-after"] == "1.5"
    assert (refused.value.request_id or "").startswith("req_")


async def test_tokens_are_counted_as_played(client: openai.AsyncOpenAI, gemini: Any, server: PartnerServer) -> None:
    assert (await client.responses.input_tokens.count(model="m", input="x" * 400)).input_tokens > 50
    server.play(Scene())
    server.gemini.play(Scene())
    assert (await client.responses.input_tokens.count(model="m", input="x")).input_tokens == 11
    assert (await gemini.models.count_tokens(model="m", contents="x")).total_tokens == 11


async def test_gemini_streams_thoughts_text_and_calls(gemini: Any, server: PartnerServer) -> None:
    server.gemini.play(Scene(reasoning=("Let me", " think"), tool_calls=CALLS))
    chunks: list[Any] = [chunk async for chunk in await gemini.models.generate_content_stream(model="m", contents="hi")]
    parts: list[Any] = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    assert "".join(part.text or "" for part in parts if part.thought) == "Let me think"
    assert "".join(part.text or "" for part in parts if part.text and not part.thought) == "Hello there, friend."
    calls = [part for part in parts if part.function_call]
    assert [part.function_call.args for part in calls if part.function_call] == [{"city": "Oslo", "days": 3}, {}]
    assert calls[0].thought_signature
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (11, 5, 2)


async def test_gemini_draws_speaks_and_embeds(gemini: Any) -> None:
    for kind, media_type in (("IMAGE", "image/png"), ("AUDIO", "audio/L16;codec=pcm;rate=24000")):
        config = types.GenerateContentConfig(response_modalities=[kind])
        answer = await gemini.models.generate_content(model="m", contents="hi", config=config)
        part = answer.parts[0]
        assert part.inline_data is not None
        assert part.inline_data.mime_type == media_type
    embedded = await gemini.models.embed_content(model="m", contents=["a", "b"])
    assert [len(one.values) for one in embedded.embeddings] == [3072, 3072]
    assert "models/gemini-2.5-flash" in [model.name async for model in await gemini.models.list()]


async def test_gemini_answers_a_schema_and_calls_a_tool(gemini: Any) -> None:
    structured = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
    answer = await gemini.models.generate_content(model="m", contents="hi", config=structured)
    assert json.loads(answer.text or "") == {"city": "text", "days": 2}
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    tools = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    called = await gemini.models.generate_content(model="m", contents="hi", config=tools)
    assert [call.args for call in called.function_calls] == [{"city": "text", "days": 2}]


@pytest.mark.parametrize("kind", ERRORS)
async def test_gemini_refuses_as_played(gemini: Any, server: PartnerServer, kind: ErrorKind) -> None:
    server.gemini.play(Scene(error=kind, retry_after_s=30))
    with pytest.raises(genai_errors.APIError) as refused:
        await gemini.models.generate_content(model="m", contents="x")
    details = cast("dict[str, Any]", vars(refused.value)["details"])
    assert details["error"]["details"][-1]["retryDelay"] == "30s"
    if kind == "authentication":
        assert details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_a_key_is_needed(server: PartnerServer, network: httpx2.AsyncClient) -> None:
    openais = await network.post(f"{server.openai.url}/responses", json={"model": "m", "input": "x"})
    geminis = await network.post(f"{server.gemini.url}/v1beta/models/m:generateContent", json={"contents": []})
    assert (openais.status_code, geminis.status_code) == (401, 403)
    assert len(server.openai.seen()) == len(server.gemini.seen()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"input": "x"}, "missing_required_parameter"),
        ({"model": "m", "input": "x", "temprature": 1}, "unknown_parameter"),
        ([], None),
    ],
)
async def test_openai_refuses_bad_bodies(
    server: PartnerServer, network: httpx2.AsyncClient, body: object, code: str | None
) -> None:
    refused = await network.post(f"{server.openai.url}/responses", headers={"authorization": "Bearer k"}, json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == code


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"contents": ["x"], "nothing": 1}, 400),
        ({"contents": ["x"], "generationConfig": {"temprature": 1}}, 400),
        ({"contents": []}, 400),
        ({"contents": [{"parts": [{"text": "x"}]}], "generation_config": {"top_p": 1}}, 200),
    ],
)
async def test_gemini_refuses_bad_bodies(
    server: PartnerServer, network: httpx2.AsyncClient, body: object, status: int
) -> None:
    answered = await network.post(
        f"{server.gemini.url}/v1beta/models/m:generateContent", headers={"x-goog-api-key": "k"}, json=body
    )
    assert answered.status_code == status


async def test_scenes_play_in_order_and_the_last_again(client: openai.AsyncOpenAI, server: PartnerServer) -> None:
    server.play(Scene(text=("one",)), Scene(text=("two",)))
    said = [(await client.responses.create(model="m", input="x")).output_text for _ in range(3)]
    assert said == ["one", "two", "two"]
    assert [json.loads(seen.body)["input"] for seen in server.seen()] == ["x", "x", "x"]
    server.play(Scene(media=(ImagePart(b"p"),)))
    assert server.seen() == ()
