"""Tools: asked for, called, answered, on both APIs."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.errors import Unsupported
from ringfence.request import Message, TextPart, Tool, ToolCallPart, ToolResultPart
from ringfence.response import ToolCallDelta, ToolCallStart
from ringfence.testing.scenes import Scene

WEATHER = Tool(
    name="get_weather",
    description="the weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
OPEN = Tool(name="note", parameters={"type": "object", "additionalProperties": {"type": "string"}})
CALLS = (ToolCallPart("call_1", "get_weather", '{"city": "Oslo"}'), ToolCallPart("call_2", "note", '{"a": "b"}'))


@pytest.mark.parametrize("stream", [True, False])
async def test_parallel_calls_come_with_their_arguments(kit: Any, stream: bool) -> None:
    scene = Scene(text=("Let me look.",), tool_calls=CALLS)
    answer = await kit.ask("Hello", scene, tools=(WEATHER, OPEN), stream=stream)
    assert answer.finish.reason == "tool_calls"
    calls = [part for part in answer.message.parts if isinstance(part, ToolCallPart)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        (call.id, call.name, call.arguments) for call in CALLS
    ]
    assert answer.message.text == "Let me look."


async def test_arguments_come_as_they_are_written(kit: Any) -> None:
    answer = await kit.ask("Hello", Scene(text=(), tool_calls=CALLS[:1]), tools=(WEATHER,))
    deltas = [event.arguments for event in answer.events if isinstance(event, ToolCallDelta)]
    assert len(deltas) > 1
    assert "".join(deltas) == CALLS[0].arguments
    assert isinstance(answer.events[0], ToolCallStart)


def _tools(body: Any) -> list[Any]:
    return [tool.get("function", tool) for tool in body["tools"]]


async def test_tools_of_the_vendor_are_strict_where_their_schema_can_be(kit: Any, openai: Any) -> None:
    to = _vendor(kit)
    plan = openai.plan(kit.request(tools=(WEATHER, OPEN)), to, await openai.card(to))
    weather, note = _tools(plan.native.body)
    assert weather["strict"] is True
    assert weather["parameters"] == {**WEATHER.parameters, "additionalProperties": False}
    assert note["strict"] is False
    assert note["parameters"] == OPEN.parameters
    assert plan.adjustments == ()


def _vendor(kit: Any) -> Any:
    from ringfence.recipient import Recipient

    options = {"api": kit.recipient.options["api"]}
    return Recipient(name="far", ring="partner", provider="openai", model="gpt-5.5", options=options)


async def test_tools_of_another_server_go_as_they_are(kit: Any) -> None:
    await kit.ask("Hello", Scene(), tools=(WEATHER,))
    (tool,) = _tools(kit.sent())
    assert tool["parameters"] == WEATHER.parameters
    assert "strict" not in tool


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
async def test_the_choice_is_sent(kit: Any, choice: Any) -> None:
    await kit.ask("Hello", Scene(), tools=(WEATHER,), tool_choice=choice)
    assert kit.sent()["tool_choice"] == choice


TURNS = (
    Message("user", (TextPart("Weather?"),)),
    Message("assistant", (TextPart("I look."), *CALLS)),
    Message(
        "tool", (ToolResultPart("call_1", "get_weather", "rain"), ToolResultPart("call_2", "note", "no", is_error=True))
    ),
)


async def test_results_go_back_by_responses(responses: Any) -> None:
    await responses.ask(messages=TURNS, tools=(WEATHER,))
    assert responses.sent()["input"] == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call", "call_id": "call_2", "name": "note", "arguments": '{"a": "b"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"type": "function_call_output", "call_id": "call_2", "output": "error: no"},
    ]


async def test_results_go_back_by_chat(chat: Any) -> None:
    await chat.ask(messages=TURNS, tools=(WEATHER,))
    assert chat.sent()["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in CALLS
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": "error: no"},
    ]


async def test_a_model_without_tools_is_told_before_sending(kit: Any) -> None:
    without = kit.at(capabilities=frozenset({"text"}), options=kit.recipient.options)
    with pytest.raises(Unsupported) as caught:
        await without.plan(without.request(tools=(WEATHER,)))
    assert caught.value.setting == "tools"
