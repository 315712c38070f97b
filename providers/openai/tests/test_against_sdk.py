"""The same answers, read by the SDK itself from the same double."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from ringfence.request import ToolCallPart
from ringfence.response import Usage
from ringfence.testing.scenes import Scene

CALL = ToolCallPart("call_1", "get_weather", '{"city": "Reykjavík"}')
SCENES = [
    Scene(text=("Ein", " Satz –", " 🏛️.")),
    Scene(text=("Let me see.",), tool_calls=(CALL,)),
    Scene(reasoning=("first ", "then"), text=("Yes.",), finish="length"),
    Scene(usage=Usage(input_tokens=5, output_tokens=3, cached_input_tokens=2, reasoning_tokens=1)),
]


@pytest_asyncio.fixture
async def sdk(partner: Any) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="sk-x", base_url=partner.openai.url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("scene", SCENES)
async def test_responses_are_read_alike(responses: Any, sdk: AsyncOpenAI, scene: Scene) -> None:
    ours = await responses.ask("Hello", scene)
    theirs: Any = None
    async for event in await sdk.responses.create(model="m", input="Hello", stream=True):
        theirs = getattr(event, "response", theirs)
    assert ours.text == theirs.output_text
    calls = [(one.call_id, one.name, one.arguments) for one in theirs.output if one.type == "function_call"]
    assert _calls(ours) == calls
    _assert_usage(ours.usage, theirs.usage, "input_tokens", "output_tokens")


@pytest.mark.parametrize("scene", SCENES)
async def test_completions_are_read_alike(chat: Any, sdk: AsyncOpenAI, scene: Scene) -> None:
    ours = await chat.ask("Hello", scene)
    chat.backend.play(scene)
    theirs = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello"}])
    (choice,) = theirs.choices
    assert ours.text == (choice.message.content or "")
    assert ours.finish.raw == choice.finish_reason
    calls: list[Any] = [*(choice.message.tool_calls or ())]
    assert _calls(ours) == [(one.id, one.function.name, one.function.arguments) for one in calls]
    _assert_usage(ours.usage, theirs.usage, "prompt_tokens", "completion_tokens")


def _calls(answer: Any) -> list[tuple[str, str, str]]:
    return [(one.id, one.name, one.arguments) for one in answer.message.parts if isinstance(one, ToolCallPart)]


def _assert_usage(ours: Usage, theirs: Any, input_name: str, output_name: str) -> None:
    into, out = getattr(theirs, f"{input_name}_details"), getattr(theirs, f"{output_name}_details")
    assert ours == Usage(
        input_tokens=getattr(theirs, input_name),
        output_tokens=getattr(theirs, output_name),
        cached_input_tokens=into.cached_tokens,
        reasoning_tokens=out.reasoning_tokens,
    )
