"""A document → `decide`: rules as bits of one integer for each label, recipient and condition, so that a decision is a few ANDs.

The condition of each rule is a closure, run at most once for a request. What is left is arithmetic on integers that
hold one bit a rule: linear in the number of rules, with a very small constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from types import MappingProxyType
from typing import Literal, TypeAlias

from ringfence.policy import reasons
from ringfence.policy.conditions import OTHER_TASK, Condition, fact_names, reads_task
from ringfence.policy.decision import Decision, Recipient, Ring, Step, Verdict
from ringfence.policy.document import Document, FlowRule, RouteRule
from ringfence.policy.evaluate import Test, compile_condition
from ringfence.policy.facts import Facts
from ringfence.policy.keys import BUILT_IN_TASKS

Decide: TypeAlias = Callable[[Facts], Decision]
Bits: TypeAlias = int
"""One bit a rule: bit i is the i-th allow, or the i-th deny, of the file."""

_ZERO_ONE = bytes.maketrans(b"01", b"\x00\x01")


def _ones(bits: Bits) -> bytes:
    """One byte a bit, lowest first: what `compress` takes."""
    return format(bits, "b")[::-1].encode().translate(_ZERO_ONE)


def _bits(flags: Iterable[bool]) -> Bits:
    return int("".join("1" if flag else "0" for flag in flags)[::-1] or "0", 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RuleSet:
    """The allows, or the denies, of a file."""

    rules: tuple[FlowRule, ...]
    ids: tuple[str, ...]
    by_label: dict[str, Bits]
    always: Bits
    """Those without a condition."""
    conditions: tuple[tuple[Test, Bits], ...]
    """Each distinct condition once, with the rules that have it."""
    on_task: Bits
    """Those whose condition depends on the task."""

    def chosen(self, bits: Bits) -> tuple[FlowRule, ...]:
        """The rules of `bits`, in file order."""
        return tuple(compress(self.rules, _ones(bits)))

    def chosen_ids(self, bits: Bits) -> tuple[str, ...]:
        """Their ids."""
        return tuple(compress(self.ids, _ones(bits)))

    def with_labels(self, labels: Iterable[str]) -> Bits:
        """The rules that name any of `labels`."""
        found = 0
        for label in labels:
            found |= self.by_label.get(label, 0)
        return found


def _rule_set(document: Document, effect: Literal["allow", "deny"]) -> _RuleSet:
    rules = tuple(rule for rule in document.flow if rule.effect == effect)
    conditions: dict[Condition, list[bool]] = {}
    for index, rule in enumerate(rules):
        if rule.when is not None:
            flags = conditions.setdefault(rule.when, [False] * len(rules))
            flags[index] = True
    return _RuleSet(
        rules=rules,
        ids=tuple(rule.id for rule in rules),
        by_label={
            label: _bits(rule.labels is None or label in rule.labels for rule in rules) for label in document.labels
        },
        always=_bits(rule.when is None for rule in rules),
        conditions=tuple((compile_condition(when, document.facts), _bits(flags)) for when, flags in conditions.items()),
        on_task=_bits(rule.when is not None and reads_task(rule.when) for rule in rules),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """Which rules name one recipient."""

    recipient: Recipient
    denies: Bits
    named: Bits
    """Every allow that names it."""
    allows: Bits
    """Those of them whose requirements on the recipient are met."""
    attests: Bits
    step: dict[tuple[str, tuple[str, ...]], Step]
    """Its steps in a plan, by stage and obligations: made once, for a step is the same in every decision."""


def _reach(recipient: Recipient, allows: _RuleSet, denies: _RuleSet) -> _Reach:
    def named(rule: FlowRule) -> bool:
        return recipient.name in rule.to or recipient.ring in rule.to

    return _Reach(
        recipient=recipient,
        denies=_bits(named(rule) for rule in denies.rules),
        named=_bits(named(rule) for rule in allows.rules),
        # INVARIANT: what a recipient does not declare is not met; in this version it declares nothing.
        allows=_bits(named(rule) and rule.require.unmet() is None for rule in allows.rules),
        attests=_bits(rule.require.attested for rule in allows.rules),
        step={
            (stage, obligations): Step(
                recipient=recipient.name, ring=recipient.ring, obligations=obligations, stage=stage
            )
            for stage in ("prefer", "fallback")
            for obligations in ((), ("attest",))
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One route rule: its test, and each recipient it may try, once, with its stage."""

    rule: RouteRule
    test: Test | None
    tries: tuple[tuple[str, str], ...]


def _route(rule: RouteRule, document: Document) -> _Route:
    tries = dict.fromkeys(rule.prefer, "prefer")
    for name in rule.fallback:
        tries.setdefault(name, "fallback")
    test = None if rule.when is None else compile_condition(rule.when, document.facts)
    return _Route(rule=rule, test=test, tries=tuple(tries.items()))


def _holds(test: Test, facts: Facts) -> bool | None:
    try:
        return test(facts)
    except Exception:  # noqa: BLE001  INVARIANT: a condition that raised is not evaluable, never true.
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    """The rules whose conditions let them count for one request, whatever its labels."""

    allows: Bits
    unclear_allows: Bits
    denies: Bits
    unclear_denies: Bits


class Compiled:
    """A policy ready to decide. Pure: the same facts give the same decision, and nothing is kept between two."""

    __slots__ = ("_allows", "_denies", "_digest", "_document", "_name", "_reaches", "_routes", "_tasks")

    def __init__(self, document: Document, *, name: str, digest: str) -> None:
        self._document = document
        self._name = name
        self._digest = digest
        self._tasks = frozenset((*BUILT_IN_TASKS, *document.tasks))
        self._allows = _rule_set(document, "allow")
        self._denies = _rule_set(document, "deny")
        self._reaches = tuple(_reach(one, self._allows, self._denies) for one in document.recipients.values())
        self._routes = tuple(_route(rule, document) for rule in document.route)

    def decide(self, facts: Facts) -> Decision:
        """The decision for one request."""
        # INVARIANT: a request without labels is one whose labels are not known.
        labels = tuple(sorted(facts.labels)) or (self._document.unknown,)
        known_task = facts.task in self._tasks
        matched = facts if known_task else replace(facts, task=OTHER_TASK)
        live = self._live(matched, known_task=known_task)
        denied = live.denies & self._denies.with_labels(labels)
        touched = live.allows & self._allows.with_labels(labels)
        covering = [live.allows & self._allows.by_label.get(label, 0) for label in labels]
        verdicts: dict[str, Verdict] = {}
        obligations: dict[str, tuple[str, ...]] = {}
        for reach in self._reaches:
            name, ring = reach.recipient.name, reach.recipient.ring
            hits = reach.denies & denied
            # INVARIANT: every label is covered by an allow that counts, and no deny fires.
            uncovered = [label for label, allows in zip(labels, covering, strict=True) if not allows & reach.allows]
            if hits or uncovered:
                verdicts[name] = self._refusal(reach, hits, uncovered, labels, live, facts)
                continue
            matching = touched & reach.allows
            ids = self._allows.chosen_ids(matching)
            verdicts[name] = Verdict(ring=ring, verdict="allow", rules=ids, reason=reasons.allowed(ids))
            obligations[name] = ("attest",) if matching & reach.attests else ()
        return self._planned(matched, facts, labels, verdicts, obligations)

    def _live(self, facts: Facts, *, known_task: bool) -> _Live:
        allows, unclear_allows = self._allows.always, 0
        for test, rules in self._allows.conditions:
            value = _holds(test, facts)
            if value:
                allows |= rules
            elif value is None:
                unclear_allows |= rules
        denies, unclear_denies = self._denies.always, 0
        for test, rules in self._denies.conditions:
            value = _holds(test, facts)
            if value:
                denies |= rules
            elif value is None:
                unclear_denies |= rules
        if not known_task:
            # INVARIANT: every deny that depends on the task applies to a task the file does not know.
            unclear_denies |= self._denies.on_task & ~denies
        return _Live(
            allows=allows,
            unclear_allows=unclear_allows,
            denies=denies | unclear_denies,
            unclear_denies=unclear_denies,
        )

    def _planned(
        self,
        matched: Facts,
        facts: Facts,
        labels: tuple[str, ...],
        verdicts: dict[str, Verdict],
        obligations: dict[str, tuple[str, ...]],
    ) -> Decision:
        route = next((one for one in self._routes if one.test is None or _holds(one.test, matched)), None)
        to, steps = facts.to, {reach.recipient.name: reach.step for reach in self._reaches}
        plan = tuple(
            steps[name][stage, obligations[name]]
            for name, stage in (route.tries if route else ())
            # INVARIANT: route and `to` choose only among what flow allowed.
            if name in obligations and (to is None or name in to)
        )
        return Decision(
            policy=self._name,
            digest=self._digest,
            task=facts.task,
            labels=labels,
            outcome="allow" if plan else "deny",
            plan=plan,
            recipients=MappingProxyType(verdicts),
            route=route.rule.id if route else None,
            on_broken_stream=route.rule.on_broken_stream if route else "fail",
        )

    def _refusal(
        self, reach: _Reach, hits: Bits, uncovered: list[str], labels: Sequence[str], live: _Live, facts: Facts
    ) -> Verdict:
        """Why a recipient is refused: every deny that fires, and every label that nothing covers."""
        fired = self._denies.chosen_ids(hits)
        sentences = self._denial_sentences(hits, labels, live, facts) if hits else []
        if uncovered:
            sentences.append(reasons.uncovered(uncovered, self._document.labels))
            near = reach.named & self._allows.with_labels(uncovered)
            sentences += self._near_misses(near, reach, live, facts)
        ring: Ring = reach.recipient.ring
        return Verdict(ring=ring, verdict="deny", rules=fired, reason="; ".join(sentences))

    def _denial_sentences(self, hits: Bits, labels: Sequence[str], live: _Live, facts: Facts) -> list[str]:
        shown = self._denies.chosen(_lowest(hits, reasons.MOST_SENTENCES))
        unclear = frozenset(self._denies.chosen_ids(hits & live.unclear_denies))
        sentences = [
            reasons.denied(rule, labels, self._unknowns(rule, facts) if rule.id in unclear else None) for rule in shown
        ]
        left = hits.bit_count() - len(shown)
        return [*sentences, f"{left} more rules deny it"] if left else sentences

    def _near_misses(self, near: Bits, reach: _Reach, live: _Live, facts: Facts) -> list[str]:
        if not near:
            return []
        shown = self._allows.chosen(_lowest(near, reasons.MOST_SENTENCES))
        unclear = frozenset(self._allows.chosen_ids(near & live.unclear_allows))
        return [
            reasons.not_counted(rule, reach.recipient.name, self._unknowns(rule, facts) if rule.id in unclear else None)
            for rule in shown
        ]

    def _unknowns(self, rule: FlowRule, facts: Facts) -> list[str]:
        """What keeps the condition of `rule` from being evaluated."""
        when, declared = rule.when, self._document.facts
        if when is None:
            return []
        unknown = [name for name in sorted(fact_names(when)) if not declared[name].admits(facts.values.get(name))]
        return [*unknown, "the task"] if facts.task not in self._tasks and reads_task(when) else unknown


def _lowest(bits: Bits, count: int) -> Bits:
    """The `count` lowest ones of `bits`."""
    kept = 0
    for _ in range(count):
        lowest = bits & -bits
        kept |= lowest
        bits ^= lowest
    return kept
