"""The digest of an installed distribution: its own files as they lie on the disk now, whatever its metadata claims."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.errors import PluginBroken
from ringfence.lock.plugins import top_packages

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_CACHE = "__pycache__"
_METADATA = (".dist-info", ".egg-info")


def fingerprint(distribution: Distribution) -> str:
    """The SHA-256, in hex, of the names and contents of the distribution's files. Imports nothing.

    It covers the entry points, every file that the installer recorded, and every file in the packages that the entry
    points name, where they would be imported from: so also for an editable install, and for a folder earlier on the
    import path. Left out are `__pycache__`, of which nothing runs under a lock, what installers write about
    themselves, and files outside the folder of packages, such as scripts.

    Raises:
        PluginBroken: a file cannot be read.
    """
    files = {**_recorded(distribution), **_imported(distribution)}
    digest = hashlib.sha256()
    # A name holds no NUL, so no name can pass for a name and the digest of another file.
    digest.update(b"entry_points.txt\0" + _digest((distribution.read_text("entry_points.txt") or "").encode()))
    for name in sorted(files):
        try:
            content = files[name].read_bytes()
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise PluginBroken(
                f"a file of distribution '{distribution.name}' cannot be read: {why}",
                way_out=f"reinstall {distribution.name}",
            ) from None
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + _digest(content))
    return digest.hexdigest()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _recorded(distribution: Distribution) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in distribution.files or ():
        outside = ".." in path.parts or path.is_absolute()
        if outside or _CACHE in path.parts or path.parts[0].endswith(_METADATA):
            continue
        place = Path(str(distribution.locate_file(path)))
        # One that is gone is missing from the digest, which tells.
        if place.is_file():
            found[path.as_posix()] = place
    return found


def _imported(distribution: Distribution) -> dict[str, Path]:
    # INVARIANT: what would be imported is what is hashed, so these take the place of what was recorded.
    return {name: path for package in top_packages(distribution) for name, path in _package_files(package)}


def _package_files(package: str) -> Iterator[tuple[str, Path]]:
    # find_spec of a top-level name runs none of the package's code.
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if not spec.submodule_search_locations:
        if spec.has_location and spec.origin is not None:
            yield Path(spec.origin).name, Path(spec.origin)
        return
    for folder in spec.submodule_search_locations:
        yield from _files_below(Path(folder), package, frozenset())


def _files_below(folder: Path, name: str, above: frozenset[str]) -> Iterator[tuple[str, Path]]:
    # A linked folder is imported like any other; one that leads back to where it is in would never end.
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            if entry.name != _CACHE:
                yield from _files_below(Path(entry.path), f"{name}/{entry.name}", above | {real})
        elif entry.is_file():
            yield f"{name}/{entry.name}", Path(entry.path)
