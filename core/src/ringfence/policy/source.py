"""A policy file → its tree. The only input of this package, and bounded."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from ringfence.errors import PolicyNotReadable
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.languages import looks_like_toml, looks_like_yaml
from ringfence.policy.place import START, Position
from ringfence.policy.tree import Node

MAX_BYTES = 1 << 20
"""The most that is read of any file that a policy names."""
MAX_POLICY_BYTES = 1 << 18
"""Of a policy, and of its layers together: some thousand rules, which are read in one or two seconds."""

_NOT_TEXT = frozenset(chr(code) for code in (*range(9), 11, 12, *range(14, 32), 127))
_BINARY = frozenset(map(ord, _NOT_TEXT))
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_bytes(path: Path, *, shown: str | None = None) -> bytes:
    """The bytes of a policy file, at most `MAX_BYTES + 1` of them; `shown` is how a person named it.

    Raises:
        PolicyNotReadable: it is missing, not a file, or may not be read.
    """
    return _read(path, f"policy file '{shown or path}'", path.open)


def read_regular(path: Path, *, shown: str) -> bytes:
    """The same of a file that a policy names; `shown` is how a person is told of it.

    Raises:
        PolicyNotReadable: as above, and for a pipe or a device, which would be waited for.
    """
    return _read(path, f"layer file {quoted(shown)}", lambda _: open_regular(path))


def open_regular(path: Path) -> BinaryIO:
    """The file `path`, open. Raises: OSError, also where it is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _read(path: Path, name: str, opened: Callable[[Literal["rb"]], BinaryIO]) -> bytes:
    try:
        with opened("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise PolicyNotReadable(f"{name} does not exist", way_out="check the path") from None
    except IsADirectoryError:
        raise PolicyNotReadable(f"{name} is a directory", way_out="name the file in it") from None
    except PermissionError:
        raise PolicyNotReadable(f"{name} may not be read", way_out=f"chmod u+r {path}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable path"
        raise PolicyNotReadable(f"{name} cannot be read: {why.lower()}") from None


def read_tree(data: bytes, file: str, faults: Faults) -> Node | None:
    """The tree of the file's bytes, as TOML where `file` ends in `.toml`; `None`, with a fault noted, if unreadable."""
    text = _decoded(data, faults)
    if text is None:
        return None
    is_toml = file.lower().endswith(".toml")
    if is_toml and looks_like_yaml(text):
        faults.add(START, "this looks like YAML: name the file .yaml.")
        return None
    if not is_toml and looks_like_toml(text):
        faults.add(START, "this looks like TOML: name the file .toml.")
        return None
    if is_toml:
        from ringfence.policy.toml_tree import read_toml  # noqa: PLC0415  (only for a TOML file)

        return read_toml(text, faults)
    from ringfence.policy.yaml_tree import read_yaml  # noqa: PLC0415  (35 ms that the built-in policy never pays)

    return read_yaml(text, faults)


def _decoded(data: bytes, faults: Faults) -> str | None:
    # INVARIANT: what is parsed is bounded, so that no file can keep an app from starting.
    if len(data) > MAX_POLICY_BYTES:
        faults.add(START, f"the file is larger than {MAX_POLICY_BYTES:,} bytes. A policy must stay readable.")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not data.startswith(_UTF_16) and not _BINARY.isdisjoint(data):
            faults.add(START, "not a text file. Write the policy as plain text, in YAML or TOML.")
            return None
        faults.add(_place(data[: error.start].decode("utf-8", "replace")), "not UTF-8 text.")
        return None
    bad = next((index for index, character in enumerate(text) if character in _NOT_TEXT), None)
    if bad is not None:
        faults.add(_place(text[:bad]), "not a text file: it holds control characters.")
        return None
    if not text.strip():
        faults.add(START, "the file is empty.")
        return None
    return text


def _place(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
