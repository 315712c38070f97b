"""A condition → a closure over the facts of one request: `True`, `False`, or `None` where it is not evaluable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, assert_never

from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Fact,
    FactIn,
    FactRange,
    LabelIn,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TokensIn,
)
from ringfence.policy.facts import Facts

Test: TypeAlias = Callable[[Facts], bool | None]

_NO_BOUND = float("inf")


def compile_condition(condition: Condition, facts: Mapping[str, Fact]) -> Test:  # noqa: PLR0911  (one for each kind)
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
