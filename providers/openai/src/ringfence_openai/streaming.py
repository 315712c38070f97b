"""A streamed answer: bytes in, events out, and the connection left clean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from ringfence.response import ProviderEvent
from ringfence_openai.faults import Malformed, Refused
from ringfence_openai.native import Decoder
from ringfence_openai.running import Running
from ringfence_openai.sse import SseReader
from ringfence_openai.stops import Stopping

if TYPE_CHECKING:
    import httpx2

_MOST_AT_ONCE = 64
"""Data that is read before its events are told, if so much has come."""


class Stream:
    """One streamed answer. Its owner closes `chunks`."""

    __slots__ = ("_at_once", "_came", "_decoder", "_fault", "_reader", "_running", "chunks")

    def __init__(self, response: httpx2.Response, decoder: Decoder, running: Running) -> None:
        self._at_once = 1
        self._came: Iterator[bytes] = iter(())
        """Of what the network brought, the data that is not read yet."""
        self._decoder = decoder
        self._fault: Malformed | Refused | None = None
        self._reader = SseReader()
        self._running = running
        self.chunks: AsyncGenerator[bytes, None] = response.aiter_bytes()

    @property
    def finished(self) -> bool:
        """Whether the answer has come to its end."""
        return self._decoder.finished

    async def next(self) -> Sequence[ProviderEvent]:
        """The next events of the answer; none if the network brings part of one, or a sign of life.

        Raises:
            Malformed: the answer does not keep to its API, or it ended before its end.
            Refused: the backend says that it failed.
        """
        self._running.check()
        events = self._read()
        if not events and not self._decoder.finished:
            if self._fault is not None:
                raise self._fault
            try:
                chunk = await self._running.wait(self.chunks.__anext__())
            except StopAsyncIteration:
                # INVARIANT: an answer that did not say that it is complete never passes for one.
                raise Malformed from None
            self._came = iter(self._reader.feed(chunk))
            events = self._read()
        decoder = self._decoder
        if decoder.finished and isinstance(decoder, Stopping) and decoder.cut:
            # The rest is not wanted, so it need not be made.
            await self._running.aclose()
        return events

    def _read(self) -> list[ProviderEvent]:
        """Some events of what came; none if there are none in all of it.

        The first that comes is read alone, and then twice as many each time: nobody waits for an event until all that
        came with it is read.
        """
        decoder, events = self._decoder, list[ProviderEvent]()
        try:
            while not events and (some := list(islice(self._came, self._at_once))):
                for data in some:
                    events += decoder.feed(data)
                    if decoder.finished:
                        break
                if events:
                    self._at_once = min(2 * self._at_once, _MOST_AT_ONCE)
        except (Malformed, Refused) as fault:
            # What came before it is told first.
            self._fault = fault
            self._came = iter(())
        return events

    async def drain(self, limit_s: float) -> None:
        """Reads what follows the end, nothing as a rule, so that the connection can be used again."""
        if self._running.response is None:
            return
        # Whatever goes wrong now, the answer is complete, and the connection will be closed.
        with suppress(Exception):
            async with asyncio.timeout(limit_s):
                async for _ in self.chunks:
                    pass


__all__ = ["Stream"]
