"""Imports of approved packages from their sources alone: what was hashed is what runs, not what a cache says it was."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import PurePosixPath
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from typing_extensions import override

from ringfence.lock.plugins import top_packages

if TYPE_CHECKING:
    from importlib.metadata import Distribution


def import_from_source(distribution: Distribution) -> None:
    """From now on, in this process, modules of `distribution` are compiled anew; no file in `__pycache__` is read.

    What is imported already stays as it is.
    """
    names = {*top_packages(distribution), *_recorded_modules(distribution)}
    _FINDER.packages |= names
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def _recorded_modules(distribution: Distribution) -> set[str]:
    """The top-level names of the Python files that the installer recorded."""
    recorded = (PurePosixPath(path.as_posix()) for path in distribution.files or ())
    return {path.parts[0].removesuffix(".py") for path in recorded if path.suffix == ".py" and path.parts[0] != ".."}


class _SourceOnly(SourceFileLoader):
    """Compiles the source each time. The bytecode beside it says itself which source it is of, and can lie."""

    @override
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder:
    """Finds what the finders after it find, and takes the cache away from it."""

    def __init__(self) -> None:
        self.packages: frozenset[str] = frozenset()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of an approved package; `None` for any other."""
        if name.partition(".")[0] not in self.packages:
            return None
        for finder in tuple(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                return _without_cache(spec)
        return None


def _without_cache(spec: ModuleSpec) -> ModuleSpec:
    # Another kind of loader (an extension module, a zip file, an importer of the app's) reads no cache of this kind.
    if type(spec.loader) is SourceFileLoader:
        spec.loader = _SourceOnly(spec.loader.name, spec.loader.path)
        spec.cached = None
    return spec


_FINDER = _Finder()

__all__ = ["import_from_source"]
