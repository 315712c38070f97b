"""Entries of a route that are never used as they are written, and overflow and hedges that go outward."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.conditions import AllOf, Condition, LabelIn, TaskIn
from ringfence.policy.decision import ConsentRule
from ringfence.policy.document import Document, RouteRule
from ringfence.policy.faults import listed, quoted
from ringfence.policy.keys import UNHEDGED_TASKS
from ringfence.policy.place import Position
from ringfence.policy.reach import Reach
from ringfence.recipient import RINGS


def routes_in_vain(document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    """What a route names for nothing, or reaches further than it looks."""
    for rule in document.route:
        yield from _closed(rule, reach)
        yield from _overflow(rule, document, reach)
        yield from _never_fallback(rule)
        yield from _hedge(rule, document, reach)


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
    rings = _rings(document)
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


def _hedge(rule: RouteRule, document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    """Hedges that are never used, or hardly; and those that bring requests outward or cost twice."""
    if rule.hedge is None:
        return
    if tasks := _tasks(rule.when) & UNHEDGED_TASKS:
        yield rule.at, f"rule {quoted(rule.id)} has a hedge, and a request of task {listed(sorted(tasks))} gets none."
    rings = _rings(document)
    outermost = max((*rule.prefer, *(rule.overflow.to if rule.overflow else ())), key=rings.__getitem__)
    for name in rule.hedge.to:
        hedges, ring = f"rule {quoted(rule.id)} hedges", document.recipients[name].ring
        ways = {one[name] for one in reach.values() if name in one}
        if not ways:
            yield rule.at, f"{hedges} to {quoted(name)}, which flow lets nothing reach."
            continue
        if ways == {"ask"} and _consent(document, name).lasts == "request":
            never = "A hedge asks nobody, and a yes holds for one request, so it is hardly ever used"
            longer = f"consent: {{{name}: {{lasts: session}}}}"
            yield rule.at, f"{hedges} to {quoted(name)}, which needs consent. {never}. Add {longer}, or take it out."
        if rings[name] > rings[outermost]:
            slow = f"when {quoted(outermost)} is slow, requests are sent to ring '{ring}' as well where flow allows it"
            inner = document.recipients[outermost].ring
            yield rule.at, f"{hedges} outward, from '{inner}' to {quoted(name)}: {slow}."
        if ring == "partner":
            yield rule.at, f"{hedges} to partner {quoted(name)}: a request that is slow is paid for twice."


def _tasks(when: Condition | None) -> frozenset[str]:
    """The tasks that a route names as what it is for; empty where it names none."""
    if isinstance(when, TaskIn):
        return when.tasks
    return frozenset[str]().union(*map(_tasks, when.parts)) if isinstance(when, AllOf) else frozenset()


def _consent(document: Document, name: str) -> ConsentRule:
    return document.consent.get(name) or document.consent.get(document.recipients[name].ring) or ConsentRule()


def _rings(document: Document) -> dict[str, int]:
    """How far out each recipient is."""
    return {name: RINGS.index(one.ring) for name, one in document.recipients.items()}


__all__ = ["routes_in_vain"]
