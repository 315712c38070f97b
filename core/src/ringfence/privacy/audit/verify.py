"""Checks an audit log: every record, that none is missing, moved or put in, and that the tail is there.

What the death of a writer explains is a note: a line that broke off and that the next record seals, or a head that is
one record behind. Everything else is a problem, with the number of the record it is about.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ringfence.errors import AuditError
from ringfence.privacy.audit.files import (
    HEAD_BYTES,
    HEAD_FILE,
    KEY_FILE,
    RECORDS_FILE,
    Head,
    decode_head,
    locked,
    open_file,
    read_key,
    reason,
)
from ringfence.privacy.audit.record import GENESIS, AuditRecord, authentic_record, interruption
from ringfence.privacy.audit.tail import is_interruption


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault. `record` is the number of the first record it is about, `line` the line of the file; both from 1."""

    detail: str
    record: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"record {self.record}: {self.detail}" if self.record is not None else self.detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check found. `count` authentic records; `head` is the mac of the last one, worth keeping elsewhere.

    `notes` are what a writer's death explains, and what weakens the protection without being a fault of the log.
    """

    ok: bool
    count: int
    head: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return {
            "ok": self.ok,
            "count": self.count,
            "head": self.head,
            "problems": [{"record": p.record, "line": p.line, "detail": p.detail} for p in self.problems],
            "notes": list(self.notes),
        }


@dataclass(slots=True, kw_only=True)
class _Check:
    """A walk along the chain."""

    key: bytes
    head: Head | None
    kept_head: str | None
    count: int = 0
    line: int = 0
    last_sequence: int = 0
    last_mac: str = GENESIS
    mac_at_head: str | None = None
    kept_head_seen: bool = False
    left: bytearray = field(default_factory=bytearray)
    left_line: int = 0
    problems: list[Problem] = field(default_factory=list[Problem])
    notes: list[str] = field(default_factory=list[str])

    def take(self, line: bytes) -> None:
        """One line, with its newline if it has one."""
        self.line += 1
        record = authentic_record(self.key, line.removesuffix(b"\n"))
        if record is None:
            self.left_line = self.left_line or self.line
            self.left += line
            return
        self._settle(record)
        self.count += 1
        self.last_sequence, self.last_mac = record.sequence, record.mac
        self.kept_head_seen = self.kept_head_seen or record.mac == self.kept_head
        if self.head is not None and record.sequence == self.head.count:
            self.mac_at_head = record.mac

    def _settle(self, record: AuditRecord) -> None:
        """Whether `record` follows the one before, and what stands between them."""
        expected = self.last_sequence + 1
        left, line = bytes(self.left), self.left_line
        self.left.clear()
        self.left_line = 0
        sealed = record.interrupted is not None and record.interrupted in (
            interruption(left),
            interruption(left.removesuffix(b"\n")),
        )
        if sealed and left:
            self.notes.append(f"a write was interrupted before record {record.sequence}; no whole record was lost")
        elif record.interrupted is not None:
            self._fault(record.sequence, "what an interrupted write left before it was changed or removed")
        if record.sequence > expected:
            what = "changed" if left.count(b"\n") >= record.sequence - expected else "missing or changed"
            self._fault(expected, f"{what}{_up_to(expected, record.sequence - 1)}", line or None)
        elif record.sequence < expected:
            self._fault(record.sequence, f"stands again or out of order after record {self.last_sequence}")
        elif record.previous != self.last_mac:
            self._fault(record.sequence, f"does not follow record {self.last_sequence}")
        elif left and not sealed:
            self.problems.append(Problem(detail=f"line {line} is not a record of this log", line=line))

    def end(self) -> None:
        """What stands after the last record, and whether the head agrees."""
        left = bytes(self.left)
        if left and is_interruption(left) and not left.endswith(b"\n"):
            self.notes.append("a write was interrupted after the last record; the next record will seal it")
        elif left:
            self.problems.append(
                Problem(detail=f"line {self.left_line} is not a record of this log", line=self.left_line)
            )
        self._check_head()
        if self.kept_head is not None and not self.kept_head_seen:
            self.problems.append(
                Problem(detail="no record has the head that was kept: records were changed or removed")
            )

    def _check_head(self) -> None:
        if self.head is None:
            self.problems.append(
                Problem(detail="the head is lost, or the key did not make it: a cut tail would not show")
            )
        elif self.head.count > self.last_sequence:
            first = self.last_sequence + 1
            self._fault(first, f"missing or changed, at the end{_up_to(first, self.head.count)}")
        elif self.last_sequence - self.head.count > 1:
            self.problems.append(Problem(detail=f"the head is of record {self.head.count}: it was put back"))
        elif self.last_sequence > self.head.count:
            self.notes.append("the writer ended before it wrote the head; the next record will")
        elif self.head.count and self.mac_at_head != self.head.mac:
            self._fault(self.head.count, "is not the one that the head was made for")

    def _fault(self, record: int, detail: str, line: int | None = None) -> None:
        self.problems.append(Problem(record=record, detail=detail, line=line or self.line))


def verify_log(folder: Path, *, kept_head: str | None, lock_timeout_s: float) -> Verification:
    """Checks the log in `folder` as it stood when the check began; writers go on meanwhile.

    Raises:
        AuditError: there is no log, or it or its key cannot be read.
    """
    try:
        with os.fdopen(open_file(folder / RECORDS_FILE, os.O_RDONLY), "rb") as records:
            key = read_key(folder)
            if key is None:
                raise AuditError(
                    f"the key of the audit log in {folder} is lost, so nothing can be verified",
                    way_out="restore audit.key from a backup",
                )
            with locked(records.fileno(), timeout_s=lock_timeout_s, shared=True):
                size = os.fstat(records.fileno()).st_size
                head = _read_head(folder, key)
            check = _Check(key=key, head=head, kept_head=kept_head.strip().lower() if kept_head else None)
            for line in _lines(records, size):
                check.take(line)
    except FileNotFoundError:
        raise AuditError(f"there is no audit log in {folder}", way_out="name its folder with --log") from None
    except OSError as fault:
        raise AuditError(f"the audit log in {folder} cannot be read: {reason(fault)}") from None
    check.end()
    check.notes.extend(_weaknesses(folder))
    return Verification(
        ok=not check.problems,
        count=check.count,
        head=check.last_mac,
        problems=tuple(check.problems),
        notes=tuple(check.notes),
    )


def _read_head(folder: Path, key: bytes) -> Head | None:
    try:
        with closing(os.fdopen(open_file(folder / HEAD_FILE, os.O_RDONLY), "rb")) as head:
            return decode_head(key, head.read(HEAD_BYTES))
    except FileNotFoundError:
        return None


def _lines(records: BinaryIO, size: int) -> Iterator[bytes]:
    """The lines of the first `size` bytes."""
    while size > 0 and (line := records.readline(size)):
        size -= len(line)
        yield line


def _weaknesses(folder: Path) -> Iterator[str]:
    if stat.S_IMODE((folder / KEY_FILE).stat().st_mode) & 0o077:
        yield f"others on this machine can read {KEY_FILE} and could forge the chain (try: chmod 600)"
    if stat.S_IMODE(folder.stat().st_mode) & 0o022:
        yield "others on this machine can remove files from the folder of the log (try: chmod 700)"


def _up_to(first: int, last: int) -> str:
    return f", up to record {last}" if last > first else ""


__all__ = ["Problem", "Verification", "verify_log"]
