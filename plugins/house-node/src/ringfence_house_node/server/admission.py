"""Who may run now: so many at once, so many waiting, and callers take turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ringfence_house_node.server.limits import Limits


class Full(Exception):
    """No seat became free, or the queue has no place. `retry_after_s` is when to come again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the node is full")
        self.retry_after_s = retry_after_s


class OverShare(Full):
    """This caller holds its share of the queue already."""


class Admission:
    """Seats for running requests, and a queue in which callers take turns.

    INVARIANT: a seat that becomes free goes to the caller whose turn it is, never to whoever asks at that moment; so
    a caller with many requests waiting delays another by one request, not by all of them.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def running(self) -> int:
        """How many requests hold a seat."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return sum(map(len, self._waiting.values()))

    @property
    def load(self) -> float:
        """The share of the seats in use or waited for, at most 1."""
        return min(1.0, (self._running + self.waiting) / self._limits.concurrency)

    @asynccontextmanager
    async def seat(self, caller: str) -> AsyncGenerator[None, None]:
        """Holds a seat within it.

        Raises:
            OverShare: the caller has too many waiting.
            Full: the queue has no place, or none became free in time.
        """
        await self._take(caller)
        try:
            yield
        finally:
            self._running -= 1
            self._call_next()

    async def _take(self, caller: str) -> None:
        if self._running < self._limits.concurrency and not self._waiting:
            self._running += 1
            return
        turn = self._queue(caller)
        try:
            async with asyncio.timeout(self._limits.queue_s):
                await turn
        except TimeoutError:
            self._leave(caller, turn)
            raise Full(self._limits.queue_s) from None
        except asyncio.CancelledError:
            self._leave(caller, turn)
            raise

    def _queue(self, caller: str) -> asyncio.Future[None]:
        limits, own = self._limits, self._waiting.get(caller, ())
        if self.waiting >= limits.queue:
            raise Full(limits.queue_s)
        if len(own) >= max(1, int(limits.share * limits.queue)):
            raise OverShare(limits.queue_s)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        return turn

    def _leave(self, caller: str, turn: asyncio.Future[None]) -> None:
        # A turn that was given in the same moment is passed on.
        if turn.done() and not turn.cancelled():
            self._running -= 1
            self._call_next()
            return
        queue = self._waiting.get(caller)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[caller]

    def _call_next(self) -> None:
        while self._waiting and self._running < self._limits.concurrency:
            caller, queue = self._waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._waiting[caller] = queue
            if not turn.done():
                self._running += 1
                turn.set_result(None)


__all__ = ["Admission", "Full", "OverShare"]
