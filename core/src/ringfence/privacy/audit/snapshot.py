"""An audit log as it stands at one moment, held open to be read while writers go on."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ringfence.errors import AuditError
from ringfence.privacy.audit.files import HEAD_BYTES, HEAD_FILE, RECORDS_FILE, locked, open_file, reason
from ringfence.privacy.audit.segments import segments

_MAX_TRIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files of a log, oldest first, each with the bytes of it that count, and the head as it was written."""

    files: tuple[tuple[BinaryIO, int], ...]
    head: bytes

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
        raise AuditError(f"there is no audit log in {folder}", way_out="name its folder with --log") from None
    except OSError as fault:
        raise AuditError(f"the audit log in {folder} cannot be read: {reason(fault)}") from None


def _taken(folder: Path, opened: ExitStack, lock_timeout_s: float) -> Snapshot:
    for _ in range(_MAX_TRIES):
        try:
            records = _open(folder / RECORDS_FILE, opened)
        except FileNotFoundError:
            if not segments(folder):
                raise
            # A writer died between two segments; the next one goes on.
            return _snapshot(folder, opened, None)
        with locked(records.fileno(), timeout_s=lock_timeout_s, shared=True):
            if (folder / RECORDS_FILE).stat().st_ino == os.fstat(records.fileno()).st_ino:
                return _snapshot(folder, opened, records)
    raise AuditError(f"the files of the audit log in {folder} keep changing", way_out="find what moves them")


def _snapshot(folder: Path, opened: ExitStack, records: BinaryIO | None) -> Snapshot:
    files = [_open(path, opened) for path in segments(folder)]
    files += [records] if records is not None else []
    return Snapshot(files=tuple((file, os.fstat(file.fileno()).st_size) for file in files), head=_head(folder))


def _open(path: Path, opened: ExitStack) -> BinaryIO:
    return opened.enter_context(os.fdopen(open_file(path, os.O_RDONLY), "rb"))


def _head(folder: Path) -> bytes:
    try:
        with os.fdopen(open_file(folder / HEAD_FILE, os.O_RDONLY), "rb") as head:
            return head.read(HEAD_BYTES)
    except FileNotFoundError:
        return b""


__all__ = ["Snapshot", "snapshot"]
