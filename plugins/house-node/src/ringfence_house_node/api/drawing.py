"""An answer that is drawn in a task of its own, so that it is one task's whoever reads it, and a silence is no hang."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ringfence.assistant.stream import AsyncStream
from ringfence.errors import ProtocolViolated, RingfenceError, describe
from ringfence.response import Event, Response

_MOST_WAITING = 256
"""Events that nobody has read yet; then the engine is not drawn from until some have been."""

_Item: TypeAlias = Event | Response[None] | RingfenceError


class Drawing:
    """Events, then the whole response. `alive` is called for every event, `failed` for an error; close it always."""

    def __init__(
        self, stream: AsyncStream[None], alive: Callable[[], None], failed: Callable[[RingfenceError], None]
    ) -> None:
        self._stream = stream
        self._alive = alive
        self._failed = failed
        self._items: deque[_Item] = deque()
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._task = asyncio.create_task(self._draw(), name="ringfence-node-answer")

    async def some(self, timeout_s: float | None = None) -> Sequence[Event | Response[None]]:
        """All that has come and was not read yet, in order; nothing where nothing came in time.

        Raises:
            RingfenceError: the answer failed, and all that came before has been read.
        """
        if not self._items:
            self._came.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._came.wait()
            except TimeoutError:
                return ()
        came: list[Event | Response[None]] = []
        while self._items:
            item = self._items.popleft()
            if isinstance(item, RingfenceError):
                if not came:
                    raise item
                self._items.appendleft(item)
                break
            came.append(item)
        self._room.set()
        return came

    async def rest(self, came: Sequence[Event | Response[None]]) -> Response[None]:
        """The whole response; `came` was read already. Closes.

        Raises:
            RingfenceError: the answer failed.
        """
        while not came or not isinstance(came[-1], Response):
            came = await self.some()
        await self.aclose()
        return came[-1]

    async def aclose(self) -> None:
        """Ends the work, here and at the engine. Idempotent."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _draw(self) -> None:
        try:
            async with self._stream as stream:
                async for event in stream:
                    self._alive()
                    self._put(event)
                    if len(self._items) >= _MOST_WAITING:
                        self._room.clear()
                        await self._room.wait()
                last: _Item = await stream.response()
        except RingfenceError as error:
            self._failed(error)
            last = error
        except Exception as error:  # noqa: BLE001  INVARIANT 7: what is not ours may hold content, and goes no further.
            last = ProtocolViolated(f"the answer ended with {describe(error)}")
        self._put(last)

    def _put(self, item: _Item) -> None:
        self._items.append(item)
        self._came.set()


__all__ = ["Drawing"]
