"""Curly quotes around a text of a file that has faults: an editor of letters put them there."""

from __future__ import annotations

from collections.abc import Iterator
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
    quoted = {at: text for at, text in _texts(tree) if is_in_curly_quotes(text)}
    faulty = {fault.at for fault in faults.found}
    told = (replace(one, message=one.message + _ADVICE) if one.at in quoted else one for one in faults.found)
    faults.found = dict.fromkeys(told)
    for at, word in quoted.items():
        if at not in faulty and in_curly_quotes(word):
            faults.add(at, f"{CURLY}.")


def _texts(tree: Node) -> Iterator[tuple[Position, str]]:
    match tree:
        case MapNode():
            for entry in tree.entries:
                yield entry.at, entry.key
                yield from _texts(entry.value)
        case ListNode():
            for item in tree.items:
                yield from _texts(item)
        case _:
            if isinstance(tree.value, str):
                yield tree.at, tree.value
