"""Entries of a route that are never used as they are written, and overflow that goes outward."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.conditions import AllOf, Condition, LabelIn
from ringfence.policy.document import Document, RouteRule
from ringfence.policy.faults import listed, quoted
from ringfence.policy.place import Position
from ringfence.policy.reach import Reach
from ringfence.recipient import RINGS


def routes_in_vain(document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    """What a route names for nothing, or reaches further than it looks."""
    for rule in document.route:
        yield from _closed(rule, reach)
        yield from _overflow(rule, document, reach)
        yield from _never_fallback(rule)


def _closed(rule: RouteRule, reach: Reach) -> Iterator[tuple[Position, str]]:
    """The recipients that none of the labels reaches of which every request of this route has one."""
    labels = _needed(rule.when)
    for name in dict.fromkeys((*rule.prefer, *rule.fallback)) if labels else ():
        if not any(name in reach[label] for label in labels):
            what = listed(sorted(labels), last="or")
            yield rule.at, f"rule {quoted(rule.id)} is for {what}, which flow never lets reach {quoted(name)}."


def _needed(when: Condition | None) -> frozenset[str]:
    """The labels of which every request that matches has one; empty where there are none such."""
    if isinstance(when, LabelIn):
        return when.labels
    for part in when.parts if isinstance(when, AllOf) else ():
        if found := _needed(part):
            return found
    return frozenset()


def _overflow(rule: RouteRule, document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    if rule.overflow is None:
        return
    rings = {name: RINGS.index(one.ring) for name, one in document.recipients.items()}
    outermost = max(rule.prefer, key=rings.__getitem__)
    for name in rule.overflow.to:
        if not any(name in one for one in reach.values()):
            yield rule.at, f"rule {quoted(rule.id)} overflows to {quoted(name)}, which flow lets nothing reach."
        elif rings[name] > rings[outermost]:
            ring, inner = document.recipients[name].ring, document.recipients[outermost].ring
            outward = f"when {quoted(outermost)} is full, requests go on to ring '{ring}' where flow allows it"
            yield rule.at, f"rule {quoted(rule.id)} overflows outward, from '{inner}' to {quoted(name)}: {outward}."


def _never_fallback(rule: RouteRule) -> Iterator[tuple[Position, str]]:
    """What is overflow and fallback: it stands in a plan once, where it comes first. One also preferred is a fault."""
    for name in rule.fallback if rule.overflow is not None else ():
        if rule.overflow is not None and name in rule.overflow.to:
            both = f"rule {quoted(rule.id)} names {quoted(name)} in overflow: and in fallback:"
            only = "Its first place counts, so it is used only when a preferred recipient is full or cannot be reached"
            yield rule.at, f"{both}. {only}, and never as a fallback. Take it out of one of them."


__all__ = ["routes_in_vain"]
