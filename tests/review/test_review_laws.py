"""What the reviewer is told holds of every request: the ways that are drawn, and the rules said to change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, combinations, product

from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy import Decision, Facts, Policy, Recipient
from ringfence.policy.conditions import Condition, Fact, FactIn, TaskIn
from ringfence.policy.document import DeclaredTool, Document, FlowRule, Label, Require, RouteRule
from ringfence.policy.policy import enforce
from ringfence.policy.reach import ways
from ringfence.policy.warnings.rules import rules_in_vain

LABELS = ("public", "work", "unknown")
RECIPIENTS = {
    "mlx": Recipient(name="mlx", ring="device", provider="p", model="m"),
    "own": Recipient(name="own", ring="house", provider="p", model="m", retention="none"),
    "rented": Recipient(name="rented", ring="house", provider="p", model="m"),
}
FACTS = {"user.staff": Fact(type="bool")}
CONDITIONS: tuple[Condition | None, ...] = (
    None,
    None,
    TaskIn(frozenset({"rewrite"})),
    FactIn("user.staff", frozenset({True})),
)


def subsets(*members: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(members), min_size=1)


LABEL_SETS = st.none() | subsets(*LABELS)
TO = subsets("device", "house", "own", "rented")
ALLOWS = st.builds(
    FlowRule,
    id=st.just(""),
    effect=st.just("allow"),
    labels=LABEL_SETS,
    to=TO,
    when=st.sampled_from(CONDITIONS),
    require=st.sampled_from([Require(), Require(), Require(retention="none"), Require(attested=True)]),
    redact=st.sampled_from([None, None, "mask", "remove"]),
    consent=st.booleans(),
    layer=st.sampled_from(["", "", "", "other"]),
)
DENIES = st.builds(
    FlowRule, id=st.just(""), effect=st.just("deny"), labels=LABEL_SETS, to=TO, when=st.sampled_from(CONDITIONS)
)


@st.composite
def policies(draw: st.DrawFn) -> Document:
    rules = draw(st.lists(st.one_of(ALLOWS, ALLOWS, DENIES), min_size=1, max_size=6))
    return Document(
        name=None,
        recipients=RECIPIENTS,
        labels={name: Label() for name in LABELS},
        unknown="unknown",
        flow=tuple(replace(rule, id=f"r{index}") for index, rule in enumerate(rules)),
        route=(RouteRule(id="all", prefer=tuple(RECIPIENTS)),),
        facts=FACTS,
        tools={"calendar": DeclaredTool(ring="house")},
    )


def in_force(document: Document) -> Policy:
    return enforce(document, source="here", name="law", digest="sha256:0")


def requests(*label_sets: frozenset[str]) -> Iterator[Facts]:
    for labels, task, staff in product(label_sets, ("rewrite", "embed"), (True, False, None)):
        values = {} if staff is None else {"user.staff": staff}
        yield Facts(task=task, labels=labels, input_tokens=1, values=values)


EVERY = tuple(
    requests(*(frozenset(some) for some in chain.from_iterable(combinations(LABELS, size) for size in (1, 2, 3))))
)


def outcome(policy: Policy, request: Facts) -> object:
    """All that an app would notice of a decision, but for the names of rules."""
    decision = policy.decide(request)
    return decision.plan, decision.outcome, policy.tool_verdict("calendar", request)


@given(policies())
def test_a_rule_said_to_change_nothing_changes_nothing(document: Document) -> None:
    sentences = [message for _, message in rules_in_vain(document)]
    found = [re.match(r"rule '(\w+)' (?:adds|allows) nothing", one) for one in sentences]
    idle = {match[1] for match in found if match is not None}
    whole = in_force(document)
    # One at a time, and all at once: of two that stand in for each other only one may be named.
    for gone in [{name} for name in idle] + ([idle] if len(idle) > 1 else []):
        less = in_force(replace(document, flow=tuple(rule for rule in document.flow if rule.id not in gone)))
        assert [outcome(whole, one) for one in EVERY] == [outcome(less, one) for one in EVERY], gone


@given(policies())
def test_a_way_is_what_requests_with_the_label_alone_come_to(document: Document) -> None:
    policy = in_force(document)
    drawn = ways(document)
    for label, name in product(LABELS, RECIPIENTS):
        decided = [policy.decide(one) for one in requests(frozenset({label}))]
        reached = [_step(one, name) for one in decided]
        passing = [one for one in reached if one is not None]
        way = drawn[label].get(name)
        if way is None or way.denied:
            assert passing == []
            continue
        if not way.conditional:
            assert len(passing) == len(reached)
        for sure, found in (
            (way.consent, ["consent" in obligations for obligations, _ in passing]),
            (way.redacted, [bool(redact) for _, redact in passing]),
        ):
            assert sure != "always" or all(found)
            assert sure != "never" or not any(found)
        kinds = {kind for _, redact in passing for one, kind in redact if one == label}
        assert kinds <= set(way.kinds)


def _step(decision: Decision, name: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]] | None:
    return next(((step.obligations, step.redact) for step in decision.plan if step.recipient == name), None)
