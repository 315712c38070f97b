"""Whether what is installed of a plugin is what its folder holds: the kit tests what is installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from ringfence import registry
from ringfence.errors import PluginBroken
from ringfence.privacy import detection

_GROUPS = (registry.GROUP, detection.ENTRY_POINT_GROUP)


def check_same(folder: Path) -> None:
    """Does nothing where a module of the plugin in `folder` is imported from there, is a copy, or is not installed.

    Raises:
        PluginBroken: another one is installed.
    """
    project = _project(folder)
    for name, here in _modules(project, folder):
        spec = find_spec(name)
        there = Path(spec.origin) if spec is not None and spec.origin is not None else None
        # A folder may hold the environment as well: what counts is the package.
        if there is None or there.resolve().is_relative_to(here.resolve()):
            continue
        if not _same(here, there.parent if here.is_dir() else there):
            extra = "[test]" if "test" in project.get("optional-dependencies", {}) else ""
            raise PluginBroken(
                f"the installed {name} is not the one in {folder}",
                way_out=f"pip install -e {quote(f'{folder}{extra}')}",
            )


def _project(folder: Path) -> Mapping[str, Any]:
    """What `pyproject.toml` says of the plugin; nothing where pytest will say that it cannot be read."""
    with suppress(OSError, ValueError), (folder / "pyproject.toml").open("rb") as file:
        project: Mapping[str, Any] = tomllib.load(file).get("project", {})
        return project
    return {}


def _modules(project: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    """The packages and modules that its entry points name, each with where it is in `folder`."""
    points: Mapping[str, Mapping[str, str]] = project.get("entry-points", {})
    named = [name for group in _GROUPS for name in points.get(group, {}).values()]
    for name in sorted({name.partition(":")[0].partition(".")[0] for name in named}):
        places = [base / found for base in (folder / "src", folder) for found in (name, f"{name}.py")]
        here = next((place for place in places if place.exists()), None)
        if here is not None:
            yield name, here


def _same(here: Path, there: Path) -> bool:
    """Whether both have the same modules, and no other file that both have differs: not all is installed."""
    ours, theirs = _files(here), _files(there)
    if any(name.endswith(".py") for name in ours.keys() ^ theirs.keys()):
        return False
    return all(ours[name].read_bytes() == theirs[name].read_bytes() for name in ours.keys() & theirs.keys())


def _files(place: Path) -> dict[str, Path]:
    """The files of a package by where they are in it, without what Python compiled; a module is its own one."""
    return {
        path.relative_to(place).as_posix(): path
        for path in (place.rglob("*") if place.is_dir() else [place])
        if path.is_file() and "__pycache__" not in path.parts
    }


__all__ = ["check_same"]
