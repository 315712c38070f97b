"""An answer that is drawn in a task of its own, so that it is one task's whoever reads it, and a silence is no hang."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
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

    def __len__(self) -> int:
        """How much of what came has not been read yet."""
        return len(self._items)

    async def next(self, timeout_s: float | None = None) -> Event | Response[None] | None:
        """What comes next; `None` where nothing came in time.

        Raises:
            RingfenceError: the answer failed.
        """
        if not self._items:
            self._came.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._came.wait()
            except TimeoutError:
                return None
        item = self._items.popleft()
        self._room.set()
        if isinstance(item, RingfenceError):
            raise item
        return item

    async def rest(self, item: Event | Response[None] | None) -> Response[None]:
        """The whole response; `item` was drawn already. Closes.

        Raises:
            RingfenceError: the answer failed.
        """
        while not isinstance(item, Response):
            item = await self.next()
        await self.aclose()
        return item

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
