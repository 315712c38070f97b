"""An answer that is drawn in a task of its own, so that it is one task's whoever reads it, and a silence is no hang."""

from __future__ import annotations

import asyncio
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
        self._items: asyncio.Queue[_Item] = asyncio.Queue(_MOST_WAITING)
        self._task = asyncio.create_task(self._draw(), name="ringfence-node-answer")

    async def next(self, timeout_s: float | None = None) -> Event | Response[None] | None:
        """What comes next; `None` where nothing came in time.

        Raises:
            RingfenceError: the answer failed.
        """
        if self._items.empty() and timeout_s is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    item = await self._items.get()
            except TimeoutError:
                return None
        else:
            item = await self._items.get()
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
                    await self._items.put(event)
                last: _Item = await stream.response()
        except RingfenceError as error:
            self._failed(error)
            last = error
        except Exception as error:  # noqa: BLE001  INVARIANT 7: what is not ours may hold content, and goes no further.
            last = ProtocolViolated(f"the answer ended with {describe(error)}")
        await self._items.put(last)


__all__ = ["Drawing"]
