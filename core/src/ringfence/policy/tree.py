"""What a policy file says before it is understood: text, lists and mappings, each with the place where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ringfence.policy.place import Position

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One value. A number or a boolean is one only where the file wrote it without quotes."""

    value: Value
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode:
    """A list."""

    items: tuple[Node, ...]
    at: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of a mapping, with its value."""

    key: str
    at: Position
    value: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode:
    """A mapping. Keys are text and appear once each."""

    entries: tuple[Entry, ...]
    at: Position


Node: TypeAlias = Scalar | ListNode | MapNode


def kind(node: Node) -> str:
    """What `node` is, in a person's words."""
    match node:
        case MapNode():
            return "a mapping"
        case ListNode():
            return "a list"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return "true or false"
        case Scalar(value=int() | float()):
            return "a number"
        case Scalar():
            return "text"
