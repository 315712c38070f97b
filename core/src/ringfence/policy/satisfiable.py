"""Whether a condition can be true at all: exact, because every matcher speaks of one variable with a known domain.

A condition is written as alternatives, each of which allows every variable some of its values; one that leaves a
variable none is dropped. What would need too many alternatives is given up on: a check that is not made is not a fault.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    Fact,
    FactIn,
    FactRange,
    LabelIn,
    Matcher,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TimeIn,
    TokensIn,
)
from ringfence.policy.keys import OTHER_TASK
from ringfence.policy.times import MINUTES_OF_A_DAY, MINUTES_OF_A_WEEK

MAX_ALTERNATIVES: Final = 500
MAX_STEPS: Final = 500_000
"""Matchers and pairs of alternatives that are looked at for one file: about a second."""
_ABSENT: Final = "(absent)"
_MINUTE: Final = ("minute", "")

Variable: TypeAlias = tuple[str, str]
Allowed: TypeAlias = frozenset[Hashable] | Range
Alternative: TypeAlias = Mapping[Variable, Allowed]
Alternatives: TypeAlias = tuple[Alternative, ...]

EVERYTHING: Final[Alternatives] = ({},)


class TooMany(Exception):
    """More alternatives than are worth looking at, or no step is left."""


class Steps:
    """How many pairs of alternatives may still be looked at for one file, so that no file can take long."""

    __slots__ = ("_left",)

    def __init__(self, most: int = MAX_STEPS) -> None:
        self._left = most

    def take(self, steps: int) -> None:
        """Takes `steps`. Raises: TooMany."""
        if steps > self._left:
            raise TooMany
        self._left -= steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """The values that variables can have in one file."""

    tasks: frozenset[str]
    facts: Mapping[str, Fact]
    steps: Steps = field(default_factory=Steps)

    def true(self, condition: Condition | None) -> Alternatives:
        """When `condition` is true. Raises: TooMany."""
        return EVERYTHING if condition is None else self._alternatives(condition, truth=True, or_unclear=False)

    def not_true(self, condition: Condition | None) -> Alternatives:
        """When it is false or not evaluable. Raises: TooMany."""
        return () if condition is None else self._alternatives(condition, truth=False, or_unclear=True)

    def not_false(self, condition: Condition | None) -> Alternatives:
        """When it is true or not evaluable. Raises: TooMany."""
        return EVERYTHING if condition is None else self._alternatives(condition, truth=True, or_unclear=True)

    def both(self, *each: Alternatives) -> Alternatives:
        """The alternatives in which all of `each` hold. Raises: TooMany."""
        found = EVERYTHING
        for alternatives in each:
            self.steps.take(len(found) * len(alternatives))
            joined = [one for left in found for right in alternatives if (one := _join(left, right)) is not None]
            if len(joined) > MAX_ALTERNATIVES:
                raise TooMany
            found = tuple(joined)
        return found

    def _alternatives(self, condition: Condition, *, truth: bool, or_unclear: bool) -> Alternatives:
        match condition:
            case Not(part):
                return self._alternatives(part, truth=not truth, or_unclear=or_unclear)
            case AllOf(parts) | AnyOf(parts):
                each = (self._alternatives(part, truth=truth, or_unclear=or_unclear) for part in parts)
                return self.both(*each) if isinstance(condition, AllOf) is truth else _either(each)
            case _:
                self.steps.take(1)
                return self._matcher(condition, truth=truth, or_unclear=or_unclear)

    def _matcher(  # noqa: PLR0911  (one for each kind)
        self, matcher: Matcher, *, truth: bool, or_unclear: bool
    ) -> Alternatives:
        match matcher:
            case TaskIn(tasks):
                return _values(("task", ""), tasks if truth else (self.tasks | {OTHER_TASK}) - tasks)
            case ModalityIn(members) | LabelIn(members):
                return _members(type(matcher).__name__, members, truth=truth)
            case TokensIn(bounds):
                return _ranged(("input_tokens", ""), bounds, Range(over=-1), truth=truth)
            case FactIn(name, values):
                return self._fact_in(name, values, truth=truth, or_unclear=or_unclear)
            case FactRange(name, bounds):
                found = _ranged(("fact", name), bounds, _domain(self.facts[name]), truth=truth)
                return (*found, *_values(("fact", name), {_ABSENT})) if or_unclear else found
            case TimeIn():
                found = _timed(matcher, truth=truth)
                return (*found, *_values(_MINUTE, {_ABSENT})) if or_unclear else found
            case Cel(expression):
                # Nothing is known of it but that one text has one answer: true, false, or none.
                return _values(("cel", expression), {truth, _ABSENT} if or_unclear else {truth})

    def _fact_in(self, name: str, values: frozenset[str | bool], *, truth: bool, or_unclear: bool) -> Alternatives:
        fact = self.facts[name]
        domain = frozenset[str | bool](fact.values) if fact.type == "enum" else frozenset[str | bool]({True, False})
        found = domain & values if truth else domain - values
        return _values(("fact", name), {*found, _ABSENT} if or_unclear else found)


def _either(each: Iterable[Alternatives]) -> Alternatives:
    found = tuple(alternative for alternatives in each for alternative in alternatives)
    if len(found) > MAX_ALTERNATIVES:
        raise TooMany
    return found


def _join(left: Alternative, right: Alternative) -> Alternative | None:
    joined = dict(left)
    for variable, allowed in right.items():
        both_allowed = _common(joined[variable], allowed) if variable in joined else allowed
        if both_allowed is None:
            return None
        joined[variable] = both_allowed
    return joined


def _common(left: Allowed, right: Allowed) -> Allowed | None:
    if isinstance(left, Range) and isinstance(right, Range):
        found = Range(over=_larger(left.over, right.over), max=_smaller(left.max, right.max))
        return None if found.empty else found
    if isinstance(left, Range) or isinstance(right, Range):
        return None  # a number on one side, absent on the other
    return (left & right) or None


def _larger(left: float | None, right: float | None) -> float | None:
    return left if right is None else right if left is None else max(left, right)


def _smaller(left: float | None, right: float | None) -> float | None:
    return left if right is None else right if left is None else min(left, right)


def _values(variable: Variable, values: Iterable[Hashable]) -> Alternatives:
    allowed = frozenset(values)
    return ({variable: allowed},) if allowed else ()


def _members(kind: str, members: frozenset[str], *, truth: bool) -> Alternatives:
    """A set has one of `members`, or none of them: each member is a variable that is in or out."""
    if truth:
        return tuple({(kind, member): frozenset({True})} for member in sorted(members))
    return ({(kind, member): frozenset({False}) for member in members},)


def _ranged(variable: Variable, bounds: Range, domain: Range, *, truth: bool) -> Alternatives:
    ranges = [bounds] if truth else _outside(bounds)
    found = (_common(one, domain) for one in ranges)
    return tuple({variable: one} for one in found if one is not None)


def _timed(when: TimeIn, *, truth: bool) -> Alternatives:
    """The stretches of the week, as few as there are, in which the moment is, or is not."""
    wraps = when.end <= when.start
    stretches = [(0, when.end), (when.start, MINUTES_OF_A_DAY)] if wraps else [(when.start, when.end)]
    inside = [
        (day * MINUTES_OF_A_DAY + start, day * MINUTES_OF_A_DAY + end)
        for day in sorted(when.days)
        for start, end in stretches
    ]
    edges = [edge for stretch in inside for edge in stretch]
    if not truth:
        edges = [0, *edges, MINUTES_OF_A_WEEK]
    # Where one stretch ends and the next begins at once, they are one.
    kept = [edge for edge in edges if edges.count(edge) == 1]
    return tuple(
        {_MINUTE: Range(over=start - 1, max=end - 1)} for start, end in zip(kept[::2], kept[1::2], strict=True)
    )


def _outside(bounds: Range) -> list[Range]:
    below = [Range(max=bounds.over)] if bounds.over is not None else []
    return [*below, Range(over=bounds.max)] if bounds.max is not None else below


def _domain(fact: Fact) -> Range:
    if fact.min is None:
        return Range(max=fact.max)
    return Range(over=fact.min - 1 if fact.type == "int" else math.nextafter(fact.min, -math.inf), max=fact.max)
