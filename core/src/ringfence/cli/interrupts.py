"""Signals: the first one ends the work in an orderly way, the second at once.

The first raises `Interrupted` in the main thread, so every `with` on the way out cancels what runs, here and at the
backend, ends the workers and writes the receipt. A worker never outlives this process: the pipe it reads ends with it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = "\x1b[?25h"

_received: list[int] = []
_tasks: list[asyncio.Task[Any]] = []
"""The work of `run`, which the first signal cancels in place of raising in the middle of it."""


class Interrupted(KeyboardInterrupt):
    """A signal asked for the end; `number` is which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell calls a process that this signal ended: 130 for Ctrl-C."""
        return 128 + self.number


@contextmanager
def orderly() -> Generator[None]:
    """Within it, signals interrupt as this module says. One that the parent ignores, as `nohup` does, stays ignored."""
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in earlier.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, on an event loop of its own; a signal cancels it.

    Raises:
        Interrupted: a signal did.
    """
    import asyncio  # noqa: PLC0415  (45 ms that `--help` does not wait for)

    async def registered() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (this runs in one)
        _tasks.append(task)
        try:
            return await work
        finally:
            _tasks.clear()

    try:
        return asyncio.run(registered())
    except asyncio.CancelledError:
        if not _received:
            raise
        raise Interrupted(_received[0]) from None


def forget() -> None:
    """The interruption was dealt with, as when only one answer of a chat was cancelled: the next is a first again."""
    _received.clear()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    if _received:
        _end_now(number)
    _received.append(number)
    if not _tasks:
        raise Interrupted(number)
    for task in _tasks:
        task.get_loop().call_soon_threadsafe(task.cancel)


def _end_now(number: int) -> NoReturn:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(128 + number)


__all__ = ["Interrupted", "forget", "orderly", "run"]
