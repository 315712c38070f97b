"""A document → `decide`: sets of rules for each label, recipient and condition, so that a decision is a few ANDs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ringfence.policy.bits import Bits, from_flags
from ringfence.policy.decision import Decision, Outcome, Step
from ringfence.policy.document import Document, Require, RouteRule
from ringfence.policy.evaluate import Test, compile_condition
from ringfence.policy.facts import Facts
from ringfence.policy.keys import BUILT_IN_TASKS, OTHER_TASK
from ringfence.policy.tables import RuleTable, rule_table
from ringfence.policy.verdicts import Case, Live, Reach, Verdicts
from ringfence.recipient import RINGS, Recipient, Ring

_ATTEST, _CONSENT = "attest", "consent"
_OBLIGATIONS: tuple[tuple[str, ...], ...] = ((), (_ATTEST,), (_CONSENT,), (_ATTEST, _CONSENT))
_NOTHING = Require()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One recipient of a route, once, and its step with each set of obligations."""

    name: str
    reach: Reach
    steps: tuple[Step, ...]
    """At 0 the plain one; 1 is added for `attest`, 2 for `consent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One route rule, ready to run."""

    rule: RouteRule
    test: Test | None
    tries: tuple[_Try, ...]

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
    allows: Bits
    """Those of them that require nothing: a tool is not attested."""


class Compiled:
    """A policy ready to decide. Pure: the same facts give the same decision, and nothing is kept between two."""

    __slots__ = (
        *("_allows", "_attesting", "_consenting", "_denies", "_digest", "_document", "_name", "_reaches", "_rings"),
        *("_routes", "_tasks"),
    )

    def __init__(self, document: Document, *, name: str, digest: str) -> None:
        self._document = document
        self._name = name
        self._digest = digest
        self._tasks = frozenset((*BUILT_IN_TASKS, *document.tasks))
        self._allows = rule_table(document, "allow")
        self._denies = rule_table(document, "deny")
        self._attesting = from_flags(rule.require.attested for rule in self._allows.rules)
        self._consenting = from_flags(rule.consent for rule in self._allows.rules)
        self._rings = {ring: _ring_reach(ring, self._allows, self._denies) for ring in RINGS}
        self._reaches = {
            name: _reach(recipient, self._allows, self._denies) for name, recipient in document.recipients.items()
        }
        self._routes = tuple(_route(rule, document, self._reaches) for rule in document.route)

    def decide(self, facts: Facts) -> Decision:
        """The decision for one request."""
        facts = self._labelled(facts)
        labels = tuple(sorted(facts.labels))
        known_task = facts.task in self._tasks
        matched = facts if known_task else replace(facts, task=OTHER_TASK)
        live = self._live(matched, known_task=known_task)
        route = next((one for one in self._routes if one.matches(matched)), None)
        plan = self._plan(route, labels, live, facts.to) if route else ()
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

    def ring_outcome(self, ring: Ring, facts: Facts) -> Outcome:
        """Whether flow allows the labels of `facts` to the ring itself, as of a tool there."""
        facts = self._labelled(facts)
        known_task = facts.task in self._tasks
        live = self._live(facts if known_task else replace(facts, task=OTHER_TASK), known_task=known_task)
        reach = self._rings[ring]
        if reach.denies & live.denies & self._denies.with_labels(facts.labels):
            return "deny"
        counting = reach.allows & live.allows
        covering = [counting & self._allows.by_label.get(label, 0) for label in facts.labels]
        if not all(covering):
            return "deny"
        return "ask" if any(allows & self._consenting for allows in covering) else "allow"

    def _labelled(self, facts: Facts) -> Facts:
        # INVARIANT: a request without labels is one whose labels are not known.
        return facts if facts.labels else replace(facts, labels=frozenset({self._document.unknown}))

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

    def _plan(self, route: _Route, labels: tuple[str, ...], live: Live, to: frozenset[str] | None) -> tuple[Step, ...]:
        denied = live.denies & self._denies.with_labels(labels)
        covering = [live.allows & self._allows.by_label.get(label, 0) for label in labels]
        steps: list[Step] = []
        # INVARIANT: route and `to` choose only among what flow allows.
        for one in route.tries:
            reach = one.reach
            if (to is not None and one.name not in to) or reach.denies & denied:
                continue
            obliging: Bits = 0
            for allows in covering:
                counting = allows & reach.allows
                if not counting:
                    break
                obliging |= counting
            else:
                # INVARIANT: one allow that asks is enough; no other allow takes an obligation away.
                steps.append(one.steps[bool(obliging & self._attesting) + 2 * bool(obliging & self._consenting)])
        return tuple(steps)

    def _case(self, facts: Facts, labels: tuple[str, ...], live: Live, *, known_task: bool) -> Case:
        declared = self._document.facts
        return Case(
            document=self._document,
            allows=self._allows,
            denies=self._denies,
            labels=labels,
            live=live,
            unknown=frozenset(name for name, fact in declared.items() if not fact.admits(facts.values.get(name))),
            knows_task=known_task,
        )


def _reach(recipient: Recipient, allows: RuleTable, denies: RuleTable) -> Reach:
    return Reach(
        recipient=recipient,
        denies=from_flags(rule.names(recipient) for rule in denies.rules),
        named=from_flags(rule.names(recipient) for rule in allows.rules),
        # INVARIANT: what a recipient does not declare is not met.
        allows=from_flags(rule.names(recipient) and not rule.require.unmet(recipient) for rule in allows.rules),
    )


def _ring_reach(ring: Ring, allows: RuleTable, denies: RuleTable) -> _RingReach:
    return _RingReach(
        denies=from_flags(ring in rule.to for rule in denies.rules),
        allows=from_flags(ring in rule.to and rule.require == _NOTHING for rule in allows.rules),
    )


def _route(rule: RouteRule, document: Document, reaches: Mapping[str, Reach]) -> _Route:
    tries: dict[str, _Try] = {}
    for stage, names in (("prefer", rule.prefer), ("fallback", rule.fallback)):
        for name in names:
            reach = reaches[name]
            plain = Step(recipient=name, ring=reach.recipient.ring, stage="prefer" if stage == "prefer" else "fallback")
            steps = tuple(replace(plain, obligations=obligations) for obligations in _OBLIGATIONS)
            tries.setdefault(name, _Try(name=name, reach=reach, steps=steps))
    test = None if rule.when is None else compile_condition(rule.when, document.facts)
    return _Route(rule=rule, test=test, tries=tuple(tries.values()))
