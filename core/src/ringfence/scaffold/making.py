"""A new plugin distribution, written whole or not at all."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias, get_args

from ringfence.errors import InvalidRequest, PluginError

Kind: TypeAlias = Literal["http", "local", "detector"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")
_MAX_NAME = 40
_SUFFIX = ".txt"
"""What every template ends with, so that no tool takes one for a source."""


def check_name(name: str, kind: Kind) -> None:
    """Does nothing for a name that a new provider or detector may have.

    Raises:
        InvalidRequest: it is no lower-case identifier, or an installed plugin of its sort has it.
    """
    what = sort_of(kind)
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or keyword.iskeyword(name):
        raise InvalidRequest(
            f"a {what}'s name is a lower-case word of at most 40 letters, digits and single '_', such as: parrot",
            way_out="choose another name",
        )
    if name in _installed(kind):
        raise InvalidRequest(f"a {what} '{name}' is installed", way_out="choose another name")


def sort_of(kind: Kind) -> Literal["provider", "detector"]:
    """What a kind of plugin is."""
    return "detector" if kind == "detector" else "provider"


def _installed(kind: Kind) -> AbstractSet[str]:
    """The names that are taken."""
    if kind == "detector":
        from importlib.metadata import entry_points  # noqa: PLC0415  (tens of ms)

        from ringfence.privacy.detection import ENTRY_POINT_GROUP  # noqa: PLC0415

        return {entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)}
    from ringfence import registry  # noqa: PLC0415  (scans what is installed)

    return {plugin.name for plugin in registry.installed()} | set(registry.duplicates())


def distribution(name: str, kind: Kind) -> str:
    """The name of the distribution of a new plugin."""
    return f"ringfence-{'detector-' if kind == 'detector' else ''}{name.replace('_', '-')}"


def rendered(name: str, kind: Kind) -> Mapping[PurePosixPath, str]:
    """The files of a new plugin, by their path in it."""
    whole = distribution(name, kind)
    words = {
        "name": name,
        "class": f"{''.join(word.capitalize() for word in name.split('_'))}{sort_of(kind).capitalize()}",
        "package": whole.replace("-", "_"),
        "distribution": whole,
        "host": name.replace("_", "-"),
        "variable": name.upper(),
    }
    root = files("ringfence.scaffold") / "templates" / kind
    return {
        _named(path, words): _filled(template.read_text(encoding="utf-8"), words)
        for path, template in _walk(root, PurePosixPath())
    }


def _walk(folder: Traversable, at: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, at / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield at / entry.name.removesuffix(_SUFFIX), entry


def _named(path: PurePosixPath, words: Mapping[str, str]) -> PurePosixPath:
    return PurePosixPath(*(words["package"] if part == "package" else part for part in path.parts))


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def make_plugin(name: str, kind: Kind, target: Path) -> tuple[Path, ...]:
    """Writes a new plugin into `target`, a folder that does not exist or is empty; the paths of its files.

    INVARIANT: the folder is there whole, or is as it was before.

    Raises:
        InvalidRequest: the name cannot be taken, or the folder holds something.
        PluginError: the system refused to write.
    """
    check_name(name, kind)
    contents = rendered(name, kind)
    try:
        if target.is_symlink() or target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise InvalidRequest(f"'{target}' is there, and is no empty folder", way_out="name another with --dir")
        _write(contents, target)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise PluginError(f"cannot write to '{target}': {reason}", way_out="name another folder with --dir") from None
    return tuple(target / path for path in contents)


def _write(contents: Mapping[PurePosixPath, str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that a rename is all that is left to do.
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        # Below it, with the permissions of an ordinary folder.
        made = beside / "made"
        for path, text in contents.items():
            file = made / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        if target.exists():
            target.rmdir()
        made.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


__all__ = ["KINDS", "Kind", "check_name", "distribution", "make_plugin", "rendered", "sort_of"]
