"""Retention: the log as segments, whole ones of which are removed, and the checkpoint that stands for them.

A segment is a file of records that is full; `audit.jsonl` is the one being written. The chain goes on from file to
file. Each record carries how long its own policy keeps it, so that two apps may share a log: a segment goes once every
record in it is past its time, and stays if one of them has none. `audit.checkpoint` names the last record that was
removed, sealed with the key of the log, so that `verify` goes on from there.

INVARIANT: nothing is removed that does not verify, and nothing before the checkpoint says so.
"""

from __future__ import annotations

import hmac
import json
import logging
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ringfence.privacy.audit.files import RECORDS_FILE, open_file, write_whole
from ringfence.privacy.audit.record import GENESIS, mac_of
from ringfence.privacy.audit.walk import ChainWalk

CHECKPOINT_FILE = "audit.checkpoint"
LONGEST_SEGMENT_S = 86_400.0
_SHORTEST_SEGMENT_S = 60.0
_SEGMENTS_IN_KEEP = 8
_GLOB = "audit-[0-9]*.jsonl"
_MAX_CHECKPOINT_BYTES = 4_096
_log = logging.getLogger("ringfence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What retention removed: the records up to `sequence`, whose mac was `mac`, the youngest of `time_s`.

    `removed_at_s` is when the last of them went; all times are Unix seconds.
    """

    sequence: int = 0
    mac: str = GENESIS
    time_s: float = 0.0
    removed_at_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return asdict(self)


NOTHING_REMOVED = Checkpoint()


def segment_s(keep_s: float) -> float:
    """How long records go into one segment, in seconds: a day, or an eighth of the time that they are kept."""
    return max(_SHORTEST_SEGMENT_S, min(LONGEST_SEGMENT_S, keep_s / _SEGMENTS_IN_KEEP))


def segments(folder: Path) -> list[Path]:
    """The full segments, oldest first."""
    return sorted(folder.glob(_GLOB))


def close_segment(folder: Path, first_sequence: int) -> None:
    """Makes the file being written a full segment. Call it under the lock, between two records."""
    (folder / RECORDS_FILE).rename(folder / f"audit-{first_sequence:016d}.jsonl")


def encode_checkpoint(key: bytes, checkpoint: Checkpoint) -> bytes:
    """The bytes of the checkpoint's file."""
    fields = checkpoint.as_dict()
    return json.dumps({"v": 1, **fields, "seal": _seal(key, fields)}).encode("ascii") + b"\n"


def decode_checkpoint(key: bytes, written: bytes | None) -> Checkpoint | None:
    """The checkpoint in the bytes of its file, `None` being no file; `None` if `key` did not seal it."""
    if written is None:
        return NOTHING_REMOVED
    try:
        fields = json.loads(written)
        seal = str(fields.pop("seal"))
        if fields.pop("v") != 1 or not hmac.compare_digest(seal, _seal(key, fields)):
            return None
        return Checkpoint(**fields)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _seal(key: bytes, fields: dict[str, Any]) -> str:
    return mac_of(key, b"checkpoint:" + json.dumps(fields, sort_keys=True).encode())


def read_checkpoint(folder: Path) -> bytes | None:
    """The file of the checkpoint as it was written; `None` if nothing was ever removed.

    Raises:
        OSError: it cannot be read.
    """
    try:
        descriptor = open_file(folder / CHECKPOINT_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_CHECKPOINT_BYTES)


def remove_expired(folder: Path, key: bytes, *, now_s: float, kept: dict[str, float]) -> int:
    """Removes the oldest segments that are past their time; how many records went. Call it under the lock.

    `kept` remembers until when segments are known to stay, by name, so that none is read again and again.

    Raises:
        OSError: a file cannot be read, written or removed.
    """
    checkpoint = decode_checkpoint(key, read_checkpoint(folder))
    removed = 0
    for path in segments(folder):
        if checkpoint is None or kept.get(path.name, now_s) > now_s:
            break
        after = _expired(path, key, checkpoint, now_s)
        if not isinstance(after, Checkpoint):
            kept[path.name] = after
            break
        removed += after.sequence - checkpoint.sequence
        checkpoint = after
        # INVARIANT: the checkpoint stands before the records go, whenever the process dies.
        write_whole(folder / CHECKPOINT_FILE, encode_checkpoint(key, checkpoint))
        path.unlink()
    return removed


def _expired(path: Path, key: bytes, before: Checkpoint, now_s: float) -> Checkpoint | float:
    """The checkpoint after `path`, if all of it is past its time and follows `before`; else until when it stays."""
    walk = ChainWalk(key=key, last_sequence=before.sequence, last_mac=before.mac)
    youngest_s = 0.0
    for line in _lines(path):
        record = walk.take(line)
        if record is None:
            continue
        stays_s = math.inf if record.keep_s is None else record.time_s + record.keep_s
        if stays_s >= now_s:
            return stays_s
        youngest_s = max(youngest_s, record.time_s)
    if walk.problems or walk.left:
        _log.warning("a segment of the audit log in %s does not verify, and is not removed", path.parent)
        return math.inf
    if walk.last_sequence == before.sequence:
        youngest_s = before.time_s
    return Checkpoint(sequence=walk.last_sequence, mac=walk.last_mac, time_s=youngest_s, removed_at_s=now_s)


def _lines(path: Path) -> Iterator[bytes]:
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        yield from file


__all__ = [
    "CHECKPOINT_FILE",
    "LONGEST_SEGMENT_S",
    "NOTHING_REMOVED",
    "Checkpoint",
    "close_segment",
    "decode_checkpoint",
    "read_checkpoint",
    "remove_expired",
    "segment_s",
    "segments",
]
