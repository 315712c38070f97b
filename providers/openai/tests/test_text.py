"""Text answers on both APIs, streamed and whole."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.response import Finish, TextDelta, TextEnd, TextStart, Usage
from ringfence.testing.scenes import Scene

USAGE = Usage(input_tokens=11, output_tokens=7, cached_input_tokens=3, reasoning_tokens=2)


async def test_a_streamed_answer_comes_in_the_backends_chunks(kit: Any) -> None:
    answer = await kit.ask("Hello", Scene(text=("Paris", " is", " it.")))
    assert [event.text for event in answer.events if isinstance(event, TextDelta)] == ["Paris", " is", " it."]
    assert answer.events[0] == TextStart(0)
    assert TextEnd(0) in answer.events
    assert answer.finish.reason == "stop"
    assert kit.sent()["stream"] is True


async def test_a_whole_answer_is_asked_for_as_a_whole(kit: Any) -> None:
    answer = await kit.ask("Hello", Scene(text=("Paris", " is", " it.")), stream=False)
    assert answer.text == "Paris is it."
    assert kit.sent()["stream"] is False


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_is_told_with_cached_and_reasoning_tokens(kit: Any, stream: bool) -> None:
    answer = await kit.ask("Hello", Scene(usage=USAGE), stream=stream)
    assert answer.usage == USAGE


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "refusal"])
async def test_streamed_and_whole_end_alike(kit: Any, reason: Any) -> None:
    scene = Scene(finish=reason)
    streamed, whole = await kit.ask("Hello", scene), await kit.ask("Hello", scene, stream=False)
    assert streamed.finish.reason == reason
    assert whole.finish == streamed.finish
    assert whole.message == streamed.message
    assert whole.usage == streamed.usage


async def test_the_raw_finish_reason_is_the_backends_word(chat: Any) -> None:
    assert (await chat.ask("Hello", Scene(finish="length"))).finish == Finish("length", "length")
