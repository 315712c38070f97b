"""Curly quotes around a text of a file that has faults: an editor of letters put them there."""

from __future__ import annotations

from dataclasses import replace

from ringfence.policy.faults import Faults
from ringfence.policy.languages import CURLY, in_curly_quotes, is_in_curly_quotes
from ringfence.policy.place import Position
from ringfence.policy.tree import ListNode, MapNode, Node

_ADVICE = " Use straight quotes."


def note_curly_quotes(tree: Node, faults: Faults) -> None:
    """Says of each fault at a text in curly quotes what to do, and notes one at each such word that has none.

    Only for a file that has a fault already, since they are no error.
    """
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
    if not isinstance(value, str) or not is_in_curly_quotes(value):
        return
    if any(fault.at == at for fault in faults.found):
        told = (replace(one, message=one.message + _ADVICE) if one.at == at else one for one in faults.found)
        faults.found = dict.fromkeys(told)
    elif in_curly_quotes(value):
        faults.add(at, f"{CURLY}.")
