"""TOML text → the same tree as YAML.

`tomllib` gives no places, so the line of a key is found by a scan of the lines: exact where the key begins its line or
stands in a table's heading, the line of its statement otherwise, and no column at all: better none than a wrong one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import TypeAlias, cast

from ringfence.policy.faults import Faults
from ringfence.policy.languages import CURLY, has_curly_quotes
from ringfence.policy.place import NOWHERE, START, Position
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar
from ringfence.policy.yaml_tree import MAX_DEPTH

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes from the root."""

_LISTS = ("flow", "route", "budgets", "invariants", "tests")
"""The sections that are lists of mappings."""
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEY = re.compile(r"""\s*((?:"[^"\\]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"\\]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")
_HEADING = re.compile(r"\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_WORD = re.compile(r""""([^"\\]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")


def read_toml(text: str, faults: Faults) -> Node | None:
    """The tree of `text`; `None`, with a fault noted, where it is not TOML."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.add(*_decode_fault(str(error), text))
        return None
    except RecursionError:
        faults.add(START, f"nested more than {MAX_DEPTH} deep.")
        return None
    except ValueError:
        # What Python itself refuses, such as a number of five thousand digits.
        faults.add(START, "not valid TOML: a number is too long.")
        return None
    if not data:
        faults.add(START, "the file is empty.")
        return None
    lines = _lines_of_keys(text)
    for section in _LISTS:
        if isinstance(data.get(section), dict):
            at = Position(lines[section,], None) if (section,) in lines else START
            items = "a list of rules" if section in ("flow", "route") else "a list"
            faults.add(at, f"{section} is {items}: TOML writes each as [[{section}]], in two brackets.")
            # Read on as what was meant, so that its other faults are seen too; the file has one already.
            data[section] = [data[section]]
    return _Builder(lines, faults).node(data, (), 0)


def from_data(data: Mapping[str, object], faults: Faults) -> Node:
    """The tree of data that stands in no file."""
    return _Builder({}, faults).node(data, (), 0)


def _decode_fault(message: str, text: str) -> tuple[Position, str]:
    found = _PLACE.search(message)
    at = Position(int(found[1]), int(found[2])) if found and found[1] else NOWHERE
    says = CURLY if has_curly_quotes(text, at.line) else _PLACE.sub("", message).lower()
    return at, f"not valid TOML: {says}."


class _Builder:
    """Turns plain data into nodes, with the lines that were found for its keys."""

    def __init__(self, lines: Mapping[Path, int], faults: Faults) -> None:
        self._lines = lines
        self._faults = faults

    def node(self, value: object, path: Path, depth: int) -> Node:
        at = self._at(path)
        if depth > MAX_DEPTH:
            self._faults.add(at, f"nested more than {MAX_DEPTH} deep.")
            return Scalar(value=None, at=at)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[str, object]", value), path, depth)
        if isinstance(value, list | tuple):
            items = cast("list[object]", value)
            nodes = (self.node(item, (*path, index), depth + 1) for index, item in enumerate(items))
            return ListNode(items=tuple(nodes), at=at)
        if value is None or isinstance(value, str | int | float):
            return Scalar(value=value, at=at)
        # A date or a time is the text it is written as, as in YAML 1.2.
        return Scalar(value=str(value), at=at)

    def _mapping(self, value: Mapping[str, object], path: Path, depth: int) -> MapNode:
        entries = (
            Entry(key=key, at=self._at((*path, key)), value=self.node(item, (*path, key), depth + 1))
            for key, item in value.items()
        )
        return MapNode(entries=tuple(entries), at=self._at(path))

    def _at(self, path: Path) -> Position:
        for length in range(len(path), 0, -1):
            line = self._lines.get(path[:length])
            if line is not None:
                return Position(line, None)
        return START if self._lines else NOWHERE


def _lines_of_keys(text: str) -> dict[Path, int]:
    """The line of every key that begins its line or stands in a heading."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if closing is not None:
            closing = None if closing in line else closing
        elif heading := _HEADING.match(line):
            table = _table(heading[1] == "[[", _words(heading[2]), counts)
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_words(key[1])), number)
            closing = _opened(line[key.end() :])
    return lines


def _words(dotted: str) -> Path:
    return tuple(next(part for part in found if part) for found in _WORD.findall(dotted) if any(found))


def _table(is_list: bool, words: Path, counts: dict[Path, int]) -> Path:  # noqa: FBT001
    """The path a heading opens; a step into a list of tables goes to its last one."""
    path: Path = ()
    for position, word in enumerate(words):
        path = (*path, word)
        last = position == len(words) - 1
        if last and is_list:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _opened(rest: str) -> str | None:
    """The quotes that end a multi-line text which `rest` begins and does not end."""
    for quotes in ('"""', "'''"):
        if rest.count(quotes) % 2:
            return quotes
    return None
