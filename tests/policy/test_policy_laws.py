"""The laws of a decision, on random policies and requests, against an interpreter written from the policy's text."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.policy.random_policies import (
    FACTS,
    LABELS,
    LAYERS,
    NAMES,
    RECIPIENTS,
    TOOLS,
    UNKNOWN_TASK,
    allowed,
    decide,
    document_of,
    documents,
    flow_rules,
    more,
    open_documents,
    policy_of,
    ranges,
    requests,
)
from tests.policy.reading import (
    Place,
    counting,
    expected_allowed,
    expected_missing,
    expected_plan,
    expected_tool,
    firing,
    labels_of,
    layers,
    missing,
    names,
    names_task,
)

from ringfence.policy import Decision, Facts
from ringfence.policy import cel as cel_conditions
from ringfence.policy.conditions import Cel, Condition, FactIn, TokensIn
from ringfence.policy.decision import REDACTIONS
from ringfence.policy.document import Document, FlowRule, RouteRule

ONE_MORE = flow_rules("allow", layers=("one-more",), always=True)
"""What a layer that allows much brings."""

law = settings(suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", autouse=True)
def cel_stub() -> Iterator[None]:
    """A stand-in for the engine of CEL, an extra, that knows a few expressions."""
    tests: dict[str, Callable[[Facts], bool | None]] = {
        "yes": lambda _request: True,
        "no": lambda _request: False,
        "unclear": lambda _request: None,
        "short": lambda request: request.input_tokens <= 2,
        "raises": _raises,
    }

    def compile_stub(condition: Cel, facts: Any) -> Callable[[Facts], bool | None]:
        assert facts == FACTS
        return tests[condition.expression]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cel_conditions, "compile_cel", compile_stub)
        yield


def _raises(request: Facts) -> bool | None:
    raise RuntimeError(request.task)


def as_places(decision: Decision) -> list[Place]:
    return [
        Place(
            step.recipient,
            step.stage,
            None if step.overflow is None else step.overflow.recipient,
            step.obligations,
            dict(step.redact),
            step.hedge_after_s is not None,
        )
        for step in decision.plan
    ]


def assert_narrower(after: Decision, before: Decision) -> None:
    """No recipient more, and of each that stays no obligation less and no redaction weaker."""
    assert allowed(after) <= allowed(before)
    stays = {step.recipient: step for step in after.plan}
    kept = [step for step in before.plan if step.recipient in stays]
    assert [step.recipient for step in kept] == list(stays)
    for step in kept:
        left = stays[step.recipient]
        assert set(step.obligations) <= set(left.obligations)
        for label, kind in step.redact:
            assert REDACTIONS.index(dict(left.redact)[label]) >= REDACTIONS.index(kind)


# ---------------------------------------------------------------- what a decision says


@settings(law, max_examples=3 * law.max_examples)
@given(st.one_of(documents(), open_documents()), requests())
def test_a_decision_is_what_the_text_says(document: Document, request: Facts) -> None:
    decision = decide(document, request)
    plan = expected_plan(document, request)
    assert allowed(decision) == expected_allowed(document, request)
    assert as_places(decision) == plan
    first = plan[0].obligations if plan else ()
    assert decision.outcome == ("deny" if not plan else "ask" if "consent" in first else "allow")


@law
@given(documents(), requests(), st.lists(ranges(4), min_size=1, max_size=5))
def test_bounds_that_are_looked_up_are_the_bounds_that_are_written(
    document: Document, request: Facts, limits: list[Any]
) -> None:
    """The table of a policy's conditions agrees with each condition read alone."""
    house = frozenset({"house"})
    sized = [FlowRule(id="", effect="deny", labels=None, to=house, when=TokensIn(limit)) for limit in limits]
    public = replace(request, task="rewrite", labels=frozenset({"public"}))
    policy = more(document, *sized)
    verdict = decide(policy, public).recipients["own"]
    assert firing(policy, "own", public) == (list(verdict.rules) if verdict.verdict == "deny" else [])


@law
@given(documents(), requests())
def test_the_same_facts_give_the_same_decision(document: Document, request: Facts) -> None:
    policy = policy_of(document)
    assert policy.decide(request).as_dict() == policy.decide(request).as_dict()
    assert decide(copy.deepcopy(document), request).as_dict() == policy.decide(request).as_dict()


# ---------------------------------------------------------------- invariant 1: default deny


@law
@given(documents(), requests())
def test_invariant_default_deny(document: Document, request: Facts) -> None:
    denies = tuple(rule for rule in document.flow if rule.effect == "deny")
    decision = decide(replace(document, flow=denies), request)
    assert (allowed(decision), decision.plan, decision.outcome) == (frozenset(), (), "deny")


@law
@given(documents(), requests())
def test_invariant_the_file_itself_must_allow_whatever_a_layer_does(document: Document, request: Facts) -> None:
    elsewhere = tuple(replace(rule, layer="mdm") for rule in document.flow)
    assert allowed(decide(replace(document, flow=elsewhere), request)) == frozenset()


@law
@given(documents(), requests())
def test_invariant_every_label_is_covered_in_every_layer_by_an_allow_that_is_true(
    document: Document, request: Facts
) -> None:
    for name, verdict in decide(document, request).recipients.items():
        if verdict.verdict == "allow":
            allows = counting(document, name, request)
            assert not missing(document, request.labels, allows)
            assert set(verdict.rules) == {rule.id for rule in allows if labels_of(rule) & request.labels}


@law
@given(documents(), requests())
def test_invariant_a_deny_that_is_true_or_not_evaluable_refuses(document: Document, request: Facts) -> None:
    for name, verdict in decide(document, request).recipients.items():
        if firing(document, name, request):
            assert verdict.verdict == "deny"


@law
@given(documents(), requests())
def test_invariant_every_deny_conditioned_on_a_task_applies_to_an_unknown_task(
    document: Document, request: Facts
) -> None:
    decision = decide(document, replace(request, task=UNKNOWN_TASK))
    for rule in document.flow:
        if rule.effect == "allow" or not names_task(rule.when) or not labels_of(rule) & request.labels:
            continue
        for name, verdict in decision.recipients.items():
            if names(rule, name):
                assert verdict.verdict == "deny"
                assert rule.id in verdict.rules


@law
@given(documents(), requests(), st.sampled_from((*FACTS, "the time")))
def test_invariant_a_fact_that_is_absent_never_widens(document: Document, request: Facts, name: str) -> None:
    values = {key: value for key, value in request.values.items() if key != name}
    less = replace(request, values=values, minute=None if name == "the time" else request.minute)
    assert allowed(decide(document, less)) <= allowed(decide(document, request))


@law
@given(documents(), requests(), st.sampled_from(NAMES), st.sampled_from(["retention", "region"]))
def test_invariant_a_fact_that_a_recipient_does_not_declare_never_widens(
    document: Document, request: Facts, recipient: str, key: str
) -> None:
    silent = replace(document.recipients[recipient], **{key: None})  # type: ignore[arg-type]
    quieter = replace(document, recipients={**document.recipients, recipient: silent})
    assert allowed(decide(quieter, request)) <= allowed(decide(document, request))


@law
@given(documents(), requests())
def test_invariant_a_request_without_labels_is_one_whose_labels_are_unknown(document: Document, request: Facts) -> None:
    policy = policy_of(document)
    bare, unknown = replace(request, labels=frozenset()), replace(request, labels=frozenset({"unclassified"}))
    assert policy.decide(bare) == policy.decide(unknown)


# ---------------------------------------------------------------- invariant 2: only narrower


@law
@given(documents(), requests(), st.sampled_from(NAMES))
def test_invariant_deny_beats_allow(document: Document, request: Facts, recipient: str) -> None:
    assume(request.labels & set(LABELS))
    everything = (
        FlowRule(id="", effect="allow", labels=None, to=frozenset(NAMES), consent=True, layer=layer)
        for layer in layers(document)
    )
    nothing = FlowRule(id="", effect="deny", labels=None, to=frozenset({recipient}))
    stricter = more(document, *everything, nothing)
    verdict = decide(stricter, request).recipients[recipient]
    assert verdict.verdict == "deny"
    assert stricter.flow[-1].id in verdict.rules


@law
@given(st.one_of(documents(), open_documents()), requests(), st.randoms(use_true_random=False))
def test_invariant_the_order_of_flow_rules_never_matters(document: Document, request: Facts, random: Any) -> None:
    flow = list(document.flow)
    random.shuffle(flow)
    before, after = decide(document, request), decide(replace(document, flow=tuple(flow)), request)
    assert (before.plan, before.outcome, before.route) == (after.plan, after.outcome, after.route)
    for name, verdict in before.recipients.items():
        shuffled = after.recipients[name]
        assert (verdict.verdict, verdict.missing) == (shuffled.verdict, shuffled.missing)
        assert sorted(verdict.rules) == sorted(shuffled.rules)


@law
@given(st.one_of(documents(), open_documents()), requests(), flow_rules("deny", layers=LAYERS))
def test_invariant_one_more_deny_never_widens(document: Document, request: Facts, deny: FlowRule) -> None:
    assert_narrower(decide(more(document, deny), request), decide(document, request))


@law
@given(st.one_of(documents(), open_documents()), requests(), st.sampled_from((*LABELS, "undeclared")))
def test_invariant_one_more_label_never_widens(document: Document, request: Facts, label: str) -> None:
    # A route may read labels, so that one more changes the order; flow may not.
    plain = replace(document, route=(document.route[-1],))
    assert_narrower(
        decide(plain, replace(request, labels=request.labels | {label})),
        decide(plain, request),
    )
    labelled = decide(document, replace(request, labels=request.labels | {label}))
    assert allowed(labelled) <= allowed(decide(document, request))


@law
@given(
    st.one_of(documents(), open_documents()),
    requests(),
    st.lists(st.one_of(ONE_MORE, flow_rules(layers=("one-more",))), min_size=1, max_size=3),
)
def test_invariant_one_more_layer_never_widens(document: Document, request: Facts, layer: list[FlowRule]) -> None:
    assert_narrower(decide(more(document, *layer), request), decide(document, request))


@law
@given(st.one_of(documents(), open_documents()), requests(), flow_rules("allow"))
def test_invariant_one_more_allow_takes_no_obligation_away(document: Document, request: Facts, allow: FlowRule) -> None:
    before, after = decide(document, request), decide(more(document, allow), request)
    steps = {step.recipient: step for step in after.plan}
    for step in before.plan:
        assert set(step.obligations) <= set(steps[step.recipient].obligations)
        for label, kind in step.redact:
            assert REDACTIONS.index(dict(steps[step.recipient].redact)[label]) >= REDACTIONS.index(kind)


@law
@given(st.one_of(documents(), open_documents()), requests(), st.data())
def test_invariant_consent_or_redaction_on_an_allow_moves_nothing_and_weakens_nothing(
    document: Document, request: Facts, data: st.DataObject
) -> None:
    allows = [index for index, rule in enumerate(document.flow) if rule.effect == "allow"]
    assume(allows)
    index = data.draw(st.sampled_from(allows))
    flow = list(document.flow)
    flow[index] = replace(flow[index], consent=True, redact=flow[index].redact or "pseudonym")
    before, after = decide(document, request), decide(replace(document, flow=tuple(flow)), request)
    assert allowed(after) == allowed(before)
    assert [step.recipient for step in after.plan] == [step.recipient for step in before.plan]
    assert_narrower(after, before)


@law
@given(st.one_of(documents(), open_documents()), requests())
def test_invariant_no_partner_is_planned_without_consent(document: Document, request: Facts) -> None:
    # True of every document here, as of every file that loads: an allow of a partner asks for consent.
    assume(all(layer == "" for layer in layers(document)))
    for step in decide(document, request).plan:
        assert step.ring != "partner" or "consent" in step.obligations


# ---------------------------------------------------------------- invariant 3: routing cannot weaken privacy


@law
@given(st.one_of(documents(), open_documents()), requests())
def test_invariant_route_stays_inside_flow(document: Document, request: Facts) -> None:
    decision = decide(document, request)
    steps = [step.recipient for step in decision.plan]
    assert set(steps) <= allowed(decision)
    assert len(set(steps)) == len(steps)
    assert request.to is None or set(steps) <= request.to


@law
@given(st.one_of(documents(), open_documents()), requests())
def test_invariant_to_filters_the_plan_and_never_adds(document: Document, request: Facts) -> None:
    policy = policy_of(document)
    everywhere = policy.decide(replace(request, to=None)).plan
    kept = tuple(step for step in everywhere if request.to is None or step.recipient in request.to)
    assert policy.decide(request).plan == kept


@law
@given(open_documents(), requests(), st.data())
def test_invariant_a_route_changes_no_verdict_and_no_obligation(
    document: Document, request: Facts, data: st.DataObject
) -> None:
    prefer = data.draw(st.permutations(NAMES))
    other = replace(document, route=(RouteRule(id="other", prefer=tuple(prefer)),))
    before, after = decide(document, request), decide(other, request)
    assert dict(before.recipients) == dict(after.recipients)
    steps = {step.recipient: step for step in after.plan}
    for step in before.plan:
        assert (step.obligations, step.redact) == (
            steps[step.recipient].obligations,
            steps[step.recipient].redact,
        )


# ---------------------------------------------------------------- a refusal gives every reason


@law
@given(documents(), requests())
def test_a_refusal_lists_every_deny_that_fires_and_every_label_that_is_missing(
    document: Document, request: Facts
) -> None:
    for name, verdict in decide(document, request).recipients.items():
        if verdict.verdict == "deny":
            assert list(verdict.rules) == firing(document, name, request)
            assert verdict.missing == tuple(sorted(expected_missing(document, name, request)))
            assert all(f"'{label}'" in verdict.reason for label in verdict.missing)
            assert all(f"'{rule}'" in verdict.reason for rule in verdict.rules) or "more deny it" in verdict.reason
        else:
            assert verdict.missing == ()


@law
@given(documents(), requests())
def test_removing_a_listed_deny_changes_the_verdict_or_another_listed_reason_stands(
    document: Document, request: Facts
) -> None:
    for name, verdict in decide(document, request).recipients.items():
        if verdict.verdict == "allow":
            continue
        for listed in verdict.rules:
            flow = tuple(rule for rule in document.flow if rule.id != listed)
            left = decide(replace(document, flow=flow), request).recipients[name]
            others = tuple(rule for rule in verdict.rules if rule != listed)
            assert left.verdict == ("deny" if others or verdict.missing else "allow")
            if left.verdict == "deny":
                assert (left.rules, left.missing) == (others, verdict.missing)


@law
@given(documents(), requests())
def test_covering_what_is_missing_leaves_exactly_the_denies(document: Document, request: Facts) -> None:
    for name, verdict in decide(document, request).recipients.items():
        labels = frozenset(verdict.missing) & frozenset(LABELS)
        if not labels:
            continue
        covers = FlowRule(id="", effect="allow", labels=labels, to=frozenset({name}))
        wider = more(document, *(replace(covers, layer=layer) for layer in layers(document)))
        left = decide(wider, request).recipients[name]
        assert set(left.missing) == set(verdict.missing) - labels
        assert left.verdict == ("deny" if verdict.rules or left.missing else "allow")
        if left.verdict == "deny":
            assert left.rules == verdict.rules


@law
@given(documents(), requests())
def test_a_refusal_names_every_allow_that_nearly_covered(document: Document, request: Facts) -> None:
    for name, verdict in decide(document, request).recipients.items():
        counted = {rule.id for rule in counting(document, name, request)}
        near = [
            rule.id
            for rule in document.flow
            if rule.effect == "allow"
            and names(rule, name)
            and rule.id not in counted
            and labels_of(rule) & _missing_in(document, rule.layer, name, request)
        ]
        if verdict.verdict == "deny":
            assert all(f"'{rule}'" in verdict.reason for rule in near) or "more do not count" in verdict.reason


def _missing_in(document: Document, layer: str, recipient: str, request: Facts) -> frozenset[str]:
    allows = [rule for rule in counting(document, recipient, request) if rule.layer == layer]
    return request.labels.difference(*(labels_of(rule) for rule in allows))


# ---------------------------------------------------------------- tools

OUTCOMES = ("deny", "ask", "allow")
"""From the narrowest to the widest."""


@law
@given(st.one_of(documents(), open_documents()), requests(), st.sampled_from(sorted(TOOLS)))
def test_a_tool_gets_what_the_text_says(document: Document, request: Facts, tool: str) -> None:
    verdict = policy_of(document).tool_verdict(tool, request)
    assert (verdict.outcome, dict(verdict.redact)) == expected_tool(document, TOOLS[tool], request)
    assert (verdict.declared, verdict.ring) == (True, TOOLS[tool])
    assert list(verdict.redact) == sorted(verdict.redact)


@law
@given(
    st.one_of(documents(), open_documents()),
    requests(),
    st.one_of(flow_rules("deny"), st.sampled_from((*LABELS, "undeclared")), ONE_MORE),
)
def test_invariant_one_more_deny_label_or_layer_gives_no_tool_more(
    document: Document, request: Facts, added: FlowRule | str
) -> None:
    narrower, asks = document, request
    if isinstance(added, str):
        asks = replace(request, labels=request.labels | {added})
    else:
        narrower = more(document, added)
    for tool in TOOLS:
        wide, narrow = policy_of(document).tool_verdict(tool, request), policy_of(narrower).tool_verdict(tool, asks)
        assert OUTCOMES.index(narrow.outcome) <= OUTCOMES.index(wide.outcome)
        for label, kind in wide.redact if narrow.outcome != "deny" else ():
            assert REDACTIONS.index(dict(narrow.redact)[label]) >= REDACTIONS.index(kind)


@law
@given(st.one_of(documents(), open_documents()), requests())
def test_a_tool_gets_no_more_than_any_recipient_of_its_ring_that_no_deny_names(
    document: Document, request: Facts
) -> None:
    """A tool stands outside what was agreed with one recipient, so it is allowed only what the whole ring is."""
    policy = policy_of(document)
    decision = policy.decide(request)
    for tool, ring in TOOLS.items():
        if policy.tool_verdict(tool, request).outcome == "deny":
            continue
        for name, verdict in decision.recipients.items():
            denied = [rule for rule in document.flow if rule.effect == "deny" and name in rule.to]
            if verdict.ring == ring and not denied:
                assert verdict.verdict == "allow"


# ---------------------------------------------------------------- what cannot be evaluated


def test_invariant_a_condition_that_raises_is_not_evaluable() -> None:
    """The deny with it fires, the allow with it does not count, the route with it is not taken."""
    flow = [
        FlowRule(id="", effect="allow", labels=None, to=frozenset({"device"}), when=Cel("raises")),
        FlowRule(id="", effect="allow", labels=None, to=frozenset({"house"})),
        FlowRule(id="", effect="deny", labels=None, to=frozenset({"own"}), when=Cel("raises")),
    ]
    routes = [RouteRule(id="", prefer=("own",), when=Cel("raises")), RouteRule(id="", prefer=tuple(RECIPIENTS))]
    decision = decide(document_of(flow, routes), Facts(task="rewrite", labels=frozenset({"public"}), input_tokens=1))
    assert allowed(decision) == {"rented"}
    assert decision.route == "route-1"


@pytest.mark.parametrize("value", [object(), [], {}, b"adult", None])
def test_a_fact_of_a_strange_type_is_not_evaluable(value: Any) -> None:
    """The deny on it fires, and the allow on it does not count."""

    def rule(effect: Any, to: str, when: Condition | None = None) -> FlowRule:
        return FlowRule(id="", effect=effect, labels=None, to=frozenset({to}), when=when)

    flow = [
        rule("allow", "device", FactIn("user.age", frozenset({"adult"}))),
        rule("allow", "house"),
        rule("deny", "own", FactIn("user.age", frozenset({"minor"}))),
    ]
    document = document_of(flow, [RouteRule(id="route", prefer=tuple(RECIPIENTS))])
    request = Facts(task="rewrite", labels=frozenset({"public"}), input_tokens=1, values={"user.age": value})
    assert allowed(decide(document, request)) == {"rented"}
