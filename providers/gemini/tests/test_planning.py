"""Settings, tools, schemas and options: each is on the wire, in `adjustments`, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from providers.gemini.tests.conftest import Json, asking, chunk, recipient, streamed

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.provider import NotAvailable
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
from ringfence.response import Finish, TextDelta

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Wire

    from ringfence.provider import Capability
    from ringfence.request import Request

FLASH = "gemini-3.8-flash"
OLDER = "gemini-2.5-flash"
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = Tool(name="weather", parameters=SCHEMA)


async def planned(wire: Wire, request: Request, model: str = FLASH) -> tuple[Json, list[tuple[str, str]]]:
    """The body, and what was not honoured as asked."""
    plan = await wire.plan(request, recipient(model))
    native: Any = plan.native
    return json.loads(native.body), [(one.setting, one.action) for one in plan.adjustments]


# ------------------------------------------------------------ reasoning

EFFORTS: list[tuple[str, str, Json | None, list[tuple[str, str]]]] = [
    (FLASH, "none", {"thinkingLevel": "MINIMAL"}, [("reasoning_effort", "changed")]),
    (FLASH, "low", {"includeThoughts": True, "thinkingLevel": "LOW"}, []),
    (FLASH, "medium", {"includeThoughts": True, "thinkingLevel": "MEDIUM"}, []),
    (FLASH, "high", {"includeThoughts": True, "thinkingLevel": "HIGH"}, []),
    (
        "gemini-3-pro-preview",
        "medium",
        {"includeThoughts": True, "thinkingLevel": "HIGH"},
        [("reasoning_effort", "changed")],
    ),
    (OLDER, "none", {"thinkingBudget": 0}, []),
    (OLDER, "low", {"includeThoughts": True, "thinkingBudget": 1024}, [("reasoning_effort", "emulated")]),
    ("gemini-2.5-pro", "none", {"thinkingBudget": 1024}, [("reasoning_effort", "changed")]),
    ("gemini-2.0-flash", "none", None, []),
    ("gemini-2.0-flash", "high", None, [("reasoning_effort", "ignored")]),
]


@pytest.mark.parametrize(("model", "effort", "config", "told"), EFFORTS)
async def test_an_effort_is_a_level_or_a_budget_of_the_model(
    wire: Wire, model: str, effort: Any, config: Json | None, told: list[tuple[str, str]]
) -> None:
    body, adjustments = await planned(wire, asking(settings=Settings(reasoning_effort=effort)), model)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
    assert adjustments == told


# ------------------------------------------------------------ what the API does not have


@pytest.mark.parametrize(
    "settings",
    [
        Settings(min_p=0.1),
        Settings(repetition_penalty=1.1),
        Settings(logit_bias={1: 2.0}),
        Settings(voice="Kore"),
        Settings(image_size="1024x1024"),
        Settings(image_count=2),
        Settings(language="de"),
        Settings(audio_format="wav"),
    ],
)
async def test_a_setting_that_means_nothing_is_told(wire: Wire, settings: Settings) -> None:
    body, adjustments = await planned(wire, asking(settings=settings))
    assert "generationConfig" not in body
    assert [action for _, action in adjustments] == ["ignored"]


@pytest.mark.parametrize(
    ("request_", "model", "setting"),
    [
        (asking(settings=Settings(stop=tuple("abcdef"))), FLASH, "stop"),
        (asking(settings=Settings(seed=2**31)), FLASH, "seed"),
        (asking(task="image", settings=Settings(image_count=2)), "gemini-2.5-flash-image", "image_count"),
        (asking(task="image", settings=Settings(image_size="1000x300")), "gemini-2.5-flash-image", "image_size"),
        (asking(task="image", settings=Settings(image_size="9000x9000")), "gemini-3-pro-image", "image_size"),
        (asking(task="speak", settings=Settings(audio_format="mp3")), "gemini-3.8-flash-tts", "audio_format"),
        (asking(task="image"), FLASH, "task"),
        (asking(task="image"), "imagen-4.0-generate-001", "task"),
        (asking(task="speak"), FLASH, "task"),
        (asking(task="embed"), FLASH, "task"),
        (asking(), "gemini-embedding-001", "task"),
        (asking(task="transcribe"), FLASH, "parts"),
        (asking(tools=(TOOL,)), "gemini-2.5-flash-image", "tools"),
        (asking(tools=(TOOL,), tool_choice="required", output=OutputSchema(schema=SCHEMA)), OLDER, "output"),
        (asking(output=OutputSchema(schema=SCHEMA)), "gemini-2.5-flash-image", "output"),
        (asking(messages=(Message("user", (ImagePart(b"x"),)),)), "some-other-model", "image"),
        (asking(messages=(Message("user", (FilePart(b"x"),)),)), "some-other-model", "file"),
        (asking(messages=(Message("system", (TextPart("a"),)),)), FLASH, "messages"),
        (asking(messages=(Message("system", (ImagePart(b"a"),)), *asking().messages)), FLASH, "messages"),
        (asking(task="embed", messages=(Message("user", (ImagePart(b"a"),)),)), "gemini-embedding-001", "parts"),
    ],
)
async def test_what_a_model_cannot_do_is_refused(wire: Wire, request_: Request, model: str, setting: str) -> None:
    with pytest.raises(Unsupported) as caught:
        await wire.plan(request_, recipient(model))
    assert caught.value.setting == setting
    assert caught.value.way_out


@pytest.mark.parametrize(
    ("size", "model", "config", "told"),
    [
        ("1024x1024", "gemini-2.5-flash-image", {"aspectRatio": "1:1"}, []),
        ("512x512", "gemini-2.5-flash-image", {"aspectRatio": "1:1"}, [("image_size", "changed")]),
        ("1920x1080", "gemini-2.5-flash-image", {"aspectRatio": "16:9"}, [("image_size", "changed")]),
        ("4096x4096", "gemini-3-pro-image", {"aspectRatio": "1:1", "imageSize": "4K"}, []),
        ("1920x1080", "gemini-3-pro-image", {"aspectRatio": "16:9", "imageSize": "2K"}, [("image_size", "changed")]),
    ],
)
async def test_a_size_in_pixels_is_the_nearest_shape(
    wire: Wire, size: str, model: str, config: Json, told: list[tuple[str, str]]
) -> None:
    body, adjustments = await planned(wire, asking(task="image", settings=Settings(image_size=size)), model)
    assert body["generationConfig"]["imageConfig"] == config
    assert adjustments == told


async def test_a_transcript_is_asked_for_in_words_and_that_is_told(wire: Wire) -> None:
    sound = Message("user", (FilePart(b"RIFF", media_type="audio/wav"),))
    body, told = await planned(wire, asking(task="transcribe", messages=(sound,), settings=Settings(language="de-CH")))
    assert "de-CH" in body["systemInstruction"]["parts"][0]["text"]
    assert told == [("task", "emulated"), ("language", "emulated")]


async def test_a_file_of_json_is_sent_as_text_and_that_is_told(wire: Wire) -> None:
    file = Message("user", (FilePart(b"{}", media_type="application/json"),))
    body, told = await planned(wire, asking(messages=(file,)))
    assert body["contents"][0]["parts"][0]["inlineData"]["mimeType"] == "text/plain"
    assert told == [("file", "changed")]


async def test_instructions_between_the_turns_are_moved_and_that_is_told(wire: Wire) -> None:
    late = Message("system", (TextPart("Be brief."),))
    body, told = await planned(wire, asking(messages=(*asking().messages, late)))
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert told == [("messages", "changed")]


async def test_text_in_a_turn_of_a_tool_is_the_users_and_that_is_told(wire: Wire) -> None:
    called = Message("assistant", (ToolCallPart("c", "weather", "{}"),))
    answered = Message("tool", (TextPart("before"), ToolResultPart("c", "weather", "sunny"), TextPart("after")))
    body, told = await planned(wire, asking(messages=(*asking().messages, called, answered)), OLDER)
    assert [list(part) for part in body["contents"][-1]["parts"]] == [["text"], ["functionResponse"], ["text"]]
    assert body["contents"][-1]["role"] == "user"
    assert told == [("messages", "changed")]


async def test_text_around_a_result_in_a_turn_of_the_user_stays_where_it_is(wire: Wire) -> None:
    called = Message("assistant", (ToolCallPart("c", "weather", "{}"),))
    answered = Message("user", (TextPart("before"), ToolResultPart("c", "weather", "sunny"), TextPart("after")))
    body, told = await planned(wire, asking(messages=(*asking().messages, called, answered)), OLDER)
    assert [list(part) for part in body["contents"][-1]["parts"]] == [["text"], ["functionResponse"], ["text"]]
    assert told == []


# ------------------------------------------------------------ tools and schemas


async def test_tools_that_must_not_be_called_are_declared_and_forbidden(wire: Wire) -> None:
    body, _ = await planned(wire, asking(tools=(TOOL,), tool_choice="none"))
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}
    assert body["tools"]


async def test_a_newer_model_gets_tools_and_a_schema_in_one_request(wire: Wire) -> None:
    body, told = await planned(wire, asking(tools=(TOOL,), output=OutputSchema(schema=SCHEMA)))
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert len(body["tools"][0]["functionDeclarations"]) == 1
    assert told == []


async def test_an_older_model_gets_the_schema_as_one_more_tool_and_that_is_told(wire: Wire) -> None:
    body, told = await planned(wire, asking(tools=(TOOL,), output=OutputSchema(schema=SCHEMA)), OLDER)
    assert "generationConfig" not in body
    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == ["weather", "ringfence_output"]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert told == [("output", "emulated")]


async def test_the_answer_by_that_tool_is_text_and_no_call(wire: Wire) -> None:
    call = {"functionCall": {"name": "ringfence_output", "args": {"city": "Oslo"}}}
    wire.replies = [streamed(chunk(call, finish="STOP"))]
    events = await wire.events(asking(tools=(TOOL,), output=OutputSchema(schema=SCHEMA)), recipient(OLDER))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ['{"city":"Oslo"}']
    assert events[-1] == Finish("stop", "STOP")


async def test_where_no_tool_may_be_called_none_stands_in(wire: Wire) -> None:
    request = asking(tools=(TOOL,), tool_choice="none", output=OutputSchema(schema=SCHEMA))
    body, told = await planned(wire, request, OLDER)
    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == ["weather"]
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert told == []


async def test_a_newer_model_must_call_a_tool_and_has_the_schema(wire: Wire) -> None:
    request = asking(tools=(TOOL,), tool_choice="required", output=OutputSchema(schema=SCHEMA))
    body, _ = await planned(wire, request)
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA


@pytest.mark.parametrize("model", [FLASH, OLDER])
async def test_the_name_of_the_tool_that_stands_in_is_taken(wire: Wire, model: str) -> None:
    with pytest.raises(InvalidRequest, match="ringfence_output"):
        await wire.plan(asking(tools=(TOOL, Tool(name="ringfence_output"))), recipient(model))


@pytest.mark.parametrize("task", ["embed", "image", "speak"])
@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"tools": (TOOL,)}, "tools"),
        ({"tools": (TOOL,), "tool_choice": "required"}, "tools"),
        ({"output": OutputSchema(schema=SCHEMA)}, "output"),
    ],
)
async def test_tools_and_a_schema_are_refused_where_they_mean_nothing(
    wire: Wire, task: Any, changes: Json, setting: str
) -> None:
    able: frozenset[Capability] = frozenset({"text", "tools", "output_schema", "draw", "speak", "embed"})
    card = replace(await wire.provider.card(recipient()), capabilities=able)
    with pytest.raises(Unsupported) as caught:
        wire.provider.plan(asking(task=task, **changes), recipient(), card)
    assert caught.value.setting == setting


async def test_a_transcript_may_have_a_schema_and_tools(wire: Wire) -> None:
    sound = Message("user", (FilePart(b"RIFF", media_type="audio/wav"),))
    request = asking(task="transcribe", messages=(sound,), tools=(TOOL,), output=OutputSchema(schema=SCHEMA))
    body, _ = await planned(wire, request)
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert body["tools"]


async def test_keywords_that_the_api_does_not_know_are_left_out_and_named(wire: Wire) -> None:
    schema: Json = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "kind": {"const": "a"},
            "name": {"type": "string", "pattern": "^a", "default": "a"},
            "many": {"type": "array", "items": {"type": "integer", "multipleOf": 2}, "minItems": 1},
            "one": {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/other"}]},
        },
        "$defs": {"other": {"type": "null"}},
        "additionalProperties": False,
    }
    plan = await wire.plan(asking(output=OutputSchema(schema=schema)), recipient())
    native: Any = plan.native
    assert json.loads(native.body)["generationConfig"]["responseJsonSchema"] == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a"]},
            "name": {"type": "string"},
            "many": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "one": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/other"}]},
        },
        "$defs": {"other": {"type": "null"}},
        "additionalProperties": False,
    }
    (told,) = plan.adjustments
    assert (told.setting, told.action) == ("output", "changed")
    assert told.detail.endswith("minLength, multipleOf, pattern")


@pytest.mark.parametrize("schema", [{"const": 1, "enum": [1, 2]}, {"enum": [1, 2], "const": 1}])
async def test_one_value_beside_an_enumeration_stays_one(wire: Wire, schema: Json) -> None:
    given: Json = {"type": "object", "properties": {"a": schema}}
    body, told = await planned(wire, asking(output=OutputSchema(schema=given)))
    assert body["generationConfig"]["responseJsonSchema"]["properties"] == {"a": {"enum": [1]}}
    assert told == []


async def test_a_property_named_like_a_keyword_is_a_property(wire: Wire) -> None:
    schema: Json = {"type": "object", "properties": {"pattern": {"type": "string"}, "const": {"type": "string"}}}
    body, told = await planned(wire, asking(output=OutputSchema(schema=schema)))
    assert body["generationConfig"]["responseJsonSchema"] == schema
    assert told == []


@pytest.mark.parametrize(
    "request_",
    [
        asking("half of a pair: \ud800"),
        asking(tools=(Tool(name="clock", parameters={"type": "object", "description": "\ud800"}),)),
    ],
)
async def test_what_cannot_be_written_as_json_is_refused(wire: Wire, request_: Request) -> None:
    with pytest.raises(InvalidRequest):
        await wire.plan(request_, recipient())


# ------------------------------------------------------------ provider options


REFUSED_OPTIONS: list[Json] = [
    {"contents": []},
    {"model": "other"},
    {"systemInstruction": {}},
    {"safetySetings": []},
    {"generationConfig": {"temperature": 0.1}},
    {"generationConfig": {"candidateCount": 2}},
    {"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}},
    {"generationConfig": {"candidate_count": 2}},
    {"generationConfig": {"speechConfig": {"voice_config": {}}}},
    {"tools": [{"codeExecution": {}, "google_search": {}}]},
    {"tools": [{"codeExecution": {"some_thing": 1}}]},
    {"tools": {"codeExecution": {}}},
    {"tools": ["codeExecution"]},
    {"tools": [{"functionDeclarations": [{"name": "ringfence"}]}]},
]


@pytest.mark.parametrize("own", REFUSED_OPTIONS)
async def test_an_option_that_is_unknown_or_would_override_is_refused(wire: Wire, own: Json) -> None:
    request = asking(settings=Settings(temperature=0.5), provider_options={"gemini": own})
    with pytest.raises(InvalidRequest):
        await wire.plan(request, recipient())


@pytest.mark.parametrize("own", [{"store": True}, {"store": "true"}, {"cachedContent": "cachedContents/x"}])
async def test_what_the_vendor_would_keep_is_refused(wire: Wire, own: Json) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await wire.plan(asking(provider_options={"gemini": own}), recipient())
    assert caught.value.way_out


async def test_what_the_vendor_must_not_keep_and_keys_of_the_app_go_out(wire: Wire) -> None:
    own: Json = {"store": False, "labels": {"my_team": "a"}, "tools": [{"codeExecution": {}}]}
    body, _ = await planned(wire, asking(provider_options={"gemini": own}))
    assert {name: body[name] for name in own} == own


@pytest.mark.parametrize(
    "name",
    ["googleSearch", "urlContext", "googleMaps", "fileSearch", "computerUse", "mcpServers", "somethingNew"],
)
async def test_a_tool_that_hands_content_on_works_only_where_the_policy_names_it(wire: Wire, name: str) -> None:
    request = asking(provider_options={"gemini": {"tools": [{"codeExecution": {}}, {name: {}}]}})
    for options in ({}, {"server_tools": ["another"]}):
        with pytest.raises(InvalidRequest) as caught:
            await wire.plan(request, recipient(options=options))
        assert f"server_tools: [{name}]" in str(caught.value)
    native: Any = (await wire.plan(request, recipient(options={"server_tools": [name]}))).native
    assert json.loads(native.body)["tools"] == [{"codeExecution": {}}, {name: {}}]


async def test_tools_of_the_server_stand_beside_the_apps(wire: Wire) -> None:
    request = asking(tools=(TOOL,), provider_options={"gemini": {"tools": [{"codeExecution": {}}]}})
    body, _ = await planned(wire, request)
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["codeExecution"]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"options": {"api_verzion": "v1"}}, "not_configured"),
        ({"options": {"api_version": "../v1"}}, "not_configured"),
        ({"options": {"api_version": 1}}, "not_configured"),
        ({"options": {"server_tools": "googleSearch"}}, "not_configured"),
        ({"options": {"server_tools": [1]}}, "not_configured"),
        ({"options": {"server_tools": ["google_search"]}}, "not_configured"),
        ({"options": {"server_tools": {"googleSearch": True}}}, "not_configured"),
        ({"model": "a/../b"}, "not_configured"),
        ({"model": "a?key=b"}, "not_configured"),
    ],
)
async def test_a_recipient_that_makes_no_sense_is_not_available(wire: Wire, changes: Json, reason: str) -> None:
    state = await wire.provider.availability(recipient(**changes))
    assert isinstance(state, NotAvailable)
    assert state.reason == reason
    assert state.way_out


async def test_the_version_of_the_api_can_be_named(wire: Wire) -> None:
    await wire.events(asking(), recipient(options={"api_version": "v1alpha"}))
    assert wire.requests[0].url.path.startswith("/v1alpha/models/")
