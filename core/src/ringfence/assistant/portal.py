"""A loop in a thread of its own: how synchronous code runs the one asynchronous path.

Safe from any thread and from inside a running event loop, since nothing runs on the caller's. A forked child gets a
portal of its own: threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from ringfence.errors import Closed, InvalidRequest

T = TypeVar("T")

_CLOSE_TIMEOUT_S = 5.0
_FIRST_S = 0.005
"""How long the consumer of a stream has for its first item, if it does not ask for more: as long as it would have had
to wait for the interpreter otherwise (`sys.getswitchinterval`)."""


class Portal:
    """One thread with one event loop, started on first use."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running.

        Raises:
            Closed: the portal was stopped, or belongs to the process that this one was forked from.
        """
        if self.process != os.getpid():
            raise Closed("this was begun before the process was forked", way_out="begin it again in the child")
        with self._lock:
            if self._closed:
                raise Closed("the assistant is closed", way_out="make a new one")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="ringfence", daemon=True)
                self._thread.start()
            return self._loop

    def call(self, work: Coroutine[Any, Any, T], *, timeout_s: float | None = None) -> T:
        """The result of `work`. A KeyboardInterrupt in the caller cancels it.

        Raises:
            TimeoutError: it took longer than `timeout_s`.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise InvalidRequest("a call from inside this assistant waits for itself", way_out="AsyncAssistant")
        call = _Call(work)
        try:
            loop = self.loop()
            loop.call_soon_threadsafe(call.start)
        except BaseException:
            work.close()
            raise
        try:
            return call.result(timeout_s)
        except BaseException:
            if not call.ended:
                with contextlib.suppress(RuntimeError):  # the loop was closed just now
                    loop.call_soon_threadsafe(call.cancel)
            raise

    def stop(self) -> None:
        """Ends the thread. Idempotent."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        with contextlib.suppress(TimeoutError):
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


class _Call(Generic[T]):
    """One coroutine on the portal's loop and the thread that waits for it.

    A lock in place of `concurrent.futures.Future`, whose condition takes a third of the way there and back.
    """

    __slots__ = ("_done", "_task", "_work", "ended")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._task: asyncio.Task[T] | None = None
        self._work = work
        self.ended = False

    def start(self) -> None:
        """Begins, on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # seen, also where the caller was interrupted and will not ask
        self.ended = True
        self._done.release()

    def cancel(self) -> None:
        """Ends it, on the loop."""
        if self._task is not None:
            self._task.cancel()

    def result(self, timeout_s: float | None) -> T:
        """What it returned or raised.

        Raises:
            TimeoutError: it took longer than `timeout_s`.
            Closed: it was cut by closing the portal.
        """
        if not self._done.acquire(timeout=-1 if timeout_s is None else timeout_s):
            raise TimeoutError
        # Given away, so that an exception does not hold itself by the frames it went through.
        task, self._task = self._task, None
        assert task is not None  # noqa: S101  (it has ended)
        try:
            if task.cancelled():
                # Nobody but `stop` cancels what runs here.
                raise _closed_meanwhile()
            return task.result()
        finally:
            del task


class _Pump(Generic[T]):
    """Draws on the portal's loop. It knows nothing of the `Draw` it feeds, so that a dropped one can be collected."""

    def __init__(self, make: Callable[[], AsyncIterator[T]], close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.items: queue.SimpleQueue[T | _Ended] = queue.SimpleQueue()
        self.closing = False
        self._make = make
        self._close = close
        self._first_used = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        try:
            async for item in self._make():
                self.items.put(item)
                if not self._first_used.is_set():
                    await self._first()
        finally:
            await self._close()

    async def _first(self) -> None:
        """Leaves the interpreter to the consumer, from which a thread that is busy with the rest would keep it."""
        enough = asyncio.get_running_loop().call_later(_FIRST_S, self._first_used.set)
        try:
            await self._first_used.wait()
        finally:
            enough.cancel()

    def first_used(self) -> None:
        """The consumer has the first item and wants the next, on the loop."""
        self._first_used.set()

    def start(self) -> None:
        """Begins, on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        # A callback, since a task that is cancelled before it began runs no `finally`.
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            # INVARIANT: what was cut by closing the assistant never ends as if it were whole.
            self.items.put(_Ended(None if self.closing else _closed_meanwhile()))
        else:
            self.items.put(_Ended(task.exception()))

    def cancel(self) -> None:
        """Ends it, on the loop."""
        self.closing = True
        if self._task is not None:
            self._task.cancel()


class Draw(Iterator[T]):
    """Items of an async iterator for synchronous code. `close` cancels and waits until that is done.

    The items wait in a queue of their own, so a slow consumer does not hold up the portal. Dropped, it cancels too.
    """

    def __init__(
        self, portal: Portal, make: Callable[[], AsyncIterator[T]], close: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._portal = portal
        self._pump = _Pump(make, close)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = False
        self._ended = False

    def __next__(self) -> T:
        if self._ended:
            raise StopIteration
        loop = self._portal.loop()
        if self._loop is None:
            self._loop = loop
            loop.call_soon_threadsafe(self._pump.start)
        elif not self._began:
            self._began = True
            with contextlib.suppress(RuntimeError):  # the loop was closed just now
                loop.call_soon_threadsafe(self._pump.first_used)
        item = self._pump.items.get()
        if not isinstance(item, _Ended):
            return item
        self._pump.items.put(item)  # another thread may wait for it too
        self._ended = True
        raise item.error or StopIteration

    def _tell_to_end(self) -> bool:
        """Whether there is something running in this process that was told to end."""
        if self._loop is None or self._loop.is_closed() or self._portal.process != os.getpid():
            return False
        with contextlib.suppress(RuntimeError):  # the loop was closed just now
            self._loop.call_soon_threadsafe(self._pump.cancel)
        return True

    def close(self) -> None:
        """Cancels what still runs and waits for its end. Idempotent."""
        ended, self._ended = self._ended, True
        if ended or not self._tell_to_end():
            return
        # A plugin that blocks the loop cannot be cancelled; it must not hold the caller for ever too.
        deadline = time.monotonic() + _CLOSE_TIMEOUT_S
        with contextlib.suppress(queue.Empty):
            while not isinstance(item := self._pump.items.get(timeout=max(0, deadline - time.monotonic())), _Ended):
                pass
            self._pump.items.put(item)

    def __del__(self) -> None:
        if not self._ended:
            self._tell_to_end()


def _closed_meanwhile() -> Closed:
    return Closed("the assistant was closed meanwhile", way_out="close it after the last answer")


class _Ended:
    __slots__ = ("error",)

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
