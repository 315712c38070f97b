"""A loop in a thread of its own: how synchronous code runs the one asynchronous path.

Safe from any thread and from inside a running event loop, since nothing runs on the caller's. A forked child gets a
portal of its own: threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from ringfence.errors import Closed

T = TypeVar("T")

_CLOSE_TIMEOUT_S = 5.0


class Portal:
    """One thread with one event loop, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running.

        Raises:
            Closed: the portal was stopped.
        """
        with self._lock:
            if self._closed:
                raise Closed("the assistant is closed", way_out="make a new one")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="ringfence", daemon=True)
                self._thread.start()
            return self._loop

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. A KeyboardInterrupt in the caller cancels it."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self.loop())
        except BaseException:
            work.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the thread. Idempotent."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(_CLOSE_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSE_TIMEOUT_S)
        if not thread.is_alive():
            loop.close()


async def _cancel_all() -> None:
    loop = asyncio.get_running_loop()
    others = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_asyncgens()


class Draw(Iterator[T]):
    """Items of an async iterator, for one synchronous consumer. `close` cancels and waits until that is done.

    The items wait in a queue of their own, so a slow consumer does not hold up the portal.
    """

    def __init__(
        self, portal: Portal, make: Callable[[], AsyncIterator[T]], close: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._portal = portal
        self._items: queue.SimpleQueue[T | _Ended] = queue.SimpleQueue()
        self._make = make
        self._close = close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    async def _pump(self) -> None:
        try:
            async for item in self._make():
                self._items.put(item)
        finally:
            await self._close()

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._pump())
        # A callback, since a task that is cancelled before it began runs no `finally`.
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._items.put(_Ended(None if task.cancelled() else task.exception()))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def __next__(self) -> T:
        if self._ended:
            raise StopIteration
        if self._loop is None:
            self._loop = self._portal.loop()
            self._loop.call_soon_threadsafe(self._start)
        item = self._items.get()
        if isinstance(item, _Ended):
            self._ended = True
            if item.error is not None:
                raise item.error
            raise StopIteration
        return item

    def close(self) -> None:
        """Cancels what still runs and waits for its end. Idempotent."""
        if self._ended or self._loop is None:
            self._ended = True
            return
        self._ended = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)
        while not isinstance(self._items.get(), _Ended):
            pass

    def __del__(self) -> None:
        if not self._ended and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)


class _Ended:
    __slots__ = ("error",)

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
