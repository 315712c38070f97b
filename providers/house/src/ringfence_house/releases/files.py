"""Files that are there whole or not at all, and a lock between processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL_S = 0.02


class Held(Exception):
    """Another process holds the lock for too long."""


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Puts `content` at `path`: a crash leaves what was there before.

    Raises:
        OSError: it cannot be written; nothing of it stays.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


@contextmanager
def locked(path: Path, *, timeout_s: float) -> Generator[None]:
    """Holds the lock on the file `path`, which is made where it is not there.

    Raises:
        Held: another has had it for `timeout_s`.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(descriptor, time.monotonic() + timeout_s)
        yield
    finally:
        # The system gives the lock back with the descriptor, also of a process that died.
        os.close(descriptor)


def _lock(descriptor: int, deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise Held from None
            time.sleep(_POLL_S)
        else:
            return


def reason(fault: OSError) -> str:
    """What the system says of a fault, in lower case and without a path."""
    return (fault.strerror or type(fault).__name__).lower()


__all__ = ["Held", "locked", "reason", "write_whole"]
