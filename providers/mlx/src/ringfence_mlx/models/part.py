"""A file on its way: what has arrived stands in `<name>.part`, hashed as it grows, so that it can be resumed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from ringfence.errors import DownloadFailed

_READ_BYTES = 1 << 20
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
ResultT = TypeVar("ResultT")


class PartFile:
    """Appends, hashes and at last renames. Blocking work runs in one thread of its own, in order, off the event loop.

    Use it as `async with PartFile(path) as part`; leaving closes the file and keeps what has arrived.
    """

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self._path = destination.with_name(f"{destination.name}.part")
        self._tag_path = destination.with_name(f"{destination.name}.part.etag")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringfence-download")
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self.done_bytes = 0
        self.etag: str | None = None
        """The strong entity tag of what has arrived, if the server gave one."""

    async def __aenter__(self) -> Self:
        await self._run(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        # One thread, in order: a write that a cancellation left running ends before the file is closed.
        try:
            await asyncio.shield(asyncio.wrap_future(self._thread.submit(self._close)))
        finally:
            self._thread.shutdown(wait=False)

    async def append(self, chunk: bytes) -> None:
        """Writes and hashes `chunk`.

        Raises:
            DownloadFailed: the disk is full or failed; what arrived before is kept.
        """
        await self._run(lambda: self._append(chunk))

    async def restart(self, etag: str | None) -> None:
        """Throws away what has arrived and begins anew, with the entity tag of what is coming."""
        await self._run(lambda: self._restart(etag))

    async def matches(self, sha256: str) -> bool:
        """Whether all that has arrived has this hash."""
        return await self._run(self._hash.hexdigest) == sha256

    async def discard(self) -> None:
        """Deletes what has arrived."""
        await self._run(lambda: self._restart(None))
        await self._run(lambda: self._path.unlink(missing_ok=True))

    async def finish(self) -> None:
        """Gives the file its own name, in one step and after it is on the disk."""
        await self._run(self._finish)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        try:
            return await asyncio.wrap_future(self._thread.submit(work))
        except OSError as error:
            raise disk_failure(error, self._destination.parent) from None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b", buffering=0)
        self._file.seek(0)
        while block := self._file.read(_READ_BYTES):
            self._hash.update(block)
            self.done_bytes += len(block)
        if self._tag_path.exists():
            self.etag = self._tag_path.read_text(encoding="latin-1") or None

    def _append(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            written = self._opened().write(rest)
            self._hash.update(rest[:written])
            self.done_bytes += written
            rest = rest[written:]

    def _restart(self, etag: str | None) -> None:
        self._opened().truncate(0)
        self._hash = hashlib.sha256()
        self.done_bytes = 0
        self.etag = etag
        if etag is None:
            self._tag_path.unlink(missing_ok=True)
        else:
            self._tag_path.write_text(etag, encoding="latin-1")

    def _finish(self) -> None:
        os.fsync(self._opened().fileno())
        self._path.replace(self._destination)
        self._tag_path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._file


def disk_failure(error: OSError, folder: Path) -> DownloadFailed:
    """The typed error of a failing disk; says so if it is full."""
    if error.errno in _DISK_FULL:
        return DownloadFailed(
            f"the disk that holds {folder} is full; what has arrived is kept",
            way_out="free some space and run the same command again, or set RINGFENCE_CACHE_DIR to another disk",
        )
    return DownloadFailed(f"cannot write in {folder}: {(error.strerror or 'unknown').lower()}")


def require_free_space(folder: Path, needed_bytes: int) -> None:
    """Holds if the disk of `folder` (which may not exist yet) has `needed_bytes` left.

    Raises:
        DownloadFailed: it has not, or cannot be asked.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        free_bytes = shutil.disk_usage(existing).free
    except OSError as error:
        raise disk_failure(error, folder) from None
    if free_bytes < needed_bytes:
        raise DownloadFailed(
            f"not enough space in {folder}: {needed_bytes / 1e6:.0f} MB needed, {free_bytes / 1e6:.0f} MB free",
            way_out="free some space, or set RINGFENCE_CACHE_DIR to another disk",
        )


__all__ = ["PartFile", "disk_failure", "require_free_space"]
