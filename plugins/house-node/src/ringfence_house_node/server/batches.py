"""What a service yields, joined into flushes: one at once after a pause, else one every so often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import NamedTuple

FLUSH_S = 0.03
FLUSH_BYTES = 256
_HIGH_WATER_BYTES = 65_536


class Flush(NamedTuple):
    """Pieces that go out together, none where there was a pause. `last`: the body has come to its own end with them."""

    data: bytes
    last: bool


class _Pump:
    """Reads `body` in a task of its own, ahead of who sends by at most the high-water mark."""

    def __init__(self, body: AsyncGenerator[bytes, None]) -> None:
        self._buffer = bytearray()
        self._room = asyncio.Event()
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._run(body))
        self.task.add_done_callback(lambda _: self._changed.set())

    async def _run(self, body: AsyncGenerator[bytes, None]) -> None:
        # Closed where it is read: what it opened ends in the task that opened it.
        async with aclosing(body):
            async for piece in body:
                self._buffer += piece
                self._changed.set()
                if len(self._buffer) >= _HIGH_WATER_BYTES:
                    self._room.clear()
                    await self._room.wait()

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def ended(self) -> bool:
        """Whether the body has come to its own end."""
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    async def changed(self, within_s: float) -> bool:
        """Whether something came, or everything ended, within that time."""
        try:
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def take(self) -> bytes:
        taken = bytes(self._buffer)
        self._buffer.clear()
        self._room.set()
        return taken

    async def close(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.task


async def batches(body: AsyncGenerator[bytes, None], *, quiet_s: float) -> AsyncGenerator[Flush, None]:
    """The pieces of `body`, joined; an empty flush after each `quiet_s` without any. Closes `body` in the end.

    Pieces are never divided. Whatever `body` raises comes out after what it yielded before.
    """
    pump, loop = _Pump(body), asyncio.get_running_loop()
    flushed_at = loop.time() - FLUSH_S
    try:
        while len(pump) or not pump.task.done():
            if not len(pump):
                if not await pump.changed(quiet_s):
                    yield Flush(b"", last=False)
                continue
            wait_s = flushed_at + FLUSH_S - loop.time()
            if wait_s > 0 and len(pump) < FLUSH_BYTES and not pump.task.done():
                await pump.changed(wait_s)
                continue
            flushed_at = loop.time()
            yield Flush(pump.take(), last=pump.ended)
        pump.task.result()
    finally:
        await pump.close()


__all__ = ["FLUSH_BYTES", "FLUSH_S", "Flush", "batches"]
