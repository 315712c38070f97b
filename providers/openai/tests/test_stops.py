"""Stop sequences that the API does not know: cut here, wherever the chunks end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.response import Finish, ProviderEvent, TextDelta, TextEnd, TextStart
from ringfence.testing.scenes import Scene
from ringfence_openai.stops import Stopping


class Chunks:
    """A decoder whose data are texts of one part; an empty one is the end."""

    def __init__(self) -> None:
        self.finished = False
        self._began = False

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        if not data:
            self.finished = True
            return [TextEnd(0), Finish("stop", "completed")]
        start = [] if self._began else [TextStart(0)]
        self._began = True
        return [*start, TextDelta(0, data.decode())]


def _through(chunks: list[str], stops: tuple[str, ...]) -> tuple[str, bool]:
    decoder = Stopping(Chunks(), stops)
    events: list[ProviderEvent] = []
    for chunk in [*chunks, ""]:
        if not decoder.finished:
            events += decoder.feed(chunk.encode())
    assert decoder.finished
    assert all(event.text for event in events if isinstance(event, TextDelta))
    assert isinstance(events[-1], Finish)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), decoder.cut


def _expected(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """Read letter by letter, as a model writes it, the text up to the first sequence that is complete."""
    for end in range(len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end - len(stop)], True
    return text, False


@given(
    chunks=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=8),
    stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_the_cut_does_not_depend_on_the_chunks(chunks: list[str], stops: list[str]) -> None:
    assert _through(chunks, tuple(stops)) == _expected("".join(chunks), tuple(stops))


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_is_cut_and_the_request_closed(responses: Any, stream: bool) -> None:
    text = ("One, t", "wo, th", "ree", *(" more" for _ in range(200)))
    scene = Scene(text=text, chunk_delay_s=0.02)
    answer = await responses.ask("Count.", scene, stop=("three",), stream=stream)
    assert answer.text == "One, two, "
    assert answer.finish == Finish("stop")
    assert "stop" not in responses.sent()
    assert await _left_early(responses)


async def _left_early(kit: Any) -> bool:
    import asyncio

    async with asyncio.timeout(10):
        while kit.last().disconnected_s is None:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.01)
    return True


async def test_the_adjustment_says_that_stops_are_emulated(responses: Any) -> None:
    plan = await responses.plan(responses.request(stop=("x",)))
    assert [(one.setting, one.action) for one in plan.adjustments] == [("stop", "emulated")]


async def test_the_chat_api_has_stops_of_its_own(chat: Any) -> None:
    await chat.ask("Count.", Scene(), stop=("three", "four"))
    assert chat.sent()["stop"] == ["three", "four"]
