"""The audit log: an append-only, content-free record of every request, chained so that tampering shows.

One folder holds the records (JSON lines), the key of the chain and the head. A record is what `Receipt.as_dict` says:
names, digests and counts. Threads and processes may append to one log at once.

A record that was appended survives the death of the process (`kill -9`), not of the power: nothing is fsynced. Who can
read the key can forge the chain, and who can put the whole folder back to an older copy takes records away unseen,
unless somebody kept a head: `ringfence audit verify` prints it, and takes it back as `--head`.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from ringfence.errors import AuditError, Closed
from ringfence.privacy.audit.files import (
    ANOTHER_LOG,
    HEAD_BYTES,
    HEAD_FILE,
    RECORDS_FILE,
    Busy,
    create_key,
    decode_head,
    encode_head,
    lock,
    lock_held,
    locked,
    make_folder,
    not_writable,
    open_file,
    read_key,
    reason,
    unlock,
    write_whole,
)
from ringfence.privacy.audit.record import GENESIS, AuditRecord, Interruption, decode_record, encode_record
from ringfence.privacy.audit.segments import LONGEST_SEGMENT_S, close_segment, remove_expired, segment_s
from ringfence.privacy.audit.snapshot import snapshot
from ringfence.privacy.audit.tail import first_record, last_time, read_tail
from ringfence.privacy.audit.verify import Verification, verify_log
from ringfence.receipt import Receipt

LOCK_TIMEOUT_S = 5.0
_log = logging.getLogger("ringfence")
_MAX_REOPENS = 100


@dataclass(slots=True, kw_only=True)
class _Handle:
    """An open log and where it ends, as this process last saw it. `size` −1 means that it must look again."""

    records: int
    head: int
    key: bytes
    inodes: tuple[int, int]
    size: int = -1
    sequence: int = 0
    mac: str = ""
    line_open: bool = False
    interrupted: Interruption | None = None
    first: tuple[int, float] | None = None
    """The number and time of the first record in the file being written."""


class AuditLog:
    """The audit log in `folder`. Nothing is touched before `open`, the first `append`, or a method that reads.

    `keep_s` is how long the records that are appended are kept, in seconds, `None` for ever; it may be changed at any
    time. Whole segments of a day or less are removed, at an append, once all in them is past its time.
    `lock_timeout_s` bounds how long one append waits for other writers.
    """

    def __init__(self, folder: Path, *, keep_s: int | None = None, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self.folder = folder
        self.keep_s = keep_s
        self._kept: dict[str, float] = {}
        self._records_path = str(folder / RECORDS_FILE)
        self._head_path = str(folder / HEAD_FILE)
        self._lock_timeout_s = lock_timeout_s
        self._lock = threading.Lock()
        self._handle: _Handle | None = None
        self._closed = False
        _logs.add(self)

    def open(self, *, wait: bool = True) -> None:
        """Makes the log ready to be written, so that a log that cannot be is known before anything is sent.

        Cheap when the log is open already: call it before every request.

        Raises:
            Busy: `wait` is false, and the log must be begun or another writer holds its lock.
            AuditError: the folder is not writable, or its key or head is lost or another log's.
            Closed: the log was closed.
        """
        with self._mine(wait=wait):
            try:
                if self._handle is not None and self._handle.size >= 0 and self._size(self._handle) is not None:
                    return
                if not wait:
                    raise Busy
                try:
                    self._look(*self._locked_handle())
                finally:
                    self._let_other_writers_in()
            except OSError as fault:
                raise not_writable(self.folder, fault) from None

    def append(self, receipt: Receipt, *, wait: bool = True) -> None:
        """Adds one record. It is in the log, whole, when this returns, and not at all when this raises.

        Raises:
            Busy: `wait` is false, and another writer holds the lock.
            AuditError: it cannot be written, or another writer held the lock for too long.
            Closed: the log was closed.
        """
        with self._mine(wait=wait):
            try:
                self._append(receipt, wait=wait)
            except OSError as fault:
                raise not_writable(self.folder, fault) from None

    def records(
        self, since: float | None = None, until: float | None = None, limit: int | None = None
    ) -> Iterator[AuditRecord]:
        """The records written from `since` to before `until` (Unix seconds), oldest first, the newest `limit` of them.

        Lines that are no records are passed over, and no mac is checked: that is what `verify` is for.

        Raises:
            AuditError: there is no log here, or it cannot be read.
        """
        found = self._read(since, until)
        return found if limit is None else iter(deque(found, maxlen=limit))

    def verify(self, head: str | None = None) -> Verification:
        """Checks every record, their order, and their end. `head` is a mac that was kept elsewhere and must be there.

        Raises:
            AuditError: there is no log here, or it or its key cannot be read.
        """
        return verify_log(self.folder, kept_head=head, lock_timeout_s=self._lock_timeout_s)

    def export(self, fp: TextIO, format: Literal["json", "csv", "report"] = "json") -> int:  # noqa: A002  (the word users know)
        """Writes all records to `fp`; returns how many there were.

        As one JSON array, as CSV with a header, or as a report in the shape of the Apple Intelligence Report.

        Raises:
            AuditError: there is no log here, or it cannot be read.
        """
        from ringfence.privacy.audit.export import EXPORTS  # noqa: PLC0415  (only an export needs it)

        return EXPORTS[format](self.records(), fp)

    def close(self) -> None:
        """Ends the use of the log; idempotent."""
        with self._lock:
            self._closed = True
            self._drop()

    def __del__(self) -> None:
        # One that nobody closed gives its files back all the same.
        self._drop()

    # ------------------------------------------------------------ appending

    def _mine(self, *, wait: bool) -> _ThreadTurn:
        return _ThreadTurn(self._lock, self._lock_timeout_s if wait else None)

    def _append(self, receipt: Receipt, *, wait: bool) -> None:
        if not wait and self._handle is None:
            raise Busy
        try:
            handle, size = self._locked_handle(wait=wait)
            if size != handle.size:
                self._look(handle, size)
            if self._segment_is_full(handle):
                if not wait:
                    raise Busy
                handle = self._next_segment(handle)
            self._write(handle, receipt)
        finally:
            self._let_other_writers_in()

    def _segment_is_full(self, handle: _Handle) -> bool:
        """Whether the next record begins a new segment: never in the middle of one."""
        if self.keep_s is None or handle.first is None or handle.line_open or handle.interrupted is not None:
            return False
        # A clock that was put back ends a segment as well: its records would seem to be of the future.
        return not 0 <= time.time() - handle.first[1] < segment_s(self.keep_s)

    def _next_segment(self, handle: _Handle) -> _Handle:
        """Closes the segment, removes those that are past their time, and begins the next; locked as before."""
        assert handle.first is not None  # noqa: S101  (_segment_is_full looked)
        # A writer may have died before it wrote the head, and the next segment goes on from there.
        os.pwrite(handle.head, encode_head(handle.key, handle.sequence, handle.mac), 0)
        newest_s = last_time(handle.records, handle.size)
        close_segment(self.folder, handle.first[0])
        self._drop()
        # INVARIANT: one writer at a time removes, under the lock of the file that is written now: the lock of the one
        # just closed keeps nobody out any more.
        new, size = self._locked_handle()
        try:
            # INVARIANT: one wrong look at the clock removes nothing: time goes on no faster than the records do.
            if newest_s is not None:
                now_s = min(time.time(), newest_s + LONGEST_SEGMENT_S)
                remove_expired(self.folder, new.key, now_s=now_s, kept=self._kept)
        except OSError as fault:
            # What is kept too long is no reason to lose a record; the next segment tries again.
            _log.warning("old segments of the audit log in %s cannot be removed: %s", self.folder, reason(fault))
        self._look(new, size)
        return new

    def _let_other_writers_in(self) -> None:
        """Gives the lock between processes back, however an append ended; one that is not held is no fault."""
        if self._handle is not None:
            unlock(self._handle.records)

    def _locked_handle(self, *, wait: bool = True) -> tuple[_Handle, int]:
        """The open log, locked, and its size."""
        for _ in range(_MAX_REOPENS):
            handle = self._opened()
            lock(handle.records, timeout_s=self._lock_timeout_s if wait else None)
            size = self._size(handle)
            if size is not None:
                return handle, size
            # The files were moved or removed: what was just locked is nobody's log any more.
            self._drop()
        raise AuditError(f"the files of the audit log in {self.folder} keep changing", way_out="find what moves them")

    def _size(self, handle: _Handle) -> int | None:
        """The size of the records file, or `None` if the files in the folder are no longer those that are open."""
        try:
            # Strings and os.stat: half the time of Path.stat, at every append.
            records, head = os.stat(self._records_path), os.stat(self._head_path)  # noqa: PTH116
        except FileNotFoundError:
            return None
        return records.st_size if (records.st_ino, head.st_ino) == handle.inodes else None

    def _look(self, handle: _Handle, size: int) -> None:
        """Finds the end of the log: another process wrote since, or this one has not written yet."""
        head = decode_head(handle.key, os.pread(handle.head, HEAD_BYTES, 0))
        if head is None:
            raise AuditError(f"the head of the audit log in {self.folder} does not fit its key", way_out=ANOTHER_LOG)
        tail = read_tail(handle.records, size, key=handle.key, head=head)
        handle.sequence, handle.mac = tail.sequence, tail.mac
        handle.line_open, handle.interrupted = tail.line_open, tail.interrupted
        handle.first = first_record(handle.records) if size and handle.first is None else handle.first
        handle.size = size

    def _write(self, handle: _Handle, receipt: Receipt) -> None:
        sequence = handle.sequence + 1
        now_s = time.time()
        line, mac = encode_record(
            handle.key,
            sequence=sequence,
            time_s=now_s,
            previous=handle.mac,
            receipt=receipt,
            interrupted=handle.interrupted,
            keep_s=self.keep_s,
        )
        if handle.line_open:
            line = b"\n" + line
        size, handle.size = handle.size, -1
        try:
            _write_all(handle.records, line)
            # INVARIANT: the head never runs ahead of the records, whenever the process dies.
            os.pwrite(handle.head, encode_head(handle.key, sequence, mac), 0)
        except OSError:
            # INVARIANT: a record that could not be written whole leaves nothing in the way of the next.
            with suppress(OSError):
                os.ftruncate(handle.records, size)
            raise
        handle.size = size + len(line)
        handle.sequence, handle.mac = sequence, mac
        handle.line_open, handle.interrupted = False, None
        handle.first = handle.first or (sequence, now_s)

    # ------------------------------------------------------------ opening

    def _opened(self) -> _Handle:
        if self._closed:
            raise Closed("the audit log was closed before this record")
        if self._handle is None:
            self._handle = self._open()
        return self._handle

    def _open(self) -> _Handle:
        make_folder(self.folder)
        descriptors: list[int] = []
        try:
            records = open_file(self.folder / RECORDS_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            descriptors.append(records)
            with locked(records, timeout_s=self._lock_timeout_s):
                key = self._found(records)
                head = open_file(self.folder / HEAD_FILE, os.O_RDWR)
                descriptors.append(head)
            inodes = (os.fstat(records).st_ino, os.fstat(head).st_ino)
            return _Handle(records=records, head=head, key=key, inodes=inodes)
        except OSError as fault:
            _close(descriptors)
            raise not_writable(self.folder, fault) from None
        except BaseException:
            _close(descriptors)
            raise

    def _found(self, records: int) -> bytes:
        """The key of the log, which is begun if there is none: first the key, then the head, then a record."""
        key = read_key(self.folder)
        head_exists = (self.folder / HEAD_FILE).exists()
        used = os.fstat(records).st_size > 0
        if key is None:
            if used or head_exists:
                raise AuditError(f"the key of the audit log in {self.folder} is lost", way_out=ANOTHER_LOG)
            key = create_key(self.folder)
        if not head_exists:
            if used:
                raise AuditError(f"the head of the audit log in {self.folder} is lost", way_out=ANOTHER_LOG)
            write_whole(self.folder / HEAD_FILE, encode_head(key, 0, GENESIS))
        return key

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            _close([handle.records, handle.head])

    def _forget_parent(self) -> None:
        """After a fork: a lock on an inherited descriptor would be the parent's too, so this process opens its own."""
        self._lock = threading.Lock()
        self._drop()

    # ------------------------------------------------------------ reading

    def _read(self, since: float | None, until: float | None) -> Iterator[AuditRecord]:
        with snapshot(self.folder, lock_timeout_s=self._lock_timeout_s) as log:
            for line in log.lines():
                record = decode_record(line.rstrip(b"\n"))
                if record is None or (since is not None and record.time_s < since):
                    continue
                if until is None or record.time_s < until:
                    yield record


class _ThreadTurn:
    """Holds the lock between threads, waiting for a bounded time; with `None` not at all."""

    __slots__ = ("_lock", "_timeout_s")

    def __init__(self, lock: threading.Lock, timeout_s: float | None) -> None:
        self._lock = lock
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        if self._timeout_s is None:
            if not self._lock.acquire(blocking=False):
                raise Busy
        elif not self._lock.acquire(timeout=self._timeout_s):
            raise lock_held(self._timeout_s)

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()


def _write_all(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)


_logs: weakref.WeakSet[AuditLog] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for log in list(_logs):
        log._forget_parent()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_after_fork_in_child)

__all__ = ["LOCK_TIMEOUT_S", "AuditLog"]
