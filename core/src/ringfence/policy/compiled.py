"""A document → `decide`: sets of rules for each label, recipient and condition, so that a decision is a few ANDs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ringfence.policy.bits import Bits, from_flags
from ringfence.policy.decision import Decision, OverflowOf, Redaction, Stage, Step, ToolVerdict
from ringfence.policy.document import Document, Require, RouteRule
from ringfence.policy.evaluate import Test, compile_condition
from ringfence.policy.facts import Facts
from ringfence.policy.keys import BUILT_IN_TASKS, OTHER_TASK, UNHEDGED_TASKS
from ringfence.policy.obligations import BUDGET, CONSENT, OBLIGATIONS, REDACT, asking
from ringfence.policy.tables import RuleTable, rule_table
from ringfence.policy.verdicts import Case, Live, Reach, Verdicts
from ringfence.recipient import RINGS, Recipient, Ring

_NOTHING = Require()
_CONSENT = "consent"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One recipient of a route, once, and its step with each set of obligations."""

    name: str
    reach: Reach
    steps: tuple[Step, ...]
    """At each set of flags of `obligations`."""

    def redacting(self, flags: int, redact: tuple[tuple[str, Redaction], ...]) -> Step:
        """The step at `flags` with these redactions."""
        plain = self.steps[flags]
        return Step(
            recipient=plain.recipient,
            ring=plain.ring,
            obligations=plain.obligations,
            stage=plain.stage,
            redact=redact,
            overflow=plain.overflow,
            hedge_after_s=plain.hedge_after_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One route rule, ready to run."""

    rule: RouteRule
    test: Test | None
    tries: tuple[_Try, ...]
    unhedged: tuple[_Try, ...]
    """The same where there is nobody to send to beside another."""

    def matches(self, facts: Facts) -> bool:
        """Whether its condition is true; one that is not evaluable, or raises, is not."""
        try:
            return self.test is None or self.test(facts) is True
        except Exception:  # noqa: BLE001  INVARIANT: a condition that raised is never true.
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _RingReach:
    """Which rules decide for a tool on one ring: those that name the ring, and never those that name a recipient."""

    denies: Bits
    named: Bits
    """Every allow that names the ring."""
    allows: Bits
    """Those of them that require nothing: a tool is not attested."""


class Compiled:
    """A policy ready to decide. Pure: the same facts give the same decision, and nothing is kept between two."""

    __slots__ = (
        *("_allows", "_asking", "_denies", "_digest", "_document", "_layers", "_name", "_reaches", "_rings"),
        *("_routes", "_tasks"),
    )

    def __init__(self, document: Document, *, name: str, digest: str) -> None:
        self._document = document
        self._name = name
        self._digest = digest
        self._tasks = frozenset((*BUILT_IN_TASKS, *document.tasks))
        self._allows = rule_table(document, "allow")
        self._denies = rule_table(document, "deny")
        self._asking = asking(self._allows.rules)
        self._layers = tuple(self._allows.layers.values())
        self._rings = {ring: _ring_reach(ring, self._allows, self._denies) for ring in RINGS}
        self._reaches = {
            name: _reach(recipient, document, self._allows, self._denies)
            for name, recipient in document.recipients.items()
        }
        self._routes = tuple(_route(rule, document, self._reaches) for rule in document.route)

    def decide(self, facts: Facts) -> Decision:
        """The decision for one request."""
        facts = self._labelled(facts)
        labels = tuple(sorted(facts.labels))
        known_task = facts.task in self._tasks
        matched = self._matched(facts)
        live = self._live(matched, known_task=known_task)
        route = next((one for one in self._routes if one.matches(matched)), None)
        plan = self._plan(route, matched.task, labels, live, facts.to) if route else ()
        return Decision(
            policy=self._name,
            digest=self._digest,
            task=facts.task,
            labels=labels,
            outcome="deny" if not plan else "ask" if _CONSENT in plan[0].obligations else "allow",
            plan=plan,
            recipients=Verdicts(self._case(facts, labels, live, known_task=known_task), self._reaches),
            route=route.rule.id if route else None,
            on_broken_stream=route.rule.on_broken_stream if route else "fail",
        )

    def tool_verdict(self, ring: Ring, facts: Facts) -> ToolVerdict:
        """Whether flow allows the labels of `facts` to the ring itself, as of a tool there."""
        facts = self._labelled(facts)
        live = self._live(self._matched(facts), known_task=facts.task in self._tasks)
        reach = self._rings[ring]
        labels = sorted(facts.labels)
        matching = _matching(reach.allows, self._covering(live, labels))
        if reach.denies & live.denies & self._denies.with_labels(labels) or not matching:
            return ToolVerdict(outcome="deny", ring=ring)
        return ToolVerdict(
            outcome="ask" if self._asking.flags(matching) & CONSENT else "allow",
            redact=self._asking.redactions(labels, matching, self._allows.by_label),
            ring=ring,
        )

    def tool_refusal(self, ring: Ring, facts: Facts) -> str:
        """Why `tool_verdict` refuses the same request, rule by rule."""
        facts, known_task = self._labelled(facts), facts.task in self._tasks
        live = self._live(self._matched(facts), known_task=known_task)
        reach = self._rings[ring]
        case = self._case(facts, tuple(sorted(facts.labels)), live, known_task=known_task)
        return case.tool_refusal(denies=reach.denies, named=reach.named, allows=reach.allows)

    def _labelled(self, facts: Facts) -> Facts:
        # INVARIANT: a request without labels is one whose labels are not known.
        return facts if facts.labels else replace(facts, labels=frozenset({self._document.unknown}))

    def _matched(self, facts: Facts) -> Facts:
        """What conditions read: a task that the file does not know is matched as `other`."""
        return facts if facts.task in self._tasks else replace(facts, task=OTHER_TASK)

    def _covering(self, live: Live, labels: Sequence[str]) -> list[Bits]:
        """For each layer and label the allows that cover it: a recipient needs one of each of these sets.

        INVARIANT: every layer must cover every label, so one more layer never widens.
        """
        return [live.allows & by_label.get(label, 0) for by_label in self._layers for label in labels]

    def _live(self, facts: Facts, *, known_task: bool) -> Live:
        allows, unclear_allows = self._allows.conditions.holding(facts)
        denies, unclear_denies = self._denies.conditions.holding(facts)
        if not known_task:
            # INVARIANT: every deny that depends on the task applies to a task the file does not know.
            unclear_denies |= self._denies.on_task
        # INVARIANT: an allow counts only if true; a deny counts if true or not evaluable.
        return Live(
            allows=allows,
            unclear_allows=unclear_allows,
            denies=denies | unclear_denies,
            unclear_denies=unclear_denies,
        )

    def _plan(
        self, route: _Route, task: str, labels: tuple[str, ...], live: Live, to: frozenset[str] | None
    ) -> tuple[Step, ...]:
        steps = self._steps(route.tries, labels, live, to)
        if route.rule.hedge is None or (task not in UNHEDGED_TASKS and _hedges(steps)):
            return steps
        return self._steps(route.unhedged, labels, live, to)

    def _steps(
        self, tries: tuple[_Try, ...], labels: tuple[str, ...], live: Live, to: frozenset[str] | None
    ) -> tuple[Step, ...]:
        denied = live.denies & self._denies.with_labels(labels)
        covering = self._covering(live, labels)
        asked = self._asking
        steps: list[Step] = []
        # INVARIANT: route and `to` choose only among what flow allows.
        for one in tries:
            reach = one.reach
            if (to is not None and one.name not in to) or reach.denies & denied:
                continue
            matching = _matching(reach.allows, covering)
            if not matching:
                continue
            flags = asked.flags(matching) | reach.flags
            if flags & REDACT:
                steps.append(one.redacting(flags, asked.redactions(labels, matching, self._allows.by_label)))
            else:
                steps.append(one.steps[flags])
        return tuple(steps)

    def _case(self, facts: Facts, labels: tuple[str, ...], live: Live, *, known_task: bool) -> Case:
        declared = self._document.facts
        return Case(
            document=self._document,
            allows=self._allows,
            denies=self._denies,
            asking=self._asking,
            labels=labels,
            live=live,
            unknown=frozenset(name for name, fact in declared.items() if not fact.admits(facts.values.get(name))),
            knows_task=known_task,
            knows_time=facts.minute is not None,
        )


def _matching(allows: Bits, covering: Iterable[Bits]) -> Bits:
    """The rules of `allows` in any of `covering`; none at all if one of these sets has none of them."""
    matching: Bits = 0
    for covers in covering:
        counting = allows & covers
        if not counting:
            return 0
        matching |= counting
    return matching


def _reach(recipient: Recipient, document: Document, allows: RuleTable, denies: RuleTable) -> Reach:
    budgeted = any(recipient.name in budget.of or recipient.ring in budget.of for budget in document.budgets)
    return Reach(
        recipient=recipient,
        denies=from_flags(rule.names(recipient) for rule in denies.rules),
        named=from_flags(rule.names(recipient) for rule in allows.rules),
        # INVARIANT: what a recipient does not declare is not met.
        allows=from_flags(rule.names(recipient) and not rule.require.unmet(recipient) for rule in allows.rules),
        flags=BUDGET if budgeted else 0,
    )


def _ring_reach(ring: Ring, allows: RuleTable, denies: RuleTable) -> _RingReach:
    return _RingReach(
        denies=from_flags(ring in rule.to for rule in denies.rules),
        named=from_flags(ring in rule.to for rule in allows.rules),
        allows=from_flags(ring in rule.to and rule.require == _NOTHING for rule in allows.rules),
    )


def _route(rule: RouteRule, document: Document, reaches: Mapping[str, Reach]) -> _Route:
    test = None if rule.when is None else compile_condition(rule.when, document.facts)
    unhedged = _tries(replace(rule, hedge=None), reaches)
    return _Route(rule=rule, test=test, tries=_tries(rule, reaches) if rule.hedge else unhedged, unhedged=unhedged)


def _tries(rule: RouteRule, reaches: Mapping[str, Reach]) -> tuple[_Try, ...]:
    tries: dict[str, _Try] = {}
    for name, stage, overflow in _places(rule):
        if name not in tries:
            hedges = rule.hedge is not None and stage != "prefer" and name in rule.hedge.to
            tries[name] = _try(reaches[name], stage, overflow, rule.hedge.after_s if rule.hedge and hedges else None)
    return tuple(tries.values())


def _places(rule: RouteRule) -> Iterator[tuple[str, Stage, OverflowOf | None]]:
    """Every place of a route in order, those that stand there twice included."""
    for owner in rule.prefer:
        yield owner, "prefer", None
        if rule.overflow is not None:
            overflow = OverflowOf(recipient=owner, over=rule.overflow.over)
            for name in rule.overflow.to:
                yield name, "overflow", overflow
    for name in rule.hedge.to if rule.hedge is not None else ():
        if name not in rule.fallback:
            yield name, "hedge", None
    for name in rule.fallback:
        yield name, "fallback", None


def _hedges(steps: tuple[Step, ...]) -> bool:
    """Whether any of `steps` can be sent to beside another one, which is preferred or overflow."""
    beside = [step for step in steps if step.stage in ("prefer", "overflow")]
    return bool(beside) and any(step.hedge_after_s is not None and beside != [step] for step in steps)


def _try(reach: Reach, stage: Stage, overflow: OverflowOf | None, hedge_after_s: int | None) -> _Try:
    to = reach.recipient
    plain = Step(recipient=to.name, ring=to.ring, stage=stage, overflow=overflow, hedge_after_s=hedge_after_s)
    steps = tuple(replace(plain, obligations=obligations) for obligations in OBLIGATIONS)
    return _Try(name=to.name, reach=reach, steps=steps)
