"""An audit log as it stands at one moment, held open to be read while writers go on."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ringfence.errors import AuditError
from ringfence.privacy.audit.files import HEAD_BYTES, HEAD_FILE, RECORDS_FILE, locked, open_file, reason
from ringfence.privacy.audit.segments import read_checkpoint, segments

_MAX_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files of a log, oldest first, each with the bytes of it that count; head and checkpoint as written."""

    files: tuple[tuple[BinaryIO, int], ...]
    head: bytes
    checkpoint: bytes | None

    @property
    def begun(self) -> bool:
        """Whether there is a head or a byte of a record: a log is begun with its key, then its head."""
        return bool(self.head) or any(size for _, size in self.files)

    def lines(self) -> Iterator[bytes]:
        """Every line, oldest first, with its newline if it has one."""
        for file, size in self.files:
            left = size
            while left > 0 and (line := file.readline(left)):
                left -= len(line)
                yield line


@contextmanager
def snapshot(folder: Path, *, lock_timeout_s: float) -> Generator[Snapshot]:
    """The log in `folder` as it stands now; nobody writes while its files are opened.

    Raises:
        AuditError: there is no log, it cannot be read, or a writer held the lock too long.
    """
    try:
        with ExitStack() as opened:
            yield _taken(folder, opened, lock_timeout_s)
    except FileNotFoundError:
        raise no_log(folder) from None
    except OSError as fault:
        raise AuditError(f"the audit log in {folder} cannot be read: {reason(fault)}") from None


def no_log(folder: Path) -> AuditError:
    """The error for a folder in which no log was begun."""
    return AuditError(f"there is no audit log in {folder}", way_out="name its folder with --log")


def _taken(folder: Path, opened: ExitStack, lock_timeout_s: float) -> Snapshot:
    path = folder / RECORDS_FILE
    for _ in range(_MAX_TRIES):
        with ExitStack() as these:
            try:
                records = _open(path, these)
            except FileNotFoundError:
                before = segments(folder)
                if not before:
                    raise
                # A writer is between two segments, or died there. If the file is not there afterwards either, and no
                # segment is new, then nobody wrote meanwhile.
                with suppress(FileNotFoundError):
                    found = _snapshot(folder, these, None)
                    if not path.exists() and segments(folder) == before:
                        opened.push(these.pop_all())
                        return found
                continue
            with locked(records.fileno(), timeout_s=lock_timeout_s, shared=True), suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(records.fileno()).st_ino:
                    found = _snapshot(folder, these, records)
                    opened.push(these.pop_all())
                    return found
    raise AuditError(f"the files of the audit log in {folder} keep changing", way_out="find what moves them")


def _snapshot(folder: Path, opened: ExitStack, records: BinaryIO | None) -> Snapshot:
    files = [_open(path, opened) for path in segments(folder)]
    files += [records] if records is not None else []
    return Snapshot(
        files=tuple((file, os.fstat(file.fileno()).st_size) for file in files),
        head=_head(folder),
        checkpoint=read_checkpoint(folder),
    )


def _open(path: Path, opened: ExitStack) -> BinaryIO:
    return opened.enter_context(os.fdopen(open_file(path, os.O_RDONLY), "rb"))


def _head(folder: Path) -> bytes:
    try:
        with os.fdopen(open_file(folder / HEAD_FILE, os.O_RDONLY), "rb") as head:
            return head.read(HEAD_BYTES)
    except FileNotFoundError:
        return b""


__all__ = ["Snapshot", "no_log", "snapshot"]
