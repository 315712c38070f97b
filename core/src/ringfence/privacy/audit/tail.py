"""Where an audit log goes on: the last record that is whole, and what an interrupted write left after it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ringfence.privacy.audit.files import Head
from ringfence.privacy.audit.record import GENESIS, Interruption, authentic_record, decode_record, interruption

_FIRST_READ_BYTES = 1 << 16
_LONGEST_READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of the log: what the next record follows, what it has to seal, and whether a line is left open."""

    sequence: int
    mac: str
    line_open: bool = False
    interrupted: Interruption | None = None


def read_tail(descriptor: int, size: int, *, key: bytes, head: Head) -> Tail:
    """Where the next record goes on in a log of `size` bytes. Call it under the lock.

    INVARIANT: records that are missing before the head stay missing to see. The next record follows the head then, so
    that its number and `prev` show the gap.
    """
    last, left = _last_record(descriptor, size, key=key)
    line_open = bool(left) and not left.endswith(b"\n")
    if line_open and (whole := authentic_record(key, left.rpartition(b"\n")[2])) is not None:
        # Only the newline of a whole record is missing; it is written before the next one. What stands before that
        # record, the record has sealed.
        last, left = (whole.sequence, whole.mac), b""
    sequence, mac = last if last[0] >= head.count else (head.count, head.mac)
    seal = interruption(left) if left and is_interruption(left) else None
    return Tail(sequence=sequence, mac=mac, line_open=line_open, interrupted=seal)


def first_record(descriptor: int) -> tuple[int, float] | None:
    """The number and time of the first record of a file; `None` if its first line is none. The mac is not checked."""
    record = decode_record(os.pread(descriptor, _FIRST_READ_BYTES, 0).partition(b"\n")[0])
    return None if record is None else (record.sequence, record.time_s)


def last_time(descriptor: int, size: int) -> float | None:
    """When the last record of a file was written; `None` if its last line is none. The mac is not checked."""
    start = max(0, size - _FIRST_READ_BYTES)
    chunk = os.pread(descriptor, size - start, start)
    record = decode_record(chunk.rstrip(b"\n").rpartition(b"\n")[2])
    return None if record is None else record.time_s


def is_interruption(left: bytes) -> bool:
    """Whether `left` can be what writes left that did not end: no line of it is a whole JSON object."""
    return not any(_is_json(line) for line in left.split(b"\n") if line)


def _last_record(descriptor: int, size: int, *, key: bytes) -> tuple[tuple[int, str], bytes]:
    """Number and mac of the last authentic line, and the bytes after it; the beginning of the log if there is none."""
    wanted = _FIRST_READ_BYTES
    while True:
        start = max(0, size - wanted)
        chunk = os.pread(descriptor, size - start, start)
        end = len(chunk)
        while (newline := chunk.rfind(b"\n", 0, end)) >= 0:
            begin = chunk.rfind(b"\n", 0, newline) + 1
            if begin or not start:
                record = authentic_record(key, chunk[begin:newline])
                if record is not None:
                    return (record.sequence, record.mac), chunk[newline + 1 :]
            end = newline
        if not start or wanted >= _LONGEST_READ_BYTES:
            return (0, GENESIS), b"" if start else chunk
        wanted *= 8


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


__all__ = ["Tail", "first_record", "is_interruption", "last_time", "read_tail"]
