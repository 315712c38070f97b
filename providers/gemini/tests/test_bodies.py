"""What is sent is what the vendor's own client sends for the same content: its converters are the oracle."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from google import genai
from google.genai import types
from providers.gemini.tests.conftest import KEY, MODEL, Json, asking, recipient

from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    OutputSchema,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Wire

    from ringfence.request import Request

SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = b"\x89PNG\xfb\xff\xfe"


def sdk_sends(contents: Any, model: str = MODEL, **config: Any) -> tuple[str, Json]:
    """The path and body of the SDK's own client."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"candidates": []})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        options = types.HttpOptions(httpx_client=http, api_version="v1beta")
        client: Any = genai.Client(api_key=KEY, vertexai=False, http_options=options)
        given = types.GenerateContentConfig(
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **config
        )
        client.models.generate_content(model=model, contents=contents, config=given)
    return seen[0].url.path, json.loads(seen[0].content)


def in_one_spelling(body: Json) -> Json:
    """`body` in camel case and one alphabet of base64: the API takes both of each, and the SDK mixes them."""

    def several(values: list[Any]) -> list[Any]:
        return [one(value) for value in values]

    def one(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            fields = cast("Json", value)
            return {camel(key): one(inner, camel(key)) for key, inner in fields.items()}
        if isinstance(value, list):
            return several(value)  # pyright: ignore[reportUnknownArgumentType]
        if name == "data":
            return base64.urlsafe_b64decode(value.replace("+", "-").replace("/", "_")).hex()
        return value

    return {key: value for key, value in one(body).items() if value or key != "generationConfig"}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


TURNS = (
    Message("user", (TextPart("What is the weather?"),)),
    Message("assistant", (ToolCallPart("id-1", "weather", '{"city":"Oslo"}'),)),
    Message("tool", (ToolResultPart("id-1", "weather", "rain"),)),
)
SDK_TURNS = [
    types.Content(role="user", parts=[types.Part(text="What is the weather?")]),
    types.Content(
        role="model",
        parts=[types.Part(function_call=types.FunctionCall(id="id-1", name="weather", args={"city": "Oslo"}))],
    ),
    types.Content(
        role="user",
        parts=[
            types.Part(function_response=types.FunctionResponse(id="id-1", name="weather", response={"output": "rain"}))
        ],
    ),
]
USER = types.Content(role="user", parts=[types.Part(text="Hello")])

CASES: dict[str, tuple[Request, Any, dict[str, Any]]] = {
    "text": (asking(), USER, {}),
    "instructions": (
        asking(messages=(Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("Hello"),)))),
        USER,
        {"system_instruction": types.Content(parts=[types.Part(text="Be brief.")])},
    ),
    "sampling": (
        asking(
            settings=Settings(
                temperature=0.5,
                top_p=0.9,
                top_k=40,
                seed=7,
                max_output_tokens=99,
                presence_penalty=0.1,
                frequency_penalty=-0.2,
                stop=("END", "STOP"),
            )
        ),
        USER,
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 7,
            "max_output_tokens": 99,
            "presence_penalty": 0.1,
            "frequency_penalty": -0.2,
            "stop_sequences": ["END", "STOP"],
        },
    ),
    "thinking": (
        asking(settings=Settings(reasoning_effort="high")),
        USER,
        {"thinking_config": types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.HIGH)},
    ),
    "schema": (
        asking(output=OutputSchema(schema=SCHEMA)),
        USER,
        {"response_mime_type": "application/json", "response_json_schema": SCHEMA},
    ),
    "tools": (
        asking(tools=(Tool(name="weather", description="of a city", parameters=SCHEMA),), tool_choice="required"),
        USER,
        {
            "tools": [
                types.Tool(
                    function_declarations=[
                        types.FunctionDeclaration(
                            name="weather", description="of a city", parameters_json_schema=SCHEMA
                        )
                    ]
                )
            ],
            "tool_config": types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
            ),
        },
    ),
    "media": (
        asking(
            messages=(
                Message(
                    "user",
                    (
                        TextPart("Look"),
                        ImagePart(PNG),
                        FilePart(b"%PDF", media_type="application/pdf"),
                        FilePart(b"RIFF", media_type="audio/wav"),
                    ),
                ),
            )
        ),
        types.Content(
            role="user",
            parts=[
                types.Part(text="Look"),
                types.Part.from_bytes(data=PNG, mime_type="image/png"),
                types.Part.from_bytes(data=b"%PDF", mime_type="application/pdf"),
                types.Part.from_bytes(data=b"RIFF", mime_type="audio/wav"),
            ],
        ),
        {},
    ),
    "server-side tools": (
        asking(
            provider_options={
                "gemini": {
                    "tools": [{"googleSearch": {}}],
                    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
                    "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
                }
            }
        ),
        USER,
        {
            "tools": [types.Tool(google_search=types.GoogleSearch())],
            "safety_settings": [
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
                )
            ],
            "media_resolution": types.MediaResolution.MEDIA_RESOLUTION_LOW,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_body_is_what_the_sdk_sends(wire: Wire, case: str) -> None:
    request, contents, config = CASES[case]
    await wire.events(request, recipient(options={"server_tools": ["googleSearch"]}))
    path, body = sdk_sends(contents, **config)
    assert in_one_spelling(wire.body) == in_one_spelling(body)
    assert wire.requests[0].url.path == path.replace(":generateContent", ":streamGenerateContent")


async def test_turns_with_tools_are_what_the_sdk_sends(wire: Wire) -> None:
    await wire.events(asking(messages=TURNS), recipient("gemini-2.5-flash"))
    assert wire.body == in_one_spelling(sdk_sends(SDK_TURNS, "gemini-2.5-flash")[1])


async def test_speech_is_asked_for_as_the_sdk_does(wire: Wire) -> None:
    request = asking(task="speak", settings=Settings(voice="Kore", language="de"), stream=False)
    plan = await wire.plan(request, recipient("gemini-2.5-flash-preview-tts"))
    speech = types.SpeechConfig(
        voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore")),
        language_code="de",
    )
    native: Any = plan.native
    _, body = sdk_sends(USER, response_modalities=["AUDIO"], speech_config=speech)
    assert json.loads(native.body) == in_one_spelling(body)


async def test_a_picture_is_asked_for_as_the_sdk_does(wire: Wire) -> None:
    request = asking(task="image", settings=Settings(image_size="2048x2048"))
    plan = await wire.plan(request, recipient("gemini-3-pro-image-preview"))
    config = types.ImageConfig(aspect_ratio="1:1", image_size="2K")
    native: Any = plan.native
    _, body = sdk_sends(USER, response_modalities=["TEXT", "IMAGE"], image_config=config)
    assert json.loads(native.body) == in_one_spelling(body)
    assert plan.adjustments == ()


async def test_vectors_are_asked_for_as_the_sdk_does(wire: Wire) -> None:
    request = asking(
        task="embed",
        messages=(Message("user", (TextPart("one"), TextPart("two"))),),
        provider_options={"gemini": {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2}},
    )
    native: Any = (await wire.plan(request, recipient("gemini-embedding-001"))).native
    seen: list[httpx2.Request] = []

    def answer(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent)
        return httpx2.Response(200, json={"embeddings": []})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        options = types.HttpOptions(httpx_client=http, api_version="v1beta")
        client: Any = genai.Client(api_key=KEY, vertexai=False, http_options=options)
        client.models.embed_content(
            model="gemini-embedding-001",
            contents=["one", "two"],
            config=types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=2),
        )
    theirs = json.loads(seen[0].content)
    for one in theirs["requests"]:
        # The SDK names the role of a text; there is only one.
        one["content"].pop("role", None)
    assert json.loads(native.body) == theirs
    assert seen[0].url.path == f"/v1beta/{native.path}"


async def test_a_whole_answer_is_asked_for_at_the_other_path(wire: Wire) -> None:
    wire.replies = [httpx2.Response(200, json={"candidates": [{"finishReason": "STOP"}]})]
    await wire.events(asking(stream=False), recipient())
    assert wire.requests[0].url.path == f"/v1beta/models/{MODEL}:generateContent"
    assert wire.requests[0].url.query == b""


async def test_the_key_is_a_header_and_never_in_the_url(wire: Wire) -> None:
    await wire.events(asking(), recipient())
    assert wire.requests[0].headers["x-goog-api-key"] == KEY
    assert str(wire.requests[0].url) == (
        f"https://generativelanguage.googleapis.com/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    )
