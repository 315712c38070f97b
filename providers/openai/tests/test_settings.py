"""Settings and provider options: on the wire, told, or refused."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from ringfence.errors import InvalidRequest
from ringfence.recipient import Recipient
from ringfence.request import FilePart, Message, Settings, Tool
from ringfence.testing.scenes import Scene
from ringfence_openai.options import OptionFault, read_options

VALUES: dict[str, Any] = {
    "max_output_tokens": 77,
    "temperature": 0.33,
    "top_p": 0.44,
    "top_k": 11,
    "min_p": 0.05,
    "repetition_penalty": 1.2,
    "presence_penalty": 0.3,
    "frequency_penalty": 0.4,
    "seed": 5,
    "stop": ("END",),
    "logit_bias": {15: -5.0},
    "reasoning_effort": "high",
    "image_size": "1024x768",
    "image_count": 2,
    "language": "de",
    "voice": "nova",
    "audio_format": "flac",
}
TASKS = {"image", "speak", "transcribe", "embed", "open_question"}


def test_every_setting_is_in_the_table() -> None:
    assert set(VALUES) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize("name", VALUES)
async def test_a_setting_changes_the_body_or_is_told(kit: Any, task: str, name: str) -> None:
    more: dict[str, Any] = {"task": task}
    if task == "transcribe":
        more["messages"] = (Message("user", (FilePart(b"RIFF", media_type="audio/wav"),)),)
    plain = await kit.plan(kit.request(**more))
    given = await kit.plan(kit.request(**more, **{name: VALUES[name]}))
    told = name in {one.setting for one in given.adjustments}
    changed = given.native.body != plain.native.body
    assert told or changed
    if name != "reasoning_effort":
        assert not (told and changed)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("max_output_tokens", "max_output_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
    ],
)
async def test_what_the_responses_api_knows(responses: Any, name: str, field: str) -> None:
    await responses.ask("Hello", Scene(), **{name: VALUES[name]})
    assert responses.sent()[field] == VALUES[name]


async def test_what_the_responses_api_does_not_know_is_told(responses: Any) -> None:
    names = ("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed", "logit_bias")
    plan = await responses.plan(responses.request(**{name: VALUES[name] for name in names}))
    assert [(one.setting, one.action) for one in plan.adjustments] == [(name, "ignored") for name in names]


async def test_what_the_chat_api_knows(chat: Any) -> None:
    names = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias")
    await chat.ask("Hello", Scene(), **{name: VALUES[name] for name in names})
    sent = chat.sent()
    expected = {**VALUES, "stop": ["END"], "logit_bias": {"15": -5.0}}
    assert {name: sent[name] for name in names} == {name: expected[name] for name in names}


async def test_a_server_with_more_samplers_gets_them(chat: Any) -> None:
    there = chat.at(options={**chat.recipient.options, "extended_sampling": True})
    plan = await there.plan(there.request(top_k=11, min_p=0.05, repetition_penalty=1.2))
    assert plan.adjustments == ()
    body = plan.native.body
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (11, 0.05, 1.2)


async def test_the_limit_has_the_name_that_the_server_knows(chat: Any) -> None:
    await chat.ask("Hello", Scene(), max_output_tokens=7)
    assert chat.sent()["max_tokens"] == 7
    options = {**chat.recipient.options, "max_tokens_field": "max_completion_tokens"}
    await chat.at(options=options).ask("Hello", Scene(), max_output_tokens=7)
    assert chat.sent()["max_completion_tokens"] == 7


async def test_usage_in_a_stream_can_be_left_out(chat: Any) -> None:
    await chat.ask("Hello", Scene())
    assert chat.sent()["stream_options"] == {"include_usage": True}
    await chat.at(options={**chat.recipient.options, "stream_usage": False}).ask("Hello", Scene())
    assert "stream_options" not in chat.sent()


# ---------------------------------------------------------------- what the vendor keeps


async def _vendor_body(kit: Any, options: dict[str, Any] | None = None, **fields: Any) -> Any:
    given: dict[str, Any] = {"api": kit.recipient.options["api"], **(options or {})}
    to = Recipient(name="far", ring="partner", provider="openai", model="gpt-5.5", options=given)
    return kit.provider.plan(kit.request(**fields), to, await kit.provider.card(to)).native.body


async def test_the_vendor_keeps_nothing_unless_the_recipient_says_so(kit: Any) -> None:
    assert (await _vendor_body(kit))["store"] is False
    assert (await _vendor_body(kit, {"store": True}))["store"] is True


@pytest.mark.parametrize("name", ["store", "model", "stream", "input", "messages", "instructions", "n", "file"])
async def test_what_the_request_decides_is_not_the_apps_to_set(kit: Any, name: str) -> None:
    for own in ({name: "x"}, {"extra_body": {name: "x"}}):
        with pytest.raises(InvalidRequest):
            await kit.plan(kit.request(provider_options={"openai": own}))


@pytest.mark.parametrize(
    "name",
    [
        "background",
        "background_options",
        "conversation",
        "previous_response_id",
        "prompt_cache_options",
        "prompt_cache_retention",
    ],
)
async def test_what_makes_the_vendor_keep_the_answer_needs_the_recipients_word(responses: Any, name: str) -> None:
    own = {"openai": {name: "x"}}
    with pytest.raises(InvalidRequest):
        await _vendor_body(responses, provider_options=own)
    assert (await _vendor_body(responses, {"store": True}, provider_options=own))[name] == "x"


@pytest.mark.parametrize("name", ["Store", "Previous_Response_ID", "MODEL"])
async def test_a_name_in_other_letters_is_the_same_name(responses: Any, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await _vendor_body(responses, provider_options={"openai": {"extra_body": {name: "x"}}})


async def test_the_background_of_a_picture_is_a_colour(responses: Any) -> None:
    plan = await responses.plan(
        responses.request(task="image", provider_options={"openai": {"background": "transparent"}})
    )
    assert plan.native.body["background"] == "transparent"


MCP = {"type": "mcp", "server_label": "x", "server_url": "https://elsewhere.example/mcp"}
FAR = [
    (MCP, "mcp"),
    ({"type": "mcp", "server_label": "x", "connector_id": "connector_gmail"}, "mcp"),
    ({"type": "web_search"}, "web_search"),
    ({"type": "web_search_preview_2025_03_11"}, "web_search"),
    ({"type": "code_interpreter", "container": {"type": "auto"}}, "code_interpreter"),
    ({"type": "shell"}, "shell"),
    ({"type": "shop:search"}, "shop:search"),
    ({"type": "namespace", "name": "n", "tools": [MCP]}, "mcp"),
]


@pytest.mark.parametrize(("tool", "kind"), FAR)
async def test_a_tool_that_reaches_further_needs_the_recipients_word(responses: Any, tool: Any, kind: str) -> None:
    for own in ({"tools": [tool]}, {"extra_body": {"tools": [tool]}}):
        given = {"openai": own}
        with pytest.raises(InvalidRequest) as caught:
            await _vendor_body(responses, {"server_tools": ["file_search"]}, provider_options=given)
        assert "server_tools" in str(caught.value.way_out)
        assert (await _vendor_body(responses, {"server_tools": [kind]}, provider_options=given))["tools"] == [tool]


@pytest.mark.parametrize("tools", [3, ["web_search"], [{"name": "no type"}], {"type": "web_search"}])
async def test_what_is_no_list_of_tools_is_not_sent(responses: Any, tools: Any) -> None:
    with pytest.raises(InvalidRequest):
        await _vendor_body(responses, provider_options={"openai": {"tools": tools}})


async def test_searching_the_web_needs_the_recipients_word_by_chat_too(chat: Any) -> None:
    own: dict[str, Any] = {"openai": {"web_search_options": {}}}
    with pytest.raises(InvalidRequest):
        await chat.plan(chat.request(provider_options=own))
    allowed = chat.at(options={"server_tools": ["web_search"]})
    assert (await allowed.plan(allowed.request(provider_options=own))).native.body["web_search_options"] == {}


@pytest.mark.parametrize("kind", ["function", "custom", "image_generation", "file_search"])
async def test_a_tool_that_stays_where_it_is_needs_nobodys_word(responses: Any, kind: str) -> None:
    own = {"openai": {"tools": [{"type": kind}]}}
    assert (await _vendor_body(responses, provider_options=own))["tools"] == [{"type": kind}]


@pytest.mark.parametrize("value", ["web_search", [3], [""], {"web_search": True}, None])
def test_the_tools_of_a_server_are_a_list_of_kinds(value: Any) -> None:
    to = Recipient(name="far", ring="partner", provider="openai", model="m", options={"server_tools": value})
    with pytest.raises(OptionFault):
        read_options(to)


async def test_other_fields_are_merged(responses: Any) -> None:
    responses = responses.at(options={"server_tools": ["web_search"]})
    own = {
        "tools": [{"type": "web_search"}],
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "reasoning": {"summary": "auto"},
    }
    await responses.ask(
        "Hello", Scene(), tools=(Tool(name="note"),), reasoning_effort="low", provider_options={"openai": own}
    )
    sent = responses.sent()
    assert [tool["type"] for tool in sent["tools"]] == ["function", "web_search"]
    assert sent["metadata"] == {"a": "b"}
    assert sent["service_tier"] == "flex"
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}


async def test_a_field_that_only_another_server_knows_goes_in_the_extra_body(chat: Any) -> None:
    own = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    plan = await chat.plan(chat.request(provider_options={"openai": own}))
    assert plan.native.body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "extra_body" not in plan.native.body


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"servic_tier": "flex"}, "did you mean 'service_tier'"),
        ({"extra_body": 3}, "extra_body"),
        ({"image_detail": "huge"}, "image_detail"),
        ({"temperature": 0.1}, "set by the request as well"),
    ],
)
async def test_a_provider_option_that_makes_no_sense_is_refused(kit: Any, own: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        await kit.plan(kit.request(temperature=0.5, provider_options={"openai": own}))


async def test_a_plan_is_pure_and_its_content_is_its_body(kit: Any) -> None:
    request = kit.request(tools=(Tool(name="note"),), temperature=0.5)
    one, other = await kit.plan(request), await kit.plan(request)
    assert one.native.content == other.native.content
    assert json.loads(one.native.content) == one.native.body
    assert "France" not in repr(one) + repr(one.native)
