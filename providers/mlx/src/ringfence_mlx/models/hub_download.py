"""Runs the process that brings a hub model, and reports how far it is."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

from ringfence.errors import DownloadFailed
from ringfence.provider import DownloadProgress
from ringfence_mlx.models.hub import repository_folder

_POLL_S = 0.3


async def download_from_hub(name: str) -> AsyncGenerator[DownloadProgress, None]:
    """Brings `org/name` into the hub cache of this machine; yields progress, then `done` with the folder.

    Raises:
        DownloadFailed: the hub cannot be reached, has no such model, or the disk failed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "ringfence_mlx.models.hub", name),  # -P: nothing is imported from where the app stands
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )
    output = bytearray()
    ending = asyncio.ensure_future(_collect(process, output))
    blobs = repository_folder(name) / "blobs"
    begun_bytes = await asyncio.to_thread(_size_bytes, blobs)
    try:
        while not ending.done():
            done_bytes = await asyncio.to_thread(_size_bytes, blobs) - begun_bytes
            yield _progress("download", max(done_bytes, 0), _told(output, "total_bytes"), None)
            await asyncio.wait({ending}, timeout=_POLL_S)
    finally:
        if process.returncode is None and not ending.done():
            process.kill()
        message = await ending
    folder = _told(output, "folder")
    if process.returncode != 0 or not isinstance(folder, str):
        raise DownloadFailed(
            f"{name} cannot be brought: {message.strip().rpartition(chr(10))[2] or 'the process ended early'}",
            way_out="check the name and the network, or name the path of a local model folder",
        )
    total_bytes = _told(output, "total_bytes")
    yield _progress("done", total_bytes if isinstance(total_bytes, int) else 0, total_bytes, Path(folder))


async def _collect(process: asyncio.subprocess.Process, output: bytearray) -> str:
    """Reads both streams to their end; the text of standard error."""
    if process.stdout is None or process.stderr is None:
        return ""

    async def read_output(stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            output.extend(chunk)

    _, message = await asyncio.gather(read_output(process.stdout), process.stderr.read())
    await process.wait()
    return message.decode("utf-8", "replace")


def _progress(step: str, done_bytes: int, total: object, path: Path | None) -> DownloadProgress:
    return DownloadProgress(
        step="done" if step == "done" else "download",
        done_bytes=done_bytes,
        total_bytes=total if isinstance(total, int) else None,
        source="the model hub",
        path=path,
    )


def _told(output: bytearray, key: str) -> object:
    """What the process has said under `key` so far; the last line may still be coming."""
    for line in bytes(output).decode("utf-8", "replace").split("\n")[:-1]:
        document: object = json.loads(line) if line.startswith("{") else None
        if isinstance(document, dict) and key in document:
            return cast("dict[str, object]", document)[key]
    return None


def _size_bytes(folder: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in folder.iterdir())
    except OSError:
        return 0


__all__ = ["download_from_hub"]
