"""What a person calls the parts of a file: a rule by its id, a test by its name."""

from __future__ import annotations

from typing import Final

from ringfence.policy.faults import quoted
from ringfence.policy.tree import ListNode, MapNode, Node, Scalar

_CALLED: Final = {
    "flow": ("flow rule", "id"),
    "route": ("route rule", "id"),
    "budgets": ("budget", "id"),
    "tests": ("test", "name"),
}
"""What a part of each section is called, and the key under which its name stands. Invariants have none."""


def names_in(tree: Node) -> dict[str, str]:
    """The path of each part of a file that has a name of its own, such as `flow[4]` → what it is called."""
    found: dict[str, str] = {}
    for entry in tree.entries if isinstance(tree, MapNode) else ():
        if entry.key in _CALLED and isinstance(entry.value, ListNode):
            what, key = _CALLED[entry.key]
            names = {f"{entry.key}[{index}]": _name(item, key) for index, item in enumerate(entry.value.items)}
            found |= {path: f"{what} {quoted(name)}" for path, name in names.items() if name}
    return found


def _name(item: Node, key: str) -> str:
    entries = item.entries if isinstance(item, MapNode) else ()
    node = next((entry.value for entry in entries if entry.key == key), None)
    written = node.value if isinstance(node, Scalar) else None
    return " ".join(written.split()) if isinstance(written, str) else ""


__all__ = ["names_in"]
