"""The measure of a file or a folder: the same function for the operator, who signs it, and the node, which says it.

A file is measured by the SHA-256 of its bytes, a folder by that of a label and a JSON array of `[path, sha256]`, one
for every file below it, sorted by path, in one spelling. Paths are relative, with `/`. Names and contents count; times,
owners, rights and empty folders do not. Links to files are followed: a cache of models is made of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ringfence_house.releases.faults import ReleasesFault
from ringfence_house.releases.files import reason
from ringfence_house.releases.strict import canonical

LEFT_OUT = frozenset({"__pycache__", ".git", ".DS_Store"})
"""Made beside the code or model by using it, so that they would change its measure."""
_FOLDER_LABEL = b"ringfence-folder-v1\0"


def measure(path: Path) -> str:
    """The measure of `path`, 64 lower-case hex digits.

    Raises:
        ReleasesFault: it is not there, cannot be read, or holds what has no measure: a link to a folder or to nothing,
            a socket, a device, a name that is not UTF-8.
    """
    try:
        if path.is_dir():
            return _folder(path)
        return _file(path)
    except OSError as fault:
        raise ReleasesFault(f"{path} cannot be measured: {reason(fault)}", way_out="name a file or folder") from None


def _folder(folder: Path) -> str:
    listing = sorted(((_name(path, folder), path) for path in _files(folder)), key=lambda found: found[0])
    content = canonical([[name, _file(path)] for name, path in listing])
    return hashlib.sha256(_FOLDER_LABEL + content).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for current, folders, names in os.walk(folder, onerror=_raise):
        here = Path(current)
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in folders:
            if (here / name).is_symlink():
                raise ReleasesFault(f"{here / name} is a link to a folder", way_out="put the folder itself there")
        yield from (here / name for name in names if name not in LEFT_OUT)


def _raise(fault: OSError) -> None:
    raise fault


def _name(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ReleasesFault(f"a name in {folder} is not utf-8", way_out="rename it") from None
    return name


def _file(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise ReleasesFault(f"{path} is neither a file nor a folder", way_out="leave it out")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["LEFT_OUT", "measure"]
