"""A layer that is taken for a policy, and a policy that is taken for a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ringfence.policy.faults import quoted
from ringfence.policy.layers.sections import LAYER
from ringfence.policy.tree import MapNode, Node
from ringfence.policy.words import plain

_RULES: Final = frozenset({"flow", "consent", "budgets", "audit", "invariants"})
_WHOLE: Final = frozenset({"recipients", "labels", "route"})
_OF_A_PROFILE: Final = frozenset({"PayloadContent", "PayloadType", "Payload"})
_NEVER_A_POLICY: Final = (".mobileconfig", ".plist")
"""A policy may be written in JSON, which is YAML."""

PROFILE: Final = "this is a device profile, which is a layer. Put it over a policy with --layer."


def is_profile_by_name(source: str) -> bool:
    """Whether the name of a file says that it is a device profile."""
    return Path(source).suffix.lower() in _NEVER_A_POLICY


def not_a_policy(tree: Node, source: str) -> str | None:
    """What the file `source` is in place of a policy; `None` where it is none of them."""
    written = _keys(tree)
    if written & _OF_A_PROFILE and not written & {"version", *LAYER.works}:
        return PROFILE
    if written & _RULES and written <= set(LAYER.works):
        over = f"ringfence policy check POLICY --layer {plain(source)}"
        return f"this file has rules and no recipients:, so it looks like a layer. Check it over a policy: {over}"
    return None


def not_a_layer(tree: Node) -> str | None:
    """What is wrong with a layer that is a whole policy; `None` where it is none."""
    if _keys(tree) >= _WHOLE:
        return f"{quoted(Path(tree.at.file).name)} is a whole policy. A layer has rules and no declarations."
    return None


def _keys(tree: Node) -> frozenset[str]:
    return frozenset(entry.key for entry in tree.entries) if isinstance(tree, MapNode) else frozenset()
