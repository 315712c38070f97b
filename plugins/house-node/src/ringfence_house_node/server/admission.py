"""Who may run now: so many at once, so many waiting, and callers take turns."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from ringfence_house_node.server.callers import ANYBODY
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

    INVARIANT: a seat that becomes free goes to whose turn it is, never to whoever asks at that moment; so one with many
    requests waiting delays another by one request, not by all of them. The share of the queue is a named caller's,
    under however many names it takes turns.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._places: Counter[str] = Counter()
        """Of the queue, by who holds them."""

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
    async def seat(self, caller: str, *, turn: str) -> AsyncGenerator[None, None]:
        """Holds a seat within it. `turn` is with whom the caller takes turns.

        Raises:
            OverShare: the caller has too many waiting.
            Full: the queue has no place, or none became free in time.
        """
        await self._take(caller, turn)
        try:
            yield
        finally:
            self._running -= 1
            self._call_next()

    async def _take(self, caller: str, turn: str) -> None:
        if self._running < self._limits.concurrency and not self._waiting:
            self._running += 1
            return
        with self._place(caller):
            await self._called(turn)

    @contextmanager
    def _place(self, caller: str) -> Generator[None, None, None]:
        limits = self._limits
        if self.waiting >= limits.queue:
            raise Full(limits.queue_s)
        # Where nobody is named, all are one caller, and a share would only make the queue smaller for everybody.
        if caller != ANYBODY and self._places[caller] >= max(1, int(limits.share * limits.queue)):
            raise OverShare(limits.queue_s)
        self._places[caller] += 1
        try:
            yield
        finally:
            self._places[caller] -= 1
            # Without it every name that ever waited would be kept.
            self._places += Counter()

    async def _called(self, turn: str) -> None:
        call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(turn, deque()).append(call)
        try:
            async with asyncio.timeout(self._limits.queue_s):
                await call
        except TimeoutError:
            self._leave(turn, call)
            raise Full(self._limits.queue_s) from None
        except asyncio.CancelledError:
            self._leave(turn, call)
            raise

    def _leave(self, turn: str, call: asyncio.Future[None]) -> None:
        # A seat that was given in the same moment is passed on.
        if call.done() and not call.cancelled():
            self._running -= 1
            self._call_next()
            return
        queue = self._waiting.get(turn)
        if queue is not None and call in queue:
            queue.remove(call)
            if not queue:
                del self._waiting[turn]

    def _call_next(self) -> None:
        while self._waiting and self._running < self._limits.concurrency:
            turn, queue = self._waiting.popitem(last=False)
            call = queue.popleft()
            if queue:
                self._waiting[turn] = queue
            if not call.done():
                self._running += 1
                call.set_result(None)


__all__ = ["Admission", "Full", "OverShare"]
