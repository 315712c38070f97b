"""z3 as the oracle: its own encoding of random policies holds and refutes the same invariants as the proof does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy import drawn_policies as drawn

from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    FactIn,
    FactRange,
    LabelIn,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TimeIn,
    TokensIn,
    reads_task,
)
from ringfence.policy.document import Document, FlowRule, Invariant, RouteRule
from ringfence.policy.prove import prove
from ringfence.request import TASKS

z3: Any = pytest.importorskip("z3")

Pair = tuple[Any, Any]
"""When a condition is true, and when it is not false."""


class Oracle:
    """One document in z3. It shares nothing with the proof but the data."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.tasks = [*TASKS, *document.tasks]
        self.task, self.tokens, self.minute = z3.Int("task"), z3.Int("tokens"), z3.Int("minute")
        self.labels = {name: z3.Bool(f"label {name}") for name in document.labels}
        self.modality: dict[str, Any] = {name: z3.Bool(f"modality {name}") for name in drawn.MODALITIES}
        self.known: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        for name, fact in document.facts.items():
            self.known[name] = z3.Bool(f"known {name}")
            sort = {"enum": z3.String, "bool": z3.Bool, "int": z3.Int, "number": z3.Real}[fact.type]
            self.values[name] = sort(name)

    def world(self) -> Any:
        held = [self.tokens >= 0, self.minute >= -1, self.minute < 10080, self.task >= -1, self.task < len(self.tasks)]
        held.append(z3.Or(*self.labels.values()))
        for name, fact in self.document.facts.items():
            if fact.type == "enum":
                held.append(z3.Or(*(self.values[name] == value for value in fact.values)))
            held += [self.values[name] >= fact.min] if fact.min is not None else []
            held += [self.values[name] <= fact.max] if fact.max is not None else []
        return z3.And(*held)

    def condition(self, when: Condition | None) -> Pair:  # noqa: PLR0911  (one for each kind)
        match when:
            case None:
                return True, True
            case AllOf(parts):
                pairs = [self.condition(part) for part in parts]
                return z3.And(*(true for true, _ in pairs)), z3.And(*(maybe for _, maybe in pairs))
            case AnyOf(parts):
                pairs = [self.condition(part) for part in parts]
                return z3.Or(*(true for true, _ in pairs)), z3.Or(*(maybe for _, maybe in pairs))
            case Not(part):
                true, maybe = self.condition(part)
                return z3.Not(maybe), z3.Not(true)
            case FactIn(name, values):
                return self.if_known(self.known[name], z3.Or(*(self.values[name] == value for value in values)))
            case FactRange(name, bounds):
                return self.if_known(self.known[name], within(self.values[name], bounds))
            case TimeIn():
                return self.if_known(self.minute >= 0, self.moment(when))
            case Cel(expression):
                return self.if_known(z3.Bool(f"known cel {expression}"), z3.Bool(f"cel {expression}"))
            case _:
                plain = self.plain(when)
                return plain, plain

    def plain(self, when: TaskIn | ModalityIn | TokensIn | LabelIn) -> Any:
        match when:
            case TaskIn(tasks):
                numbers = [index for index, task in enumerate(self.tasks) if task in tasks]
                return z3.Or(*(self.task == number for number in [*numbers, *([-1] if "other" in tasks else [])]))
            case ModalityIn(modalities):
                return z3.Or(*(self.modality[name] for name in modalities))
            case TokensIn(bounds):
                return within(self.tokens, bounds)
            case LabelIn(labels):
                return z3.Or(*(self.labels[name] for name in labels))

    def if_known(self, known: Any, value: Any) -> Pair:
        return z3.And(known, value), z3.Or(z3.Not(known), value)

    def moment(self, when: TimeIn) -> Any:
        at = self.minute % 1440
        pieces = (at >= when.start, at < when.end)
        inside = z3.Or(*pieces) if when.end <= when.start else z3.And(*pieces)
        return z3.And(z3.Or(*(self.minute / 1440 == day for day in when.days)), inside)

    def counts(self, rule: FlowRule) -> Any:
        true, maybe = self.condition(rule.when)
        if rule.effect == "allow":
            return true
        return z3.Or(maybe, self.task == -1) if rule.when is not None and reads_task(rule.when) else maybe

    def matching(self, allows: Iterable[FlowRule], label: str) -> list[FlowRule]:
        return [rule for rule in allows if rule.labels is None or label in rule.labels]

    def allowed(self, allows: list[FlowRule], denies: list[FlowRule]) -> Any:
        layers = {"", *(rule.layer for rule in self.document.flow if rule.effect == "allow")}
        held = [
            z3.Implies(
                carried, z3.Or(*(self.counts(rule) for rule in self.matching(allows, label) if rule.layer == layer))
            )
            for label, carried in self.labels.items()
            for layer in sorted(layers)
        ]
        held += [
            z3.Implies(carried, z3.Not(self.counts(rule)))
            for label, carried in self.labels.items()
            for rule in self.matching(denies, label)
        ]
        return z3.And(*held)

    def obliged(self, allows: list[FlowRule], label: str) -> Any:
        return z3.And(self.labels[label], z3.Or(*(self.counts(rule) for rule in self.matching(allows, label))))

    def targets(self, to: frozenset[str]) -> list[tuple[list[FlowRule], list[FlowRule]]]:
        flow = self.document.flow
        found = [
            (
                [one for one in flow if one.effect == "allow" and one.names(to_) and not one.require.unmet(to_)],
                [one for one in flow if one.effect == "deny" and one.names(to_)],
            )
            for to_ in self.document.recipients.values()
            if to_.name in to or to_.ring in to
        ]
        for ring in {tool.ring for tool in self.document.tools.values()} & to:
            naming = [one for one in flow if ring in one.to]
            free = [one for one in naming if one.effect == "allow" and not one.require.attested]
            free = [one for one in free if one.require.retention is None and not one.require.regions]
            found.append((free, [one for one in naming if one.effect == "deny"]))
        return found

    def bad(self, invariant: Invariant) -> Any:
        scope = [self.world(), self.condition(invariant.when)[0]]
        if invariant.tasks is not None:
            scope.append(self.plain(TaskIn(invariant.tasks)))
        if invariant.labels is not None:
            scope.append(z3.Or(*(self.labels[label] for label in invariant.labels)))
        ways = self.strays(invariant) if invariant.kind == "only" else self.leaks(invariant)
        return z3.And(*scope, z3.Or(*ways))

    def leaks(self, invariant: Invariant) -> Iterable[Any]:
        for allows, denies in self.targets(invariant.to):
            for label in invariant.labels or self.labels:
                way = [self.allowed(allows, denies), self.labels[label]]
                if invariant.unless_redacted:
                    way.append(z3.Not(self.obliged([one for one in allows if one.redact], label)))
                if invariant.kind == "consent" or invariant.unless_attested:
                    asking = [
                        one for one in allows if (one.consent if invariant.kind == "consent" else one.require.attested)
                    ]
                    # Of a whole request: what one of its labels obliges to holds for all of it.
                    way += [z3.Not(self.obliged(asking, other)) for other in self.labels]
                yield z3.And(*way)

    def strays(self, invariant: Invariant) -> Iterable[Any]:
        before: list[Any] = []
        for rule in self.document.route:
            matches = self.condition(rule.when)[0]
            names = {*rule.prefer, *rule.fallback, *(rule.overflow.to if rule.overflow else ())}
            for name in names - self.document.reached(invariant.to):
                for allows, denies in self.targets(frozenset({name})):
                    yield z3.And(matches, *before, self.allowed(allows, denies))
            yield from (z3.And(matches, *before, way) for way in self.hedges(rule, names, invariant))
            before.append(z3.Not(matches))

    def hedges(self, rule: RouteRule, alone: set[str], invariant: Invariant) -> Iterable[Any]:
        """Who is reached only beside another: one that flow allows too, for a task that is hedged."""
        beside = {*rule.prefer, *(rule.overflow.to if rule.overflow else ())}
        hedged = z3.Not(self.plain(TaskIn(frozenset({"image", "embed", "speak"}))))
        for name in set(rule.hedge.to if rule.hedge else ()) - alone - self.document.reached(invariant.to):
            for other in beside:
                both = [self.allowed(*next(iter(self.targets(frozenset({one}))))) for one in (name, other)]
                yield z3.And(hedged, *both)


def within(number: Any, bounds: Range) -> Any:
    held = [number > bounds.over] if bounds.over is not None else []
    return z3.And(*held, *([number <= bounds.max] if bounds.max is not None else []))


@given(st.integers(0, 2**32))
def test_z3_proves_and_refutes_the_same_invariants_and_knows_no_request_with_fewer_labels(seed: int) -> None:
    random = Random(seed)
    document = drawn.document(random, cel=True)
    invariants = tuple(drawn.invariant(random, cel=True) for _ in range(3))
    oracle = Oracle(document)
    for proof, invariant in zip(prove(replace(document, invariants=invariants)), invariants, strict=True):
        solver = z3.Solver()
        solver.add(oracle.bad(invariant))
        assert proof.holds == (solver.check() == z3.unsat)
        if proof.counterexample is not None:
            fewer = len(proof.counterexample.facts.labels) - 1
            assert solver.check(z3.AtMost(*oracle.labels.values(), fewer)) == z3.unsat
