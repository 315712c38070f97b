"""What the engine is asked, and what never reaches one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.request import FilePart, ImagePart, Message, Settings, TextPart, Tool, ToolCallPart, ToolResultPart
from ringfence_house_node.api.chat_request import chat_request
from ringfence_house_node.api.faults import Refused
from ringfence_house_node.engine.limits import limits_of
from ringfence_house_node.engine.settings import EngineSettings

SECRET = "canary-7Q"
CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": CITY}}
OTHER = {"type": "function", "function": {"name": "time", "strict": True}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def _user(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def _schema(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


async def test_every_setting_arrives(make_node: Any) -> None:
    node = make_node()
    settings: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": -0.2,
        "seed": 7,
        "stop": ["END"],
        "logit_bias": {"5": 1.5},
        "reasoning_effort": "low",
    }
    status, _ = await node.chat(**settings, max_completion_tokens=9)
    assert status == 200
    expected: dict[str, Any] = {**settings, "stop": ("END",), "logit_bias": {5: 1.5}, "max_output_tokens": 9}
    assert node.asked.settings == Settings(**expected)


async def test_nothing_is_added_that_the_caller_did_not_say(make_node: Any) -> None:
    node = make_node()
    await node.chat()
    assert node.asked.messages == (Message("user", (TextPart("Hello"),)),)
    assert node.asked.settings == Settings()
    assert node.asked.tools == ()
    assert node.asked.tenant is None


async def test_the_tenant_of_the_call_is_that_of_the_request(make_node: Any) -> None:
    node = make_node()
    node.tenant = "3f2a"
    await node.chat()
    assert node.asked.tenant == "3f2a"


async def test_a_conversation_with_tools_arrives_whole(make_node: Any) -> None:
    node = make_node()
    await node.chat(
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            *_user("Weather?"),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "Rain."},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": None},
            *_user("Why?"),
        ],
        tools=[TOOL],
    )
    assert node.asked.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("Weather?"),)),
        Message("assistant", (ToolCallPart("c1", "weather", '{"city": "Oslo"}'),)),
        Message("tool", (ToolResultPart("c1", "weather", "Rain."),)),
        Message("assistant", (TextPart("No."),)),
        Message("user", (TextPart("Why?"),)),
    )
    assert node.asked.tools == (Tool(name="weather", description="of a city", parameters=CITY),)
    assert node.asked.tool_choice == "auto"


@pytest.mark.parametrize(
    ("choice", "names", "asked"),
    [
        ("auto", ["weather", "time"], "auto"),
        ("required", ["weather", "time"], "required"),
        ("none", [], "auto"),
        ({"type": "function", "function": {"name": "time"}}, ["time"], "required"),
    ],
)
async def test_a_choice_of_tools_is_kept(make_node: Any, choice: object, names: list[str], asked: str) -> None:
    node = make_node()
    status, _ = await node.chat(tools=[TOOL, OTHER], tool_choice=choice)
    assert status == 200
    assert [tool.name for tool in node.asked.tools] == names
    assert node.asked.tool_choice == asked


async def test_pictures_and_files_arrive_as_bytes(make_node: Any) -> None:
    node = make_node()
    file = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}}
    picture = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    await node.chat(messages=_user([{"type": "text", "text": "See"}, picture, file]))
    assert node.asked.messages[0].parts == (
        TextPart("See"),
        ImagePart(b"\x89PNG\r\n\x1a\n"),
        FilePart(b"hi", media_type="text/plain", name="a.txt"),
    )


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [(_schema(CITY), CITY), ({"type": "json_object"}, {"type": "object"}), ({"type": "text"}, None)],
)
async def test_a_format_is_asked_for_as_a_schema(make_node: Any, wanted: object, schema: object) -> None:
    node = make_node()
    await node.chat(response_format=wanted)
    assert (node.asked.output and node.asked.output.schema) == schema


async def test_a_schema_that_would_take_long_to_compile_takes_no_time_to_check(
    make_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*_: object, **__: object) -> None:
        pytest.fail("it was compiled")

    monkeypatch.setattr("jsonschema_rs.validator_for", compiled)
    node = make_node()
    patterns = [{"pattern": rf"(\w{{1,200}}){{1,50}}{n}"} for n in range(2_000)]
    schema = {"$schema": "http://127.0.0.1:9/dialect", "allOf": patterns}
    status, _ = await node.chat(response_format=_schema(schema))
    assert status == 200
    assert node.asked.output.schema == schema


HARMLESS = {
    "n": 1,
    "logprobs": False,
    "store": False,
    "parallel_tool_calls": True,
    "modalities": ["text"],
    "service_tier": "auto",
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "stream_options": None,
    "temperature": None,
}


async def test_what_asks_for_nothing_is_taken(make_node: Any) -> None:
    node = make_node()
    status, _ = await node.chat(**HARMLESS)
    assert status == 200
    assert node.asked.settings == Settings()


def _nested(depth: int) -> dict[str, object]:
    return {"properties": {"a": _nested(depth - 1)}} if depth else {}


DEEP = _nested(20)

REFUSED: list[tuple[str, dict[str, Any], str | None]] = [
    ("an unknown field", {SECRET: 1}, None),
    ("an unknown field of a message", {"messages": [{"role": "user", "content": "x", SECRET: 1}]}, "messages"),
    ("an unknown role", {"messages": [{"role": SECRET, "content": "x"}]}, "messages"),
    ("no message", {"messages": []}, "messages"),
    ("nothing to answer", {"messages": _user(" ")}, None),
    ("a text that is none", {"messages": _user(5)}, "messages"),
    ("several answers", {"n": 2}, "n"),
    ("probabilities", {"logprobs": True}, "logprobs"),
    ("storage", {"store": True}, "store"),
    ("one call at a time", {"parallel_tool_calls": False, "tools": [TOOL]}, "parallel_tool_calls"),
    ("sound", {"modalities": ["audio"]}, "modalities"),
    ("a number in quotes", {"max_tokens": "5"}, "max_tokens"),
    ("no tokens", {"max_tokens": 0}, None),
    ("two limits", {"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    ("heat", {"temperature": 2.5}, None),
    ("a truth for a number", {"temperature": True}, "temperature"),
    ("a top_p of nothing", {"top_p": 0}, None),
    ("a negative top_k", {"top_k": -1}, None),
    ("an empty stop", {"stop": [""]}, None),
    ("a stop that is a number", {"stop": 5}, "stop"),
    ("too many stops", {"stop": ["a"] * 17}, None),
    ("a long stop", {"stop": "a" * 257}, "stop"),
    ("a negative token", {"logit_bias": {"-1": 1}}, None),
    ("a token that is a word", {"logit_bias": {SECRET: 1}}, "logit_bias"),
    ("a bias out of bounds", {"logit_bias": {"1": 101}}, None),
    ("a negative seed", {"seed": -1}, None),
    ("an adapter", {"adapters": "/etc/passwd"}, None),
    ("a draft model", {"draft_model": "x"}, None),
    (
        "a picture by address",
        {"messages": _user([{"type": "image_url", "image_url": {"url": "http://a/b.png"}}])},
        "messages",
    ),
    (
        "a picture of a file",
        {"messages": _user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])},
        "messages",
    ),
    ("damaged base64", {"messages": _user([{"type": "image_url", "image_url": {"url": PNG + "!"}}])}, "messages"),
    (
        "a picture of another kind",
        {"messages": _user([{"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AAAA"}}])},
        "messages",
    ),
    ("a crowd of pictures", {"messages": _user([{"type": "image_url", "image_url": {"url": PNG}}] * 65)}, "messages"),
    ("a user who refuses", {"messages": _user([{"type": "refusal", "refusal": "x"}])}, "messages"),
    ("a result without a call", {"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]}, "messages"),
    ("two tools of a name", {"tools": [TOOL, TOOL]}, "tools"),
    ("a tool of the server", {"tools": [{"type": "web_search"}]}, "tools"),
    ("a tool without a name", {"tools": [{"type": "function", "function": {"name": ""}}]}, "tools"),
    ("a call without a tool", {"tool_choice": "required"}, "tool_choice"),
    ("a tool that is not there", {"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
    ("a schema that is none", {"response_format": _schema({"type": SECRET})}, "response_format"),
    (
        "a tool that takes no schema",
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": 5}}}]},
        "tools",
    ),
    ("a schema elsewhere", {"response_format": _schema({"$ref": "http://a/b"})}, "response_format"),
    ("a deep schema", {"response_format": _schema(DEEP)}, "response_format"),
    ("a wide schema", {"response_format": _schema({"enum": list(range(20_001))})}, "response_format"),
    (
        "a tool with a deep schema",
        {"tools": [{"type": "function", "function": {"name": "x", "parameters": DEEP}}]},
        "tools",
    ),
]


@pytest.mark.parametrize(("fields", "param"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_it_is_refused_and_the_engine_sees_nothing(
    make_node: Any, fields: dict[str, Any], param: str | None
) -> None:
    node = make_node()
    status, body = await node.chat(**fields)
    assert (status, body["error"]["param"]) == (400, param)
    assert SECRET not in json.dumps(body)
    assert node.engine.requests == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"model": "\xff"}', b'{"a":' * 100_000, b"[" * 1_000_000],
    ids=["nothing", "half", "a list", "null", "no UTF-8", "deep objects", "deep lists"],
)
async def test_a_body_that_is_no_request_is_refused(make_node: Any, body: bytes) -> None:
    node = make_node()
    status, pieces = await node.call(body)
    assert (status, json.loads(pieces[0])["error"]["type"]) == (400, "invalid_request_error")
    assert node.engine.requests == []


@pytest.mark.parametrize(("path", "model"), [("/v1/chat/completions", "/etc/passwd"), ("/v1/models", "house-model")])
async def test_another_model_or_address_is_not_there(make_node: Any, path: str, model: str) -> None:
    node = make_node()
    status, pieces = await node.call({"model": model, "messages": _user("x")}, path)
    assert (status, json.loads(pieces[0])["error"]["code"]) == (404, "model_not_found")
    assert model.encode() not in pieces[0]
    assert node.engine.requests == []


BEYOND_MLX_LM: list[dict[str, Any]] = [
    {"top_k": 5},
    {"min_p": 0.1},
    {"repetition_penalty": 1.1},
    {"seed": 1},
    {"stop": "x"},
    {"logit_bias": {"5": 1}},
    {"reasoning_effort": "low"},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "required"},
    {"response_format": {"type": "json_object"}},
    {"messages": _user([{"type": "image_url", "image_url": {"url": PNG}}])},
]


@pytest.mark.parametrize("fields", BEYOND_MLX_LM, ids=[", ".join(fields) for fields in BEYOND_MLX_LM])
async def test_what_mlx_lm_server_ignores_or_dies_of_is_refused(make_node: Any, fields: dict[str, Any]) -> None:
    node = make_node(server="mlx_lm")
    status, body = await node.chat(**fields)
    assert (status, body["error"]["code"]) == (400, "unsupported_parameter")
    assert node.engine.requests == []


async def test_the_operator_says_what_a_server_can_do(make_node: Any) -> None:
    node = make_node(server="mlx_lm", capabilities=frozenset({"text", "tools"}))
    status, _ = await node.chat(tools=[TOOL], temperature=0.5, reasoning_effort="none")
    assert status == 200
    assert [tool.name for tool in node.asked.tools] == ["weather"]
    status, body = await node.chat(tools=[TOOL], tool_choice="required")
    assert (status, body["error"]["param"]) == (400, "tool_choice")


@pytest.mark.parametrize("fields", [{"messages": _user("x" * 5_000)}, {"max_tokens": 1_025}])
async def test_what_is_longer_than_a_servers_context_is_refused(make_node: Any, fields: dict[str, Any]) -> None:
    node = make_node(server="mlx_lm", context_tokens=1_024)
    status, body = await node.chat(**fields)
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    assert node.engine.requests == []
    status, _ = await node.chat(max_tokens=900)
    assert status == 200


async def test_a_server_that_salts_its_cache_gets_the_tenant_or_a_salt_that_is_used_once(make_node: Any) -> None:
    node = make_node(server="vllm")

    async def salt() -> str:
        await node.chat()
        return str(node.asked.provider_options["openai"]["extra_body"]["cache_salt"])

    assert await salt() != await salt()
    node.tenant = "3f2a"
    assert await salt() == "3f2a"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "name", "tools", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_fields = [
    "model",
    "messages",
    "stream",
    "tools",
    "tool_choice",
    "response_format",
    "stop",
    "logit_bias",
    "temperature",
]


@given(st.dictionaries(st.sampled_from(_fields), _json, max_size=6) | _json)
def test_any_json_is_a_request_or_a_refusal(body: object) -> None:
    limits = limits_of(EngineSettings(kind="mlx", model="m"))
    # INVARIANT: nothing but a refusal is ever raised.
    with suppress(Refused):
        assert chat_request(json.dumps(body).encode(), model="m", limits=limits).messages


@given(st.binary(max_size=64))
def test_any_bytes_are_a_request_or_a_refusal(body: bytes) -> None:
    with pytest.raises(Refused):
        chat_request(body, model="m", limits=limits_of(EngineSettings(kind="mlx", model="m")))
