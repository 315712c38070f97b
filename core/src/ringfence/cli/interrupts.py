"""Signals: the first one ends the work in an orderly way, the second at once.

The first raises `Interrupted` in the main thread, so every `with` on the way out cancels what runs, here and at the
backend, ends the workers and writes the receipt. A worker never outlives this process: the pipe it reads ends with it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = "\x1b[?25h"

_received: list[int] = []


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


def forget() -> None:
    """The interruption was dealt with, as when only one answer of a chat was cancelled: the next is a first again."""
    _received.clear()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    if _received:
        _end_now(number)
    _received.append(number)
    raise Interrupted(number)


def _end_now(number: int) -> NoReturn:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
    os._exit(128 + number)


__all__ = ["Interrupted", "forget", "orderly"]
