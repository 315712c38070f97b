"""What proving four invariants costs at 8, 142 and 1,342 flow rules, beside z3 on the same rules in the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.benchmarks.clock import median, ratios, take_turns
from tests.benchmarks.decisions import policy_of
from tests.benchmarks.row import Bar, Row
from tests.benchmarks.setting import Setting

from ringfence.policy import Document
from ringfence.policy.conditions import AllOf, Condition, FactIn, FactRange, Range, TaskIn, TokensIn
from ringfence.policy.document import FlowRule, Invariant
from ringfence.policy.prove import prove

SIZES = (8, 142, 1_342)
_OUTER = frozenset({"house", "partner"})
_WORK = FlowRule(id="work", effect="deny", labels=frozenset({"work"}), to=_OUTER)
_HEALTH = FlowRule(id="health", effect="deny", labels=frozenset({"health"}), to=frozenset({"partner"}))
_SHORT = FlowRule(id="short", effect="deny", labels=None, to=_OUTER, when=TaskIn(frozenset({"notification_summary"})))
_PUBLIC = FlowRule(
    id="public",
    effect="allow",
    labels=frozenset({"public", "contact", "identity"}),
    to=frozenset({"partner"}),
    consent=True,
)
_INVARIANTS = (
    Invariant(kind="never", labels=frozenset({"health"}), to=frozenset({"partner"})),
    Invariant(kind="never", labels=frozenset({"work"}), to=_OUTER, unless_redacted=True),
    Invariant(kind="consent", to=frozenset({"partner"})),
    Invariant(
        kind="only",
        tasks=frozenset({"notification_summary"}),
        to=frozenset({"device"}),
        when=TokensIn(Range(max=1500)),
    ),
)


def document_of(count: int) -> Document:
    """A policy of `count` flow rules for which the four invariants hold, each because of one of its rules."""
    document = policy_of(count - 4).document
    return replace(document, flow=(*document.flow, _WORK, _HEALTH, _SHORT, _PUBLIC), invariants=_INVARIANTS)


def rows(setting: Setting) -> list[Row]:
    """Each size in turn: the proof that every load runs, and z3 where it is installed."""
    found: list[Row] = []
    for size in SIZES:
        document = document_of(size)
        if not all(proof.holds for proof in prove(document)):
            raise RuntimeError("an invariant of the benchmark does not hold")
        works: dict[str, Callable[[], object]] = {"own": partial(prove, document)}
        z3 = _z3()
        if z3 is not None:
            works["z3"] = partial(_with_z3, z3, document)
        taken = take_turns(works, rounds=setting.rounds(9))
        each_ms = {name: [used * 1e3 for used in rounds] for name, rounds in taken.items()}
        found.append(
            Row(
                group="prove",
                what=f"four invariants at {size:,} rules",
                value=median(each_ms["own"]),
                unit="ms",
                lowest=min(each_ms["own"]),
            )
        )
        if z3 is not None:
            shares = ratios(each_ms["own"], each_ms["z3"])
            found.append(
                Row(
                    group="prove",
                    what=f"four invariants at {size:,} rules / z3",
                    value=median(shares),
                    unit="×",
                    lowest=min(shares),
                    bar=Bar(limit=1, text="≤ 1 × z3"),
                    note=f"z3 {median(each_ms['z3']):.0f} ms",
                )
            )
    return found


def _z3() -> Any:
    return import_module("z3") if find_spec("z3") is not None else None


class _Encoding:
    """The rules of the benchmark in z3, as plainly as they can be put: one solver for the whole file."""

    def __init__(self, z3: Any, document: Document) -> None:
        self.z3, self.document = z3, document
        self.task, self.tokens, self.level = z3.Ints("task tokens level")
        self.tasks = {name: number for number, name in enumerate(sorted(_tasks(document)))}
        self.has_level, self.has_age, self.minor = z3.Bools("has_level has_age minor")
        self.labels = {name: z3.Bool(name) for name in document.labels}
        self.counting = {rule.id: self.counts(rule) for rule in document.flow}

    def counts(self, rule: FlowRule) -> Any:
        true, known = self.condition(rule.when)
        if rule.effect == "allow":
            return self.z3.And(known, true)
        on_task = self.task < 0 if rule.when is not None else False
        return self.z3.Or(true, self.z3.Not(known), on_task)

    def condition(self, when: Condition | None) -> tuple[Any, Any]:
        """Whether it is true, and whether all that it reads is known: the benchmark has only conjunctions."""
        z3 = self.z3
        match when:
            case None:
                return True, True
            case AllOf(parts):
                pairs = [self.condition(part) for part in parts]
                return z3.And(*(true for true, _ in pairs)), z3.And(*(known for _, known in pairs))
            case TaskIn(tasks):
                return z3.Or(*(self.task == self.tasks[task] for task in tasks)), True
            case TokensIn(bounds):
                return self.within(self.tokens, bounds), True
            case FactRange(_, bounds):
                return self.within(self.level, bounds), self.has_level
            case FactIn():
                return self.minor, self.has_age
            case _:
                raise NotImplementedError

    def within(self, number: Any, bounds: Range) -> Any:
        held = [number > bounds.over] if bounds.over is not None else []
        return self.z3.And(*held, *([number <= bounds.max] if bounds.max is not None else []))

    def reaching(self, name: str) -> tuple[Any, list[FlowRule]]:
        """When `name` is allowed, and the allows that name it."""
        z3, naming = self.z3, [one for one in self.document.flow if one.names(self.document.recipients[name])]
        held: list[Any] = []
        for label, carried in self.labels.items():
            rules = [one for one in naming if one.labels is None or label in one.labels]
            allows = (self.counting[one.id] for one in rules if one.effect == "allow")
            denies = (self.counting[one.id] for one in rules if one.effect == "deny")
            held.append(z3.Implies(carried, z3.And(z3.Or(*allows), z3.Not(z3.Or(*denies)))))
        return z3.And(*held), [one for one in naming if one.effect == "allow"]

    def excused(self, invariant: Invariant, allows: list[FlowRule], label: str) -> Any:
        rules = [one for one in allows if one.labels is None or label in one.labels]
        chosen = [one for one in rules if (one.redact if invariant.unless_redacted else one.consent)]
        return self.z3.And(self.labels[label], self.z3.Or(*(self.counting[one.id] for one in chosen)))


def _tasks(document: Document) -> set[str]:
    from ringfence.request import TASKS

    return {*TASKS, *document.tasks}


def _with_z3(z3: Any, document: Document) -> None:
    coded = _Encoding(z3, document)
    solver = z3.Solver()
    solver.add(coded.tokens >= 0, coded.level >= 0, coded.level <= 2000, coded.task >= -1)
    solver.add(coded.task < len(coded.tasks), z3.Or(*coded.labels.values()))
    for invariant in document.invariants:
        solver.push()
        if invariant.tasks is not None:
            solver.add(z3.Or(*(coded.task == coded.tasks[task] for task in invariant.tasks)))
        if invariant.when is not None:
            solver.add(coded.condition(invariant.when)[0])
        inside = document.reached(invariant.to)
        names = document.recipients.keys() - inside if invariant.kind == "only" else inside
        ways: list[Any] = []
        for name in sorted(names):
            reached, allows = coded.reaching(name)
            for label in sorted(invariant.labels or coded.labels):
                way = [reached, coded.labels[label]]
                if invariant.unless_redacted or invariant.kind == "consent":
                    others = [label] if invariant.unless_redacted else list(coded.labels)
                    way += [z3.Not(coded.excused(invariant, allows, other)) for other in others]
                ways.append(z3.And(*way))
        solver.add(z3.Or(*ways))
        if solver.check() != z3.unsat:
            raise RuntimeError("z3 does not agree with the proof")
        solver.pop()
