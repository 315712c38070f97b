"""Reading one node of the tree as what it must be; what it is not becomes a fault, and reading goes on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from typing import Final

from ringfence.policy.durations import duration_s, units_hint
from ringfence.policy.faults import Faults, did_you_mean, listed, quoted
from ringfence.policy.keys import Keys
from ringfence.policy.place import Position
from ringfence.policy.tree import Entry, ListNode, MapNode, Node, Scalar, kind
from ringfence.recipient import RINGS

_NAME = re.compile(r"[^\W_][\w.-]{0,63}")
MAX_DECLARED = 200
"""Recipients, labels, facts, consents and tools, each."""
_FEW = 8
_SAME: Final[Mapping[str, str]] = {
    "and": "all",
    "or": "any",
    "if": "when",
    "condition": "when",
    "name": "id",
    "rules": "flow",
    "routing": "route",
    "permit": "allow",
    "block": "deny",
    "forbid": "deny",
    "target": "to",
    "timezone": "zone",
    "tz": "zone",
}
"""Words of other languages, and ours."""
_WORD = re.compile(r"[\w.]+")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_PER_CENT = re.compile(r"([0-9]{1,3}) ?%")
_MAX_TEXT = 500
_MAX_NUMBER = 1 << 53
"""The whole numbers up to here are exact in every language that may read a decision."""


def inside(where: str) -> str:
    """` in flow[2]`, or nothing at the top of the file."""
    return f" in {where}" if where else ""


def mapping(node: Node, where: str, faults: Faults, example: str = "") -> MapNode | None:
    """`node` as a mapping."""
    if isinstance(node, MapNode):
        return node
    faults.add(node.at, f"{where or 'a policy file'} must be a mapping{example}, not {kind(node)}.")
    return None


def entries(node: Node, where: str, keys: Keys, faults: Faults) -> dict[str, Entry] | None:
    """The keys of `node` that work; every other one, and each that is needed and missing, is a fault."""
    example = ", ".join(f"{key}: …" for key in keys.needed or keys.works[:2])
    found = mapping(node, where, faults, f" such as {{{example}}}" if where else "")
    if found is None:
        return None
    kept: dict[str, Entry] = {}
    for entry in found.entries:
        if entry.key in keys.works:
            kept[entry.key] = entry
        else:
            faults.add(entry.at, f"unknown key {quoted(entry.key)}{inside(where)}.{meant(entry.key, keys.works)}")
    for key in keys.needed:
        if key not in kept:
            hint = f" Write {', '.join(RINGS[:-1])} or {RINGS[-1]}." if key == "ring" else ""
            faults.add(found.at, f"key '{key}'{inside(where)} is missing.{hint}")
    return kept


def declarations(written: Entry | None, where: str, faults: Faults) -> MapNode | None:
    """The mapping of a section that declares things; `None` where there is none, or, with a fault noted, too many."""
    found = None if written is None else mapping(written.value, where, faults)
    if found is None or len(found.entries) <= MAX_DECLARED:
        return found
    # INVARIANT: what a proof multiplies with one another is bounded.
    faults.add(found.entries[MAX_DECLARED].at, f"{where} has more than {MAX_DECLARED} entries. Declare fewer.")
    return None


def meant(key: str, known: Collection[str]) -> str:
    """What to write in the place of the unknown `key`: one that is close or means the same, or all if they are few."""
    if key in ("labels", "to") and "allow" in known:
        return " Write it inside allow or deny, such as allow: {labels: [public], to: [device]}."
    if key == "unless" and {"id", "when"} <= {*known}:
        return " Write when: {not: {…}}."
    same = _SAME.get(key.lower())
    if same is not None and same in known:
        return f" Write {quoted(same)}."
    hint = did_you_mean(key, known)
    return hint or (f" Write {listed(known, 'or')}." if len(known) <= _FEW else "")


def text(node: Node, where: str, faults: Faults) -> str | None:
    """`node` as a text that is not empty and fits on one screen."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        # A sign such as # at the beginning makes a text a comment.
        empty = " Write it in quotes." if isinstance(node, Scalar) else ""
        hint = " Put it in quotes." if isinstance(node, Scalar) and node.value is not None else empty
        faults.add(node.at, f"{where} must be text, not {kind(node)}.{hint}")
        return None
    if not node.value.strip() or len(node.value) > _MAX_TEXT:
        faults.add(node.at, f"{where} must have 1 to {_MAX_TEXT} characters.")
        return None
    # Line breaks are layout, as in a folded text of YAML.
    found = " ".join(node.value.split())
    if not found.isprintable():
        faults.add(node.at, f"{where} holds control characters.")
        return None
    return found


def duration(node: Node, where: str, faults: Faults, *, example: str, longest_s: int, bounds: str) -> int | None:
    """`node` as whole seconds, more than 0 and at most `longest_s`; `bounds` says in words what that is."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        faults.add(node.at, f"{where} must be a time such as {example}, not {kind(node)}.")
        return None
    written = text(node, where, faults)
    seconds = None if written is None else duration_s(written)
    if written is not None and seconds is None:
        faults.add(node.at, f"{where} must be a time such as {example}, not {quoted(written)}.{units_hint(written)}")
    elif seconds is not None and not 0 < seconds <= longest_s:
        faults.add(node.at, f"{where} must be {bounds}.")
    return seconds


def name(node: Node, where: str, faults: Faults) -> str | None:
    """`node` as a name."""
    found = text(node, where, faults)
    return None if found is None else checked_name(found, node.at, where, faults)


def checked_name(found: str, at: Position, where: str, faults: Faults) -> str | None:
    """`found`, if it can be a name."""
    if _NAME.fullmatch(found):
        return found
    faults.add(at, f"{quoted(found)} cannot be a name in {where}: write 1 to 64 letters, digits, '_', '-' and '.'.")
    return None


def boolean(node: Node, where: str, faults: Faults) -> bool | None:
    """`node` as `true` or `false`, the only booleans there are."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node.value
    faults.add(node.at, f"{where} must be true or false, not {_shown(node)}.")
    return None


def number(node: Node, where: str, faults: Faults, *, whole: bool) -> float | None:
    """`node` as a number, whole where `whole`."""
    value = node.value if isinstance(node, Scalar) else None
    if not isinstance(value, bool) and isinstance(value, int if whole else (int, float)):
        # A comparison with NaN is false.
        if abs(value) <= _MAX_NUMBER:
            return value
        faults.add(node.at, f"{where} must lie between -{_MAX_NUMBER} and {_MAX_NUMBER}.")
        return None
    says = f"{where} must be a {'whole number' if whole else 'number'}, not {_shown(node)}"
    faults.add(node.at, f"{says}.{_as_number(value, whole=whole)}")
    return None


def items(node: Node, where: str, faults: Faults, example: str, *, or_none: bool = False) -> tuple[Node, ...] | None:
    """The items of `node`, a list, which is not empty unless there may be none."""
    if not isinstance(node, ListNode):
        # Where something else than a list can stand, the word may have been meant for that.
        word = node.value if isinstance(node, Scalar) and ", or " not in example else None
        hint = f" Write [{word}]." if isinstance(word, str) and _WORD.fullmatch(word) else ""
        faults.add(node.at, f"{where} must be a list such as {example}, not {kind(node)}.{hint}")
        return None
    if not node.items and not or_none:
        faults.add(node.at, f"{where} is empty. Name at least one, or leave it out.")
        return None
    return node.items


def names(
    node: Node, where: str, faults: Faults, example: str, *, or_none: bool = False
) -> list[tuple[str, Position]] | None:
    """The texts in the list `node`, each once, with their places."""
    found = items(node, where, faults, example, or_none=or_none)
    if found is None:
        return None
    kept: dict[str, Position] = {}
    for item in found:
        one = text(item, f"an item of {where}", faults)
        if one is None:
            continue
        if one in kept:
            faults.add(item.at, f"{quoted(one)} appears twice in {where}.")
        kept.setdefault(one, item.at)
    return list(kept.items())


def file_name(node: Node, where: str, faults: Faults, *, in_a_file: bool) -> str | None:
    """`node` as the name of a file."""
    found = text(node, where, faults)
    usable = found is not None and is_usable_path(found, node.at, where, faults, in_a_file=in_a_file)
    return found if usable else None


def is_usable_path(written: str, at: Position, where: str, faults: Faults, *, in_a_file: bool) -> bool:
    """Whether `written` is whole, or relative to this policy's file, if it stands in one. Repeats nothing of it."""
    if written.startswith("~"):
        faults.add(at, f"{where} begins with ~. Write the whole path, or one relative to this file.")
    elif not in_a_file and not PurePath(written).is_absolute():
        faults.add(at, f"{where} is relative, and this policy stands in no file. Write the whole path.")
    else:
        return True
    return False


def choice(node: Node, where: str, options: Iterable[str], faults: Faults) -> str | None:
    """`node` as one of `options`."""
    allowed = tuple(options)
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        faults.add(node.at, f"{where} must be {listed(allowed, 'or')}, not {kind(node)}.")
        return None
    found = text(node, where, faults)
    return None if found is None else one_of(found, node.at, where, allowed, faults)


def one_of(found: str, at: Position, where: str, options: Iterable[str], faults: Faults) -> str | None:
    """`found`, if it is one of `options`."""
    allowed = tuple(options)
    if found in allowed:
        return found
    if len(allowed) == 1:
        faults.add(at, f"{where} can only be {allowed[0]}, not {quoted(found)}.")
        return None
    faults.add(at, f"{quoted(found)} is not a value of {where}: {listed(allowed, 'or')}.{did_you_mean(found, allowed)}")
    return None


def _as_number(value: object, *, whole: bool) -> str:
    """How to write as a number what was written as a text."""
    if not isinstance(value, str):
        return ""
    if _NUMBER.fullmatch(value):
        return " Take the quotes away."
    part = None if whole else _PER_CENT.fullmatch(value)
    return "" if part is None else f" Write {int(part[1]) / 100:g}."


def _shown(node: Node) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return quoted(node.value)
    return kind(node)
