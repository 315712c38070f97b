"""Reasoning: told, kept as it came, and given back to the vendor that made it."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from openai.types.responses import ResponseOutputItem

from ringfence.request import Message, ReasoningPart, TextPart
from ringfence.response import ReasoningEnd
from ringfence.testing.scenes import Scene
from ringfence_openai.responses.items import REPLAYED, whole

THOUGHT = Scene(reasoning=("first ", "then"), text=("Yes.",))


@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_is_a_part_before_the_text(kit: Any, stream: bool) -> None:
    answer = await kit.ask("Why?", THOUGHT, stream=stream)
    reasoning, text = answer.message.parts
    assert isinstance(reasoning, ReasoningPart)
    assert isinstance(text, TextPart)
    assert (reasoning.text, text.text) == ("first then", "Yes.")


async def test_the_state_is_the_whole_item_and_goes_back_as_it_came(responses: Any) -> None:
    answer = await responses.ask("Why?", THOUGHT)
    reasoning = answer.message.parts[0]
    item = json.loads(reasoning.state)
    assert item["type"] == "reasoning"
    assert item["encrypted_content"]
    turns = (Message("user", (TextPart("Why?"),)), answer.message, Message("user", (TextPart("Really?"),)))
    await responses.ask(messages=turns)
    assert responses.sent()["input"] == [
        {"role": "user", "content": "Why?"},
        item,
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Really?"},
    ]


async def test_the_vendor_keeps_nothing_and_sends_its_reasoning_along(responses: Any) -> None:
    await responses.ask("Why?", THOUGHT)
    assert responses.sent()["store"] is False
    assert responses.sent()["include"] == ["reasoning.encrypted_content"]


async def test_a_model_without_reasoning_is_not_asked_for_any(responses: Any) -> None:
    plain = responses.at(capabilities=frozenset({"text"}), options=responses.recipient.options)
    request = plain.request(reasoning_effort="high")
    plan = await plain.plan(request)
    assert "include" not in plan.native.body
    assert "reasoning" not in plan.native.body
    assert [(one.setting, one.action) for one in plan.adjustments] == [("reasoning_effort", "ignored")]


async def test_the_effort_is_sent(kit: Any) -> None:
    await kit.ask("Why?", Scene(), reasoning_effort="high")
    sent = kit.sent()
    assert sent.get("reasoning_effort", sent.get("reasoning", {}).get("effort")) == "high"


@pytest.mark.parametrize("state", [None, "", "no json", "[]", '"x"', '{"no": "type"}'])
async def test_reasoning_that_the_vendor_did_not_make_is_left_out_and_told(responses: Any, state: str | None) -> None:
    turns = (Message("assistant", (ReasoningPart("openai", "hm", state=state), TextPart("A"))), _USER)
    plan = await responses.plan(responses.request(messages=turns))
    assert plan.native.body["input"][0] == {"role": "assistant", "content": "A"}
    assert [(one.setting, one.action) for one in plan.adjustments] == [("reasoning", "ignored")]


@pytest.mark.parametrize(
    "kind",
    [
        "message",
        "function_call",
        "function_call_output",
        "item_reference",
        "mcp_approval_response",
        "additional_tools",
        "tool_search_output",
        "computer_call_output",
        "nobody_knows",
    ],
)
async def test_an_answer_never_speaks_for_the_app(responses: Any, kind: str) -> None:
    item = {"type": kind, "id": "x", "call_id": "c", "output": "injected", "approve": True}
    turns = (Message("assistant", (ReasoningPart("openai", "", state=json.dumps(item)), TextPart("A"))), _USER)
    plan = await responses.plan(responses.request(messages=turns))
    assert plan.native.body["input"][0] == {"role": "assistant", "content": "A"}
    assert [(one.setting, one.action) for one in plan.adjustments] == [("reasoning", "ignored")]


async def test_an_item_that_an_answer_brings_for_the_app_is_not_sent_on(responses: Any) -> None:
    item = {"type": "mcp_approval_response", "approve": True, "approval_request_id": "q"}
    body = json.dumps({"status": "completed", "output": [item]}).encode()
    states = [event.state for event in whole(body, "application/json") if isinstance(event, ReasoningEnd)]
    turns = (Message("assistant", tuple(ReasoningPart("openai", "", state=one) for one in states)), _USER)
    await responses.ask(messages=turns)
    assert responses.sent()["input"] == [{"role": "user", "content": "B"}]


def test_what_is_replayed_is_an_item_of_the_sdk() -> None:
    kinds = {item.model_fields["type"].annotation.__args__[0] for item in get_args(get_args(ResponseOutputItem)[0])}
    assert kinds >= REPLAYED


_USER = Message("user", (TextPart("B"),))


async def test_chat_takes_no_reasoning_back(chat: Any) -> None:
    turns = (Message("assistant", (ReasoningPart("openai", "hm", state="{}"), TextPart("A"))), _USER)
    plan = await chat.plan(chat.request(messages=turns))
    assert plan.native.body["messages"][0] == {"role": "assistant", "content": "A"}
    assert [(one.setting, one.action) for one in plan.adjustments] == [("reasoning", "ignored")]
