"""Curly quotes around a word of a file that has faults: an editor of letters put them there."""

from __future__ import annotations

from ringfence.policy.faults import Faults
from ringfence.policy.languages import CURLY, in_curly_quotes
from ringfence.policy.place import Position
from ringfence.policy.tree import ListNode, MapNode, Node


def note_curly_quotes(tree: Node, faults: Faults) -> None:
    """Notes a fault at each word in curly quotes; only for a file that has a fault already, since they are no error."""
    match tree:
        case MapNode():
            for entry in tree.entries:
                _note(entry.key, entry.at, faults)
                note_curly_quotes(entry.value, faults)
        case ListNode():
            for item in tree.items:
                note_curly_quotes(item, faults)
        case _:
            _note(tree.value, tree.at, faults)


def _note(value: object, at: Position, faults: Faults) -> None:
    if isinstance(value, str) and in_curly_quotes(value):
        faults.add(at, f"{CURLY}.")
