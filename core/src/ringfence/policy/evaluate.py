"""A condition → a closure over the facts of one request: `True`, `False`, or `None` where it is not evaluable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    Fact,
    FactIn,
    FactRange,
    LabelIn,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TimeIn,
    TokensIn,
)
from ringfence.policy.facts import Facts
from ringfence.policy.times import MINUTES_OF_A_DAY

Test: TypeAlias = Callable[[Facts], bool | None]

_NO_BOUND = float("inf")


def compile_condition(condition: Condition, facts: Mapping[str, Fact]) -> Test:  # noqa: C901, PLR0911  (one for each kind)
    """The test of `condition`, in three-valued logic: a fact that is absent or not admitted is `None`."""
    match condition:
        case TaskIn(tasks):
            return lambda request: request.task in tasks
        case ModalityIn(modalities):
            return lambda request: not modalities.isdisjoint(request.modality)
        case LabelIn(labels):
            return lambda request: not labels.isdisjoint(request.labels)
        case TokensIn(bounds):
            over, most = _bounds(bounds)
            return lambda request: over < request.input_tokens <= most
        case FactIn(name, values):
            return _value_test(name, values, facts[name])
        case FactRange(name, bounds):
            return _range_test(name, bounds, facts[name])
        case TimeIn():
            return _time_test(condition)
        case Cel():
            from ringfence.policy.cel import compile_cel  # noqa: PLC0415  (only for a file with such a condition)

            return compile_cel(condition, facts)
        case AllOf(parts):
            return _all_test(tuple(compile_condition(part, facts) for part in parts))
        case AnyOf(parts):
            return _any_test(tuple(compile_condition(part, facts) for part in parts))
        case Not(part):
            return _not_test(compile_condition(part, facts))
        case _:
            assert_never(condition)


def _bounds(bounds: Range) -> tuple[float, float]:
    over = -_NO_BOUND if bounds.over is None else bounds.over
    return over, _NO_BOUND if bounds.max is None else bounds.max


def _value_test(name: str, values: frozenset[str | bool], fact: Fact) -> Test:
    def test(request: Facts) -> bool | None:
        value = request.values.get(name)
        return value in values if fact.admits(value) else None

    return test


def _range_test(name: str, bounds: Range, fact: Fact) -> Test:
    over, most = _bounds(bounds)

    def test(request: Facts) -> bool | None:
        value = request.values.get(name)
        if isinstance(value, str) or value is None or not fact.admits(value):
            return None
        return over < value <= most

    return test


def _time_test(when: TimeIn) -> Test:
    days, start, end = when.days, when.start, when.end

    def test(request: Facts) -> bool | None:
        if request.minute is None:
            return None
        day, minute = divmod(request.minute, MINUTES_OF_A_DAY)
        in_time = start <= minute < end if start < end else minute >= start or minute < end
        return in_time and day in days

    return test


def _all_test(tests: tuple[Test, ...]) -> Test:
    def test(request: Facts) -> bool | None:
        result: bool | None = True
        for part in tests:
            value = part(request)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return test


def _any_test(tests: tuple[Test, ...]) -> Test:
    def test(request: Facts) -> bool | None:
        result: bool | None = False
        for part in tests:
            value = part(request)
            if value:
                return True
            if value is None:
                result = None
        return result

    return test


def _not_test(inner: Test) -> Test:
    def test(request: Facts) -> bool | None:
        value = inner(request)
        return None if value is None else not value

    return test
