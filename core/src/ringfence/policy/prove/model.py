"""What a document decides, as sets of requests: written from the text of the language, equal to the interpreter.

A request reaches a recipient exactly where each of its labels does alone: what one label asks for depends on the other
variables and not on the other labels. So one label is always enough to show that a rule lets too much through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, assert_never

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
    TaskIn,
    TimeIn,
    TokensIn,
    reads_task,
)
from ringfence.policy.decision import REDACTIONS, Redaction
from ringfence.policy.document import Document, FlowRule, Invariant, Require, RouteRule
from ringfence.policy.keys import OTHER_TASK, UNHEDGED_TASKS
from ringfence.policy.prove.diagram import EVERYTHING, NOTHING, Diagrams, Set
from ringfence.policy.prove.variables import Key, Value, Variable, knows_task, variables_of
from ringfence.policy.times import MINUTES_OF_A_DAY
from ringfence.recipient import Recipient, Ring

WORK_LIMIT = 500_000
"""The steps that one file's proof may take: some seconds."""

Chooses: TypeAlias = Callable[[FlowRule], bool]


class World:
    """Every request that the rules of some documents can tell apart."""

    def __init__(self, documents: Sequence[Document], *, limit: int = WORK_LIMIT) -> None:
        conditions = [when for one in documents for when in _conditions(one)]
        self.variables = variables_of(documents, conditions)
        self.place: dict[Key, int] = {one.key: place for place, one in enumerate(self.variables)}
        self.diagrams = Diagrams([len(one.values) for one in self.variables], limit=limit)
        self.costs = [one.costs for one in self.variables]

    def where(self, key: Key, holds: Callable[[Value], bool]) -> Set:
        """The requests whose value of a variable fulfils `holds`."""
        place = self.place[key]
        values = self.variables[place].values
        return self.diagrams.among(place, (index for index, value in enumerate(values) if holds(value)))

    def variable(self, key: Key) -> tuple[int, Variable]:
        """A variable and its place."""
        place = self.place[key]
        return place, self.variables[place]


@dataclass(frozen=True, slots=True)
class Truth:
    """The requests for which a condition is true, and those for which it is not false."""

    true: Set
    possible: Set


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A recipient, or a ring as its tools see it: the rules that decide for it."""

    name: str
    ring: Ring
    allows: tuple[FlowRule, ...]
    denies: tuple[FlowRule, ...]
    tool: bool = False


class Model:
    """One document in a world."""

    def __init__(self, world: World, document: Document) -> None:
        self.world = world
        self.document = document
        self._diagrams = world.diagrams
        self._truths: dict[Condition, Truth] = {}
        self._counting: dict[int, Set] = {}
        self._admitting: dict[str, Set] = {}
        self._targets: dict[str, Target] = {}
        self._reaching: dict[tuple[bool, str, str], Set] = {}
        self._layers = tuple(dict.fromkeys(("", *(rule.layer for rule in document.flow if rule.effect == "allow"))))
        self._unknown_task = world.where(("task", ""), lambda task: not knows_task(document, str(task)))

    def recipient(self, recipient: Recipient) -> Target:
        """The rules that name a recipient or its ring, less the allows whose requirements on it are not met."""
        found = self._targets.get(recipient.name)
        if found is None:
            self._diagrams.look(len(self.document.flow))
            found = self._targets[recipient.name] = Target(
                name=recipient.name,
                ring=recipient.ring,
                allows=self.document.allowing(recipient),
                denies=tuple(one for one in self.document.flow if one.effect == "deny" and one.names(recipient)),
            )
        return found

    def tool(self, name: str) -> Target:
        """The rules that name the ring of a tool, less the allows that require anything."""
        ring = self.document.tools[name].ring
        self._diagrams.look(len(self.document.flow))
        naming = [rule for rule in self.document.flow if ring in rule.to]
        return Target(
            name=name,
            ring=ring,
            allows=tuple(one for one in naming if one.effect == "allow" and one.require == Require()),
            denies=tuple(one for one in naming if one.effect == "deny"),
            tool=True,
        )

    def reaches(self, target: Target, label: str) -> Set:
        """The requests whose content with `label` is allowed to `target`."""
        key = (target.tool, target.name, label)
        found = self._reaching.get(key)
        if found is None:
            found = self._reaching[key] = self._reaches(target, label)
        self._diagrams.look(1)
        return found

    def _reaches(self, target: Target, label: str) -> Set:
        self._diagrams.look(len(target.allows) * len(self._layers) + len(target.denies))
        covered = (
            self._union(rule for rule in target.allows if rule.layer == layer and self._names(rule, label))
            for layer in self._layers
        )
        allowed = self._diagrams.both(*covered)
        if allowed == NOTHING:
            return NOTHING
        denied = self._union(rule for rule in target.denies if self._names(rule, label))
        return self._diagrams.both(allowed, self._diagrams.outside(denied))

    def obliged(self, target: Target, label: str, chosen: Chooses) -> Set:
        """The requests in which one of the `chosen` allows that cover `label` counts, and so obliges."""
        self._diagrams.look(len(target.allows))
        return self._union(rule for rule in target.allows if chosen(rule) and self._names(rule, label))

    def routed(self) -> Iterable[tuple[RouteRule, Set]]:
        """Each route with the requests that it is the first to match."""
        left = EVERYTHING
        for rule in self.document.route:
            self._diagrams.look(1)
            matches = self.truth(rule.when).true
            yield rule, self._diagrams.both(left, matches)
            left = self._diagrams.both(left, self._diagrams.outside(matches))

    @cached_property
    def hedgeable(self) -> Set:
        """The requests that may be sent to two recipients at once."""
        return self.world.where(("task", ""), lambda task: self._matched(str(task)) not in UNHEDGED_TASKS)

    def truth(self, condition: Condition | None) -> Truth:
        """When `condition` is true, and when it is not false."""
        if condition is None:
            return Truth(EVERYTHING, EVERYTHING)
        found = self._truths.get(condition)
        if found is None:
            found = self._truths[condition] = self._truth(condition)
        return found

    def _truth(self, condition: Condition) -> Truth:  # noqa: PLR0911  (one for each kind)
        sets = self._diagrams
        match condition:
            case AllOf(parts):
                all_ = [self.truth(part) for part in parts]
                return Truth(sets.both(*(one.true for one in all_)), sets.both(*(one.possible for one in all_)))
            case AnyOf(parts):
                any_ = [self.truth(part) for part in parts]
                return Truth(sets.union(one.true for one in any_), sets.union(one.possible for one in any_))
            case Not(part):
                inner = self.truth(part)
                return Truth(sets.outside(inner.possible), sets.outside(inner.true))
            case FactIn(name, values):
                admitted = self._admitted(name)
                true = self.world.where(("fact", name), lambda value: _among(value, values))
                return self._unless_absent(true, admitted)
            case FactRange(name, bounds):
                admitted = self._admitted(name)
                place, variable = self.world.variable(("fact", name))
                return self._unless_absent(self._runs(place, variable.runs(bounds)), admitted)
            case TimeIn():
                return self._time(condition)
            case _:
                always = self._always_known(condition)
                return Truth(always, always)

    def _always_known(self, matcher: TaskIn | ModalityIn | TokensIn | LabelIn | Cel) -> Set:
        match matcher:
            case TaskIn(tasks):
                return self.world.where(("task", ""), lambda task: self._matched(str(task)) in tasks)
            case ModalityIn(modalities):
                some = modalities
                return self.world.where(("modality", ""), lambda had: isinstance(had, frozenset) and bool(had & some))
            case TokensIn(bounds):
                place, variable = self.world.variable(("tokens", ""))
                return self._runs(place, variable.runs(bounds))
            case LabelIn(labels):
                return self._diagrams.union(self.world.where(("label", label), bool) for label in sorted(labels))
            case Cel():
                raise AssertionError("a CEL expression is made a fact before it is proved about")
            case _:
                assert_never(matcher)

    def _matched(self, task: str) -> str:
        return task if knows_task(self.document, task) else OTHER_TASK

    def _admitted(self, name: str) -> Set:
        found = self._admitting.get(name)
        if found is None:
            found = self._admitting[name] = self.world.where(("fact", name), self.document.facts[name].admits)
        return found

    def _unless_absent(self, true: Set, admitted: Set) -> Truth:
        # INVARIANT: a fact that is absent or not admitted is not evaluable.
        true = self._diagrams.both(true, admitted)
        return Truth(true, self._diagrams.either(true, self._diagrams.outside(admitted)))

    def _runs(self, place: int, runs: Iterable[tuple[int, int]]) -> Set:
        return self._diagrams.union(self._diagrams.within(place, start, end) for start, end in runs)

    def _time(self, moment: TimeIn) -> Truth:
        days = self.world.where(("day", ""), lambda day: day in moment.days)
        known = self.world.where(("day", ""), lambda day: day is not None)
        over_midnight = moment.end <= moment.start

        def within(minute: Value) -> bool:
            at = int(minute) if isinstance(minute, int) else MINUTES_OF_A_DAY
            return at >= moment.start or at < moment.end if over_midnight else moment.start <= at < moment.end

        return self._unless_absent(self._diagrams.both(days, self.world.where(("minute", ""), within)), known)

    def _union(self, rules: Iterable[FlowRule]) -> Set:
        return self._diagrams.union(self._counts(rule) for rule in rules)

    def _counts(self, rule: FlowRule) -> Set:
        """INVARIANT: an allow counts only if true; a deny if true, not evaluable, or on a task that is not known."""
        found = self._counting.get(id(rule))
        if found is None:
            found = self.truth(rule.when).true
            if rule.effect == "deny":
                found = self.truth(rule.when).possible
                if rule.when is not None and reads_task(rule.when):
                    found = self._diagrams.either(found, self._unknown_task)
            self._counting[id(rule)] = found
        return found

    def _names(self, rule: FlowRule, label: str) -> bool:
        # INVARIANT: a label that the file does not declare is covered by nothing, not by "*" either.
        return label in self.document.labels if rule.labels is None else label in rule.labels


def asks_consent(rule: FlowRule) -> bool:
    """Whether an allow wants a person asked."""
    return rule.consent


def attests(rule: FlowRule) -> bool:
    """Whether an allow wants its recipient attested."""
    return rule.require.attested


def redacts(least: Redaction = REDACTIONS[0]) -> Chooses:
    """Whether an allow wants redaction, at least as strict as `least`."""
    kinds = REDACTIONS[REDACTIONS.index(least) :]
    return lambda rule: rule.redact in kinds


def planned(rule: RouteRule) -> tuple[str, ...]:
    """Every recipient that a route can lead to by itself."""
    return tuple(dict.fromkeys((*hedged(rule), *rule.fallback)))


def hedged(rule: RouteRule) -> tuple[str, ...]:
    """The recipients beside which another can be sent to."""
    return tuple(dict.fromkeys((*rule.prefer, *(rule.overflow.to if rule.overflow is not None else ()))))


def only_hedges(rule: RouteRule) -> tuple[str, ...]:
    """The recipients that a route can lead to only beside one of `hedged`."""
    return tuple(name for name in (rule.hedge.to if rule.hedge is not None else ()) if name not in planned(rule))


def _among(value: Value, values: frozenset[str | bool]) -> bool:
    return isinstance(value, str | bool) and value in values


def _conditions(document: Document) -> Iterable[Condition]:
    rules: tuple[FlowRule | RouteRule | Invariant, ...] = (*document.flow, *document.route, *document.invariants)
    yield from (rule.when for rule in rules if rule.when is not None)
    # An invariant's tasks are a condition as well.
    yield from (TaskIn(one.tasks) for one in document.invariants if one.tasks is not None)
