"""A walk along the chain of an audit log: each line, and whether it follows the one before."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringfence.privacy.audit.files import Head
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


@dataclass(slots=True, kw_only=True)
class ChainWalk:
    """A walk along the chain from after the records that were removed, the last of which `last_sequence` names."""

    key: bytes
    head: Head | None = None
    kept_head: str | None = None
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
    _removed: int = 0

    def __post_init__(self) -> None:
        self._removed = self.last_sequence
        if self.head is not None and self.head.count == self.last_sequence:
            self.mac_at_head = self.last_mac

    def take(self, line: bytes) -> AuditRecord | None:
        """One line, with its newline if it has one; the record in it, unless it is none or was removed before."""
        self.line += 1
        record = authentic_record(self.key, line.removesuffix(b"\n"))
        if record is None:
            self.left_line = self.left_line or self.line
            self.left += line
            return None
        if record.sequence <= self._removed and not self.count:
            return None  # retention removed it, and died before the file was gone
        self._settle(record)
        self.count += 1
        self.last_sequence, self.last_mac = record.sequence, record.mac
        self.kept_head_seen = self.kept_head_seen or record.mac == self.kept_head
        if self.head is not None and record.sequence == self.head.count:
            self.mac_at_head = record.mac
        return record

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
            unless = f", unless it is of one of the {self._removed} that retention removed" if self._removed else ""
            told = f"no record has the head that was kept: records were changed or removed{unless}"
            self.problems.append(Problem(detail=told))

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


def _up_to(first: int, last: int) -> str:
    return f", up to record {last}" if last > first else ""


__all__ = ["ChainWalk", "Problem"]
