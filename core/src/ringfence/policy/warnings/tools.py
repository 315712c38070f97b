"""Tools that nothing reaches."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.document import Document, FlowRule, Require
from ringfence.policy.faults import quoted
from ringfence.policy.place import NOWHERE, Position
from ringfence.recipient import RINGS, Ring


def tools_in_vain(document: Document) -> Iterator[tuple[Position, str]]:
    """The tools on a ring that no label reaches, whatever a request is like."""
    closed = [ring for ring in RINGS if not any(_reaches(label, ring, document) for label in document.labels)]
    for name, tool in document.tools.items():
        if tool.ring in closed:
            why = f"no rule under flow: lets anything reach tools on ring '{tool.ring}'"
            yield document.places.get(f"tools.{name}", NOWHERE), f"tool {quoted(name)} is never used: {why}."


def _reaches(label: str, ring: Ring, document: Document) -> bool:
    """Whether each layer that has allows has one of the label for the ring, and no deny always stops it."""
    named = [rule for rule in document.flow if ring in rule.to and label in document.covered(rule.labels)]
    if any(rule.effect == "deny" and rule.when is None for rule in named):
        return False
    # An allow that requires anything says nothing for tools.
    allowing = {rule.layer for rule in named if rule.effect == "allow" and rule.require == Require()}
    return allowing >= {"", *_layers(document.flow)}


def _layers(flow: tuple[FlowRule, ...]) -> frozenset[str]:
    return frozenset(rule.layer for rule in flow if rule.effect == "allow")


__all__ = ["tools_in_vain"]
