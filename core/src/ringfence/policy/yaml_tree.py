"""YAML 1.2 text → tree, with the line and column of every node.

Built from ruamel.yaml's events, not from its objects: nothing is constructed, an alias is refused rather than expanded
(so nothing can grow), and nesting is bounded while it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ringfence.policy.faults import Faults, quoted
from ringfence.policy.place import START, Position
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar, Value

MAX_DEPTH = 32
"""Lists and mappings inside one another; a policy needs fewer than ten."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


class Unreadable(Exception):
    """The text is not YAML that a policy may use; the fault is noted already."""


def read_yaml(text: str, faults: Faults) -> Node | None:
    """The one document in `text`; `None`, with a fault noted, where there is none that can be read."""
    # ruamel.yaml has no types: its parser, events and marks are narrowed here, and nowhere else.
    parser: Any = YAML(typ="safe", pure=True)
    events: Iterator[Any] = iter(parser.parse(text))
    try:
        return _Builder(events, faults).document()
    except Unreadable:
        return None
    except MarkedYAMLError as error:
        from ringfence.policy.yaml_words import yaml_fault  # noqa: PLC0415  (only a file that cannot be read needs it)

        faults.add(*yaml_fault(error, text))
    except Exception:  # noqa: BLE001  INVARIANT: whatever the parser trips over is a fault of the file, never a policy.
        faults.add(START, "not valid YAML.")
    return None


def _at(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


class _Builder:
    """Turns events into nodes, one after the other."""

    def __init__(self, events: Iterator[Any], faults: Faults) -> None:
        self._events = events
        self._faults = faults

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent) and root is not None:
                self._refuse(_at(event), "a policy file holds one document; this is a second one.")
            elif isinstance(event, NodeEvent):
                root = self._node(event, 0)
        if root is None:
            self._faults.add(START, "the file is empty.")
        return root

    def _refuse(self, at: Position, message: str) -> None:
        self._faults.add(at, message)
        raise Unreadable

    def _node(self, event: Any, depth: int) -> Node:
        at = _at(event)
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(at, "anchors and aliases are not read in a policy file. Write the value out.")
        if getattr(event, "tag", None) is not None:
            self._refuse(at, "tags are not read in a policy file. Remove it.")
        if depth > MAX_DEPTH:
            self._refuse(at, f"nested more than {MAX_DEPTH} deep.")
        if isinstance(event, MappingStartEvent):
            return self._mapping(at, depth)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(at, depth)
        return Scalar(value=_value(event), at=at)

    def _sequence(self, at: Position, depth: int) -> ListNode:
        items: list[Node] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._placed(event, at, depth))
        return ListNode(items=tuple(items), at=at)

    def _mapping(self, at: Position, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._key(event, depth)
            value = self._placed(next(self._events), key.at, depth)
            if key.key in entries:
                first = entries[key.key].at.line
                hint = " Begin a new rule with '- id:'." if key.key == "id" else ""
                self._faults.add(key.at, f"key {quoted(key.key)} appears twice (first on line {first}).{hint}")
            else:
                entries[key.key] = Entry(key=key.key, at=key.at, value=value)
        return MapNode(entries=tuple(entries.values()), at=at)

    def _placed(self, event: Any, owner: Position, depth: int) -> Node:
        """The node, where an empty one stands at its key or list: its own mark is that of whatever comes next."""
        node = self._node(event, depth + 1)
        is_empty = isinstance(node, Scalar) and node.value is None and not event.value
        return Scalar(value=None, at=owner) if is_empty else node

    def _key(self, event: Any, depth: int) -> Entry:
        node = self._node(event, depth + 1)
        if not isinstance(node, Scalar):
            self._refuse(node.at, "a key must be a word.")
        # A key is the word as it was written: `true:` and `1:` are words here.
        return Entry(key=str(event.value), at=node.at, value=node)


def _value(event: Any) -> Value:
    text = str(event.value)
    if event.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
