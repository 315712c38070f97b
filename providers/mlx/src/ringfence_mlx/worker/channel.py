"""The worker's end of the pipe: one thread reads, one writes, and the engine's thread never waits for either.

The worker lives as long as the app does: the end of the pipe, or a new parent, ends the process at once, whatever the
engine's thread is doing.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from ringfence_mlx.wire import Frame, FrameDecoder, FrameError, pack

_READ_BYTES = 1 << 16
_ORPHAN_CHECK_MS = 500
_MOST_UNSENT = 4096
"""Writes that may wait for a slow app; then the engine waits as well, which bounds the memory here."""

EXIT_OK = 0
EXIT_DAMAGED_STREAM = 76


class Channel:
    """Frames in and out. `pulse` tells, for a ping, how long the engine has been at its current step (seconds)."""

    def __init__(self, read_fd: int, write_fd: int, pulse: Callable[[], float]) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._pulse = pulse
        self._parent = os.getppid()
        self._inbox: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._outbox: queue.Queue[bytes | None] = queue.Queue(_MOST_UNSENT)

    def start(self) -> None:
        """Starts both threads."""
        threading.Thread(target=self._read, name="ringfence-read", daemon=True).start()
        self._writer = threading.Thread(target=self._write, name="ringfence-write", daemon=True)
        self._writer.start()

    def send(self, frames: Iterable[Mapping[str, Any]]) -> None:
        """Queues `frames` as one write."""
        if data := b"".join(map(pack, frames)):
            self._outbox.put(data)

    def receive(self, *, wait: bool) -> list[Frame]:
        """Every frame that has come; with `wait` at least one."""
        frames = [self._inbox.get()] if wait else []
        with contextlib.suppress(queue.Empty):
            while True:
                frames.append(self._inbox.get_nowait())
        return frames

    def exit(self, code: int = EXIT_OK) -> NoReturn:
        """Sends what is queued and ends the process without further ado."""
        self._outbox.put(None)
        self._writer.join(timeout=1.0)
        os._exit(code)

    def _read(self) -> None:
        poller = select.poll()
        poller.register(self._read_fd, select.POLLIN | select.POLLHUP)
        decoder = FrameDecoder()
        while True:
            if not poller.poll(_ORPHAN_CHECK_MS):
                # A forked child of the app may hold the pipe open after the app's death.
                if os.getppid() != self._parent:
                    os._exit(EXIT_OK)
                continue
            data = os.read(self._read_fd, _READ_BYTES)
            if not data:
                os._exit(EXIT_OK)
            try:
                for frame in decoder.feed(data):
                    self._take(frame)
            except FrameError:
                os._exit(EXIT_DAMAGED_STREAM)

    def _take(self, frame: Frame) -> None:
        if frame.get("op") == "ping":
            # Dropped rather than waited for: an app that does not read needs no pong.
            with contextlib.suppress(queue.Full):
                self._outbox.put_nowait(pack({"ev": "pong", "busy_s": self._pulse()}))
        else:
            self._inbox.put(frame)

    def _write(self) -> None:
        while (data := self._outbox.get()) is not None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._write_fd, view) :]
            except OSError:
                os._exit(EXIT_OK)


__all__ = ["EXIT_DAMAGED_STREAM", "EXIT_OK", "Channel"]
