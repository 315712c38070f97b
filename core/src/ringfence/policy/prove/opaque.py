"""A document whose CEL expressions are facts: a proof holds whatever they return, and the interpreter can be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias, TypeVar

from ringfence.policy.conditions import AllOf, AnyOf, Cel, Condition, Fact, FactIn, Matcher, Not, TaskIn, TimeIn
from ringfence.policy.document import Document, FlowRule, Invariant, RouteRule

_Rule = TypeVar("_Rule", FlowRule, RouteRule, Invariant)
Rename: TypeAlias = Callable[[Matcher], str | None]
"""The name of the fact that a matcher becomes; `None` leaves it as it is."""

_READS_TASK = TaskIn(frozenset())
"""Never true, and it reads the task: so a deny that may read it still applies to a task the file does not know."""


def cel_alone(matcher: Matcher) -> str | None:
    """A fact for each CEL expression."""
    return f"cel {matcher.expression!r}" if isinstance(matcher, Cel) else None


def opaque(document: Document, rename: Rename = cel_alone) -> Document:
    """`document` with a fact, true, false or absent, in place of each matcher that `rename` gives a name."""
    names: dict[str, Fact] = {}

    def condition(when: Condition) -> Condition:
        match when:
            case AllOf(parts):
                return AllOf(tuple(condition(part) for part in parts))
            case AnyOf(parts):
                return AnyOf(tuple(condition(part) for part in parts))
            case Not(part):
                return Not(condition(part))
            case _:
                return matcher(when)

    def matcher(one: Matcher) -> Condition:
        name = rename(one)
        if name is None:
            return one
        names[name] = Fact(type="bool")
        fact = FactIn(name, frozenset({True}))
        return fact if isinstance(one, TimeIn) else AnyOf((fact, _READS_TASK))

    def rules(all_: tuple[_Rule, ...]) -> tuple[_Rule, ...]:
        return tuple(one if one.when is None else replace(one, when=condition(one.when)) for one in all_)

    flow, route, invariants = rules(document.flow), rules(document.route), rules(document.invariants)
    if not names:
        return document
    return replace(document, flow=flow, route=route, invariants=invariants, facts={**document.facts, **names})
