"""A streamed answer out of pieces of the network: what is read first, and what is told before a fault."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import httpx2
import pytest

from ringfence.response import Finish, ProviderEvent, TextDelta
from ringfence_openai.chat.answer import ChatDecoder
from ringfence_openai.faults import Malformed
from ringfence_openai.running import Runs
from ringfence_openai.streaming import Stream

WORDS = [f" word{number}" for number in range(300)]


def _event(delta: str, reason: str = "null") -> bytes:
    return b'data: {"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n' % (delta.encode(), reason.encode())


def _words() -> bytes:
    return b"".join(_event(f'{{"content":"{word}"}}') for word in WORDS)


END = _event("{}", '"stop"') + b"data: [DONE]\n\n"


class _Body(httpx2.AsyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def _stream(*pieces: bytes) -> Stream:
    return Stream(httpx2.Response(200, stream=_Body(*pieces)), ChatDecoder(), Runs().begin())


async def _rest(stream: Stream) -> AsyncGenerator[list[ProviderEvent], None]:
    while not stream.finished:
        yield list(await stream.next())


def _text(batches: list[list[ProviderEvent]]) -> str:
    return "".join(event.text for batch in batches for event in batch if isinstance(event, TextDelta))


async def test_the_first_event_is_told_before_all_that_came_with_it_is_read() -> None:
    stream = _stream(_event('{"role":"assistant","content":""}') + _words() + END)
    batches = [batch async for batch in _rest(stream)]
    assert _text(batches[:1]) == WORDS[0]
    assert _text(batches) == "".join(WORDS)
    assert isinstance(batches[-1][-1], Finish)
    # Each takes more than the one before, so that reading few at a time costs nothing.
    assert len(batches) < 20


async def test_however_a_stream_is_cut_nothing_of_it_is_lost() -> None:
    data = _words() + END
    for size in (1, 7, 1_000, 20_000):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert _text([batch async for batch in _rest(_stream(*pieces))]) == "".join(WORDS)


async def test_what_came_before_a_fault_in_the_same_piece_is_told_first() -> None:
    stream, batches = _stream(_words() + b"data: {nonsense\n\n" + _words()), list[list[ProviderEvent]]()

    async def draw() -> None:
        async for batch in _rest(stream):
            batches.append(batch)

    with pytest.raises(Malformed):
        await draw()
    assert _text(batches) == "".join(WORDS)


async def test_an_event_that_means_nothing_to_us_is_a_sign_of_life() -> None:
    stream = _stream(b": ping\n\n", END)
    assert await stream.next() == cast("list[ProviderEvent]", [])
    assert isinstance((await stream.next())[-1], Finish)
