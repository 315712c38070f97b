"""The allows, or the denies, of a file, arranged so that one request finds those that count in a few steps.

A condition is a conjunction of parts, and the same part stands in many rules: each distinct part is one closure, run
once for a request. Bounds on `input_tokens` are not even run: a bisection finds the rules that a number excludes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, compress
from typing import Final

from ringfence.policy.bits import Bits, from_flags, ones
from ringfence.policy.conditions import AllOf, Condition, Fact, TokensIn, reads_task
from ringfence.policy.document import Document, Effect, FlowRule
from ringfence.policy.evaluate import Test, compile_condition
from ringfence.policy.facts import Facts


class _Bounds:
    """The rules with a bound on `input_tokens`, by the bound."""

    def __init__(self, rules_of: Mapping[float, Bits]) -> None:
        self.values: Final = sorted(rules_of)
        ordered = [rules_of[value] for value in self.values]
        self.below: Final = [0, *accumulate(ordered, _union)]
        """At i: the rules whose bound is one of the first i."""
        self.above: Final = [*accumulate(reversed(ordered), _union, initial=0)][::-1]
        """At i: the rules whose bound is not one of the first i."""


def _union(left: Bits, right: Bits) -> Bits:
    return left | right


class _Conditions:
    """Which conditions are true, and which are not evaluable, for one request."""

    def __init__(self, rules: tuple[FlowRule, ...], facts: Mapping[str, Fact]) -> None:
        parts: dict[Condition, Bits] = {}
        over: dict[float, Bits] = {}
        most: dict[float, Bits] = {}
        for index, rule in enumerate(rules):
            for part in _parts(rule.when):
                if not isinstance(part, TokensIn):
                    parts[part] = parts.get(part, 0) | 1 << index
                    continue
                if part.range.over is not None:
                    over[part.range.over] = over.get(part.range.over, 0) | 1 << index
                if part.range.max is not None:
                    most[part.range.max] = most.get(part.range.max, 0) | 1 << index
        self._tests: tuple[tuple[Test, Bits], ...] = tuple(
            (compile_condition(part, facts), bits) for part, bits in parts.items()
        )
        self._over, self._most = _Bounds(over), _Bounds(most)
        self._every = (1 << len(rules)) - 1

    def holding(self, facts: Facts) -> tuple[Bits, Bits]:
        """The rules whose condition is true, or that have none; and those whose condition is not evaluable."""
        tokens = facts.input_tokens
        false = self._most.below[bisect_left(self._most.values, tokens)]
        false |= self._over.above[bisect_left(self._over.values, tokens)]
        unclear = 0
        for test, bits in self._tests:
            try:
                value = test(facts)
            except Exception:  # noqa: BLE001  INVARIANT: a condition that raised is not evaluable, never true.
                value = None
            if value is None:
                unclear |= bits
            elif not value:
                false |= bits
        return self._every & ~(false | unclear), unclear & ~false


def _parts(when: Condition | None) -> tuple[Condition, ...]:
    """The conditions that must all hold for `when` to hold."""
    if when is None:
        return ()
    return tuple(inner for part in when.parts for inner in _parts(part)) if isinstance(when, AllOf) else (when,)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTable:
    """The rules of one effect."""

    rules: tuple[FlowRule, ...]
    ids: tuple[str, ...]
    by_label: Mapping[str, Bits]
    layers: Mapping[str, Mapping[str, Bits]]
    """`by_label` again for the rules of each layer alone: of the file itself, "", and of every other that has any."""
    on_task: Bits
    """Those whose condition depends on the task."""
    conditions: _Conditions

    def chosen(self, bits: Bits) -> tuple[FlowRule, ...]:
        """The rules of `bits`, in file order."""
        return tuple(compress(self.rules, ones(bits)))

    def chosen_ids(self, bits: Bits) -> tuple[str, ...]:
        """Their ids."""
        if not bits & (bits - 1):  # none, or one, as in most decisions
            return (self.ids[bits.bit_length() - 1],) if bits else ()
        return tuple(compress(self.ids, ones(bits)))

    def with_labels(self, labels: Iterable[str]) -> Bits:
        """The rules that name any of `labels`."""
        return naming(self.by_label, labels)


def naming(by_label: Mapping[str, Bits], labels: Iterable[str]) -> Bits:
    """The rules of `by_label` that name any of `labels`."""
    found = 0
    for label in labels:
        found |= by_label.get(label, 0)
    return found


def rule_table(document: Document, effect: Effect) -> RuleTable:
    """The table of the rules of `document` with `effect`."""
    rules = tuple(rule for rule in document.flow if rule.effect == effect)
    by_label = {
        label: from_flags(rule.labels is None or label in rule.labels for rule in rules) for label in document.labels
    }
    return RuleTable(
        rules=rules,
        ids=tuple(rule.id for rule in rules),
        by_label=by_label,
        layers=_layers(rules, by_label),
        on_task=from_flags(rule.when is not None and reads_task(rule.when) for rule in rules),
        conditions=_Conditions(rules, document.facts),
    )


def _layers(rules: tuple[FlowRule, ...], by_label: Mapping[str, Bits]) -> dict[str, Mapping[str, Bits]]:
    layers: dict[str, Mapping[str, Bits]] = {}
    # INVARIANT: the file itself is a layer, also where all its rules come from others.
    for name in dict.fromkeys(("", *(rule.layer for rule in rules))):
        own = from_flags(rule.layer == name for rule in rules)
        layers[name] = {label: bits & own for label, bits in by_label.items()}
    return layers
