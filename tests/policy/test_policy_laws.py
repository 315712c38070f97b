"""The laws of the policy language, on random policies and requests, against an interpreter written from its text."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ringfence.policy import Decision, Facts, Policy
from ringfence.policy.faults import Faults
from ringfence.policy.policy import enforce
from ringfence.policy.read_document import read_document
from ringfence.policy.toml_tree import from_data
from ringfence.request import TASKS

Document = dict[str, Any]

LABELS = ("public", "contact", "health", "unclassified")
RECIPIENTS = {"mlx": "device", "own": "house", "rented": "house", "openai": "partner"}
OWN_TASK = "minutes"
UNKNOWN_TASK = "no_such_task"
MODALITIES = ("text", "image", "file", "audio")
FACTS = {
    "user.age": {"type": "enum", "values": ["adult", "minor"]},
    "user.staff": {"type": "bool"},
    "user.level": {"type": "int", "min": 0, "max": 9},
}

REQUIREMENTS: tuple[Document, ...] = (
    {"attested": True},
    {"retention": "none"},
    {"region": "eu"},
    {"region": ["eu", "ch"], "retention": "none"},
    {"attested": True, "retention": "none"},
)
TOOLS = {"local": "device", "ours": "house", "search": "partner"}

# ---------------------------------------------------------------- random policies and requests


def some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def bounds(most: int) -> st.SearchStrategy[dict[str, int]]:
    bound = st.integers(0, most)
    return st.one_of(
        st.fixed_dictionaries({"max": bound}),
        st.fixed_dictionaries({"over": bound}),
        st.fixed_dictionaries({"over": bound, "max": bound}),
    )


MATCHERS: dict[str, st.SearchStrategy[Any]] = {
    "task": some(("open_question", "rewrite", OWN_TASK, "other")),
    "modality": some(MODALITIES),
    "input_tokens": bounds(4),
    "user.age": some(("adult", "minor")),
    "user.staff": st.booleans(),
    "user.level": bounds(9),
}


@st.composite
def conditions(draw: st.DrawFn, *, labels: bool, depth: int = 2) -> Document:
    """One to three keys that must all hold, some of them all, any or not."""
    matchers = {**MATCHERS, "labels": some(LABELS)} if labels else MATCHERS
    keys = draw(
        st.lists(st.sampled_from([*matchers, *(("all", "any", "not") if depth else ())]), min_size=1, max_size=3)
    )
    inner = conditions(labels=labels, depth=depth - 1)
    joined = {
        "not": inner,
        "all": st.lists(inner, min_size=1, max_size=2),
        "any": st.lists(inner, min_size=1, max_size=2),
    }
    return {key: draw({**matchers, **joined}[key]) for key in keys}


@st.composite
def flow_rules(draw: st.DrawFn, effect: str | None = None) -> Document:
    effect = effect or draw(st.sampled_from(["allow", "deny"]))
    places = ("device", "house", "mlx", "own", "rented", "partner", "openai")
    labels = draw(st.one_of(st.just("*"), some(LABELS)))
    to = draw(some(places))
    rule: Document = {"id": "r", effect: {"labels": labels, "to": to}}
    if draw(st.booleans()):
        rule["when"] = draw(conditions(labels=False))
    if effect == "allow" and draw(st.integers(0, 3)) == 0:
        rule["require"] = draw(st.sampled_from(REQUIREMENTS))
    if effect == "allow" and ({"partner", "openai"} & set(to) or draw(st.integers(0, 3)) == 0):
        rule["consent"] = "ask"
    return rule


FACTS_OF_A_RECIPIENT = st.fixed_dictionaries(
    {}, optional={"retention": st.sampled_from(["none", "30d"]), "region": st.sampled_from(["eu", "us"])}
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    flow = draw(st.lists(flow_rules(), max_size=7))
    route = draw(
        st.lists(
            st.fixed_dictionaries(
                {"prefer": some(tuple(RECIPIENTS))},
                optional={"when": conditions(labels=True), "fallback": some(tuple(RECIPIENTS))},
            ),
            min_size=1,
            max_size=3,
        )
    )
    route[-1].pop("when", None)
    return {
        "version": 1,
        "recipients": {
            name: {"ring": ring, "provider": "mlx", "model": "m", **draw(FACTS_OF_A_RECIPIENT)}
            for name, ring in RECIPIENTS.items()
        },
        "labels": {name: {} for name in LABELS},
        "unknown": "unclassified",
        "tools": {name: {"ring": ring} for name, ring in TOOLS.items()},
        "tasks": [OWN_TASK],
        "facts": FACTS,
        "flow": [{**rule, "id": f"flow-{index}"} for index, rule in enumerate(flow)],
        "route": [{**rule, "id": f"route-{index}"} for index, rule in enumerate(route)],
    }


@st.composite
def open_documents(draw: st.DrawFn) -> Document:
    """Documents that let much through: no condition and no deny, and one route over every recipient."""
    allow = st.fixed_dictionaries(
        {"labels": st.lists(st.sampled_from(LABELS[:2]), min_size=1, unique=True), "to": some((*RECIPIENTS, "house"))}
    )
    obligations = st.fixed_dictionaries(
        {}, optional={"require": st.just({"attested": True}), "consent": st.just("ask")}
    )
    flow = [
        {"id": f"flow-{index}", "allow": scope, **obliging, **({"consent": "ask"} if "openai" in scope["to"] else {})}
        for index, (scope, obliging) in enumerate(draw(st.lists(st.tuples(allow, obligations), min_size=2, max_size=6)))
    ]
    prefer = draw(st.permutations(tuple(RECIPIENTS)))
    return {**draw(documents()), "flow": flow, "route": [{"id": "all", "prefer": prefer}]}


FACT_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "user.age": st.sampled_from(["adult", "minor", "elder", 7]),
    "user.staff": st.sampled_from([True, False, 1, "true"]),
    "user.level": st.sampled_from([0, 1, 5, 9, 10, -1, True, 2.5, float("nan"), "3"]),
}


@st.composite
def requests(draw: st.DrawFn) -> Facts:
    return Facts(
        task=draw(st.sampled_from(["open_question", "rewrite", "embed", OWN_TASK, "other", UNKNOWN_TASK])),
        labels=frozenset(draw(some((*LABELS, "undeclared")))),
        input_tokens=draw(st.integers(0, 5)),
        modality=frozenset(draw(some(MODALITIES))),  # type: ignore[arg-type]
        values=draw(st.fixed_dictionaries({}, optional=FACT_VALUES)),
        to=draw(st.one_of(st.none(), some(tuple(RECIPIENTS)).map(frozenset))),
    )


def policy_of(document: Document) -> Policy:
    """The policy of `document`; contradictory rules, which a file may not hold, are let through on purpose."""
    faults = Faults()
    read = read_document(from_data(document, faults), faults)
    assert read is not None
    assert not faults.found
    return enforce(read, source="test", name="test")


def decide(document: Document, request: Facts) -> Decision:
    return policy_of(document).decide(request)


def allowed(decision: Decision) -> frozenset[str]:
    return frozenset(name for name, verdict in decision.recipients.items() if verdict.verdict == "allow")


def asked(decision: Decision) -> frozenset[str]:
    """The recipients of the plan for which a person is asked."""
    return frozenset(step.recipient for step in decision.plan if "consent" in step.obligations)


# ---------------------------------------------------------------- the text, as an interpreter

TRUE, FALSE, UNCLEAR = "true", "false", "unclear"


def negation(value: str) -> str:
    return {TRUE: FALSE, FALSE: TRUE, UNCLEAR: UNCLEAR}[value]


def conjunction(values: list[str]) -> str:
    if FALSE in values:
        return FALSE
    return UNCLEAR if UNCLEAR in values else TRUE


def disjunction(values: list[str]) -> str:
    return negation(conjunction([negation(value) for value in values]))


def truth(value: object) -> str:
    return TRUE if value else FALSE


def within(limits: Mapping[str, int], number: float) -> str:
    return truth(limits.get("over", -1e9) < number <= limits.get("max", 1e9))


def fact(name: str, wanted: Any, request: Facts) -> str:
    value = request.values.get(name)
    if name == "user.age":
        return truth(value in wanted) if value in ("adult", "minor") else UNCLEAR
    if name == "user.staff":
        return truth(value is wanted) if value is True or value is False else UNCLEAR
    is_level = type(value) is int and 0 <= value <= 9
    return within(wanted, float(value)) if is_level and value is not None else UNCLEAR


def matcher(key: str, wanted: Any, request: Facts) -> str:
    task = request.task if request.task in (*TASKS, OWN_TASK) else "other"
    meanings = {
        "all": lambda: conjunction([meaning(part, request) for part in wanted]),
        "any": lambda: disjunction([meaning(part, request) for part in wanted]),
        "not": lambda: negation(meaning(wanted, request)),
        "task": lambda: truth(task in wanted),
        "modality": lambda: truth(set(wanted) & request.modality),
        "labels": lambda: truth(set(wanted) & request.labels),
        "input_tokens": lambda: within(wanted, request.input_tokens),
    }
    return meanings[key]() if key in meanings else fact(key, wanted, request)


def meaning(when: Document | None, request: Facts) -> str:
    """What a `when:` says of a request."""
    return TRUE if when is None else conjunction([matcher(key, wanted, request) for key, wanted in when.items()])


def names_task(when: Document | None) -> bool:
    return when is not None and '"task"' in json.dumps(when)


def rule_names(scope: Document, recipient: str) -> bool:
    return recipient in scope["to"] or RECIPIENTS[recipient] in scope["to"]


def rule_labels(scope: Document) -> frozenset[str]:
    return frozenset(LABELS if scope["labels"] == "*" else scope["labels"])


def firing(document: Document, recipient: str, request: Facts) -> list[str]:
    """The ids of the denies that fire."""
    found: list[str] = []
    for rule in document["flow"]:
        scope = rule.get("deny")
        if scope is None or not rule_names(scope, recipient) or not rule_labels(scope) & request.labels:
            continue
        unknown_task = request.task not in (*TASKS, OWN_TASK)
        if meaning(rule.get("when"), request) != FALSE or (unknown_task and names_task(rule.get("when"))):
            found.append(rule["id"])
    return found


def counting(document: Document, recipient: str, request: Facts) -> list[Document]:
    """The allows that count for a recipient, whatever their labels."""
    return [
        rule
        for rule in document["flow"]
        if "allow" in rule
        and rule_names(rule["allow"], recipient)
        and meaning(rule.get("when"), request) == TRUE
        and meets(document["recipients"][recipient], rule.get("require", {}))
    ]


def meets(recipient: Document, wanted: Document) -> bool:
    """Whether the recipient declares what is asked for; what it does not declare is not met."""
    regions = wanted.get("region", [recipient.get("region")])
    return ("retention" not in wanted or recipient.get("retention") == wanted["retention"]) and (
        "region" not in wanted or recipient.get("region") in ([regions] if isinstance(regions, str) else regions)
    )


def uncovered(document: Document, recipient: str, request: Facts) -> frozenset[str]:
    covered = [rule_labels(rule["allow"]) for rule in counting(document, recipient, request)]
    return request.labels.difference(*covered)


def expected_allowed(document: Document, request: Facts) -> frozenset[str]:
    return frozenset(
        name for name in RECIPIENTS if not firing(document, name, request) and not uncovered(document, name, request)
    )


def expected_plan(document: Document, request: Facts) -> list[tuple[str, tuple[str, ...]]]:
    reachable = expected_allowed(document, request)
    rule = next(rule for rule in document["route"] if meaning(rule.get("when"), request) == TRUE)
    names = dict.fromkeys((*rule["prefer"], *rule.get("fallback", ())))
    plan: list[tuple[str, tuple[str, ...]]] = []
    for name in names:
        if name not in reachable or (request.to is not None and name not in request.to):
            continue
        matching = [one for one in counting(document, name, request) if rule_labels(one["allow"]) & request.labels]
        attest = any(one.get("require", {}).get("attested") for one in matching)
        consent = any("consent" in one for one in matching)
        plan.append((name, (*(["attest"] if attest else []), *(["consent"] if consent else []))))
    return plan


def expected_outcome(plan: list[tuple[str, tuple[str, ...]]]) -> str:
    if not plan:
        return "deny"
    return "ask" if "consent" in plan[0][1] else "allow"


OUTCOMES = ("deny", "ask", "allow")
"""From the narrowest to the widest."""


def expected_tool(document: Document, ring: str, request: Facts) -> str:
    """Whether a tool on `ring` may be given data with the labels of `request`, rule by rule."""
    asks = False
    unknown_task = request.task not in (*TASKS, OWN_TASK)
    left = set(request.labels)
    for rule in document["flow"]:
        scope = rule.get("allow") or rule["deny"]
        if ring not in scope["to"]:
            continue
        value = meaning(rule.get("when"), request)
        if "deny" in rule:
            fires = value != FALSE or (unknown_task and names_task(rule.get("when")))
            if fires and rule_labels(scope) & request.labels:
                return "deny"
        elif value == TRUE and "require" not in rule and rule_labels(scope) & request.labels:
            left -= rule_labels(scope)
            asks = asks or "consent" in rule
    return "deny" if left else "ask" if asks else "allow"


# ---------------------------------------------------------------- the laws

law = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@settings(law, max_examples=200)
@given(documents(), requests())
def test_a_decision_is_what_the_text_says(document: Document, request: Facts) -> None:
    decision = decide(document, request)
    assert allowed(decision) == expected_allowed(document, request)
    plan = expected_plan(document, request)
    assert [(step.recipient, step.obligations) for step in decision.plan] == plan
    assert decision.outcome == expected_outcome(plan)


@settings(law, max_examples=200)
@given(open_documents(), st.lists(st.sampled_from(LABELS[:2]), min_size=1, unique=True))
def test_the_obligations_of_a_step_are_those_of_every_allow_that_matches(document: Document, labels: list[str]) -> None:
    request = Facts(task="rewrite", labels=frozenset(labels), input_tokens=1)
    decision, plan = decide(document, request), expected_plan(document, request)
    assert [(step.recipient, step.obligations) for step in decision.plan] == plan
    assert decision.outcome == expected_outcome(plan)


@settings(law, max_examples=200)
@given(documents(), requests(), st.lists(bounds(4), min_size=1, max_size=5))
def test_bounds_that_are_looked_up_are_the_bounds_that_are_written(
    document: Document, request: Facts, limits: list[Document]
) -> None:
    """The table of a policy's conditions agrees with each condition read alone."""
    sized: list[Document] = [
        {"id": f"sized-{index}", "deny": {"labels": "*", "to": ["house"]}, "when": {"input_tokens": limit}}
        for index, limit in enumerate(limits)
    ]
    document["flow"] = [*document["flow"], *sized]
    known = replace(request, task="rewrite")
    denied = decide(document, replace(known, labels=frozenset({"public"}))).recipients["own"].rules
    assert [rule["id"] for rule in sized if rule["id"] in denied] == [
        rule["id"] for rule in sized if within(rule["when"]["input_tokens"], request.input_tokens) == TRUE
    ]


@law
@given(documents(), requests())
def test_invariant_default_deny(document: Document, request: Facts) -> None:
    document["flow"] = [rule for rule in document["flow"] if "deny" in rule]
    decision = decide(document, request)
    assert allowed(decision) == frozenset()
    assert decision.plan == ()
    assert decision.outcome == "deny"


@law
@given(documents(), requests(), st.sampled_from(sorted(RECIPIENTS)))
def test_invariant_deny_beats_allow(document: Document, request: Facts, recipient: str) -> None:
    assume(request.labels & set(LABELS))
    everything = {"id": "everything", "allow": {"labels": "*", "to": ["device", "house", "partner"]}, "consent": "ask"}
    nothing = {"id": "nothing", "deny": {"labels": "*", "to": [recipient]}}
    document["flow"] = [everything, *document["flow"], nothing]
    decision = decide(document, request)
    assert decision.recipients[recipient].verdict == "deny"
    assert "nothing" in decision.recipients[recipient].rules


@law
@given(documents(), requests(), st.randoms(use_true_random=False))
def test_invariant_the_order_of_flow_rules_never_matters(document: Document, request: Facts, random: Any) -> None:
    shuffled = copy.deepcopy(document)
    random.shuffle(shuffled["flow"])
    before, after = decide(document, request), decide(shuffled, request)
    assert before.plan == after.plan
    assert before.outcome == after.outcome
    for name, verdict in before.recipients.items():
        assert after.recipients[name].verdict == verdict.verdict
        assert sorted(after.recipients[name].rules) == sorted(verdict.rules)


@law
@given(documents(), requests(), flow_rules("deny"))
def test_invariant_one_more_deny_never_widens(document: Document, request: Facts, deny: Document) -> None:
    wider = {**document, "flow": [*document["flow"], {**deny, "id": "one-more"}]}
    before, after = decide(document, request), decide(wider, request)
    assert allowed(after) <= allowed(before)
    assert {step.recipient for step in after.plan} <= {step.recipient for step in before.plan}


@law
@given(documents(), requests(), st.data())
def test_invariant_consent_on_one_more_allow_never_widens(
    document: Document, request: Facts, data: st.DataObject
) -> None:
    """The same recipients, and nothing that asked before goes without asking."""
    allows = [index for index, rule in enumerate(document["flow"]) if "allow" in rule]
    assume(allows)
    index = data.draw(st.sampled_from(allows))
    asking = copy.deepcopy(document)
    asking["flow"][index]["consent"] = "ask"
    before, after = decide(document, request), decide(asking, request)
    assert allowed(after) == allowed(before)
    assert asked(before) <= asked(after)
    assert [step.recipient for step in after.plan] == [step.recipient for step in before.plan]


@law
@given(documents(), requests(), flow_rules("allow"))
def test_invariant_one_more_allow_takes_no_consent_away(document: Document, request: Facts, allow: Document) -> None:
    more = {**document, "flow": [*document["flow"], {**allow, "id": "one-more"}]}
    assert asked(decide(document, request)) <= asked(decide(more, request))


@law
@given(documents(), requests())
def test_invariant_no_partner_is_planned_without_consent(document: Document, request: Facts) -> None:
    decision = decide(document, request)
    assert {step.recipient for step in decision.plan if step.ring == "partner"} <= asked(decision)


@law
@given(documents(), requests(), st.sampled_from(sorted(RECIPIENTS)), st.sampled_from(["retention", "region"]))
def test_invariant_a_fact_that_a_recipient_does_not_declare_never_widens(
    document: Document, request: Facts, recipient: str, key: str
) -> None:
    silent = copy.deepcopy(document)
    silent["recipients"][recipient].pop(key, None)
    assert allowed(decide(silent, request)) <= allowed(decide(document, request))


@settings(law, max_examples=200)
@given(documents(), requests(), st.sampled_from(sorted(TOOLS)))
def test_a_tool_gets_what_the_text_says(document: Document, request: Facts, tool: str) -> None:
    assert policy_of(document).tool_outcome(tool, request) == expected_tool(document, TOOLS[tool], request)


@law
@given(documents(), requests(), st.one_of(flow_rules("deny"), st.sampled_from((*LABELS, "undeclared"))))
def test_invariant_one_more_deny_or_label_gives_no_tool_more(
    document: Document, request: Facts, more: Document | str
) -> None:
    if isinstance(more, str):
        narrower, asks = document, replace(request, labels=request.labels | {more})
    else:
        narrower, asks = {**document, "flow": [*document["flow"], {**more, "id": "one-more"}]}, request
    for tool in TOOLS:
        wide, narrow = policy_of(document).tool_outcome(tool, request), policy_of(narrower).tool_outcome(tool, asks)
        assert OUTCOMES.index(narrow) <= OUTCOMES.index(wide)


@law
@given(documents(), requests())
def test_a_tool_gets_no_more_than_any_recipient_of_its_ring_that_no_deny_names(
    document: Document, request: Facts
) -> None:
    """A tool stands outside what was agreed with one recipient, so it is allowed only what the whole ring is."""
    policy = policy_of(document)
    decision = policy.decide(request)
    for tool, ring in TOOLS.items():
        if policy.tool_outcome(tool, request) == "deny":
            continue
        for name, verdict in decision.recipients.items():
            denied = [rule for rule in document["flow"] if "deny" in rule and name in rule["deny"]["to"]]
            if verdict.ring == ring and not denied:
                assert verdict.verdict == "allow"


@law
@given(documents(), requests(), st.sampled_from((*LABELS, "undeclared")))
def test_invariant_one_more_label_never_widens(document: Document, request: Facts, label: str) -> None:
    more = Facts(
        task=request.task,
        labels=request.labels | {label},
        input_tokens=request.input_tokens,
        modality=request.modality,
        values=request.values,
    )
    assert allowed(decide(document, more)) <= allowed(decide(document, request))


@law
@given(documents(), requests())
def test_invariant_every_label_is_covered_by_an_allow_that_counts(document: Document, request: Facts) -> None:
    for name, verdict in decide(document, request).recipients.items():
        if verdict.verdict == "allow":
            assert not uncovered(document, name, request)
            assert set(verdict.rules) == {
                rule["id"] for rule in counting(document, name, request) if rule_labels(rule["allow"]) & request.labels
            }


@law
@given(documents(), requests())
def test_a_refusal_lists_every_deny_that_fires_and_names_every_uncovered_label(
    document: Document, request: Facts
) -> None:
    for name, verdict in decide(document, request).recipients.items():
        if verdict.verdict == "deny":
            assert list(verdict.rules) == firing(document, name, request)
            assert all(f"'{label}'" in verdict.reason for label in uncovered(document, name, request))


@law
@given(documents(), requests())
def test_invariant_route_stays_inside_flow(document: Document, request: Facts) -> None:
    decision = decide(document, request)
    steps = [step.recipient for step in decision.plan]
    assert set(steps) <= allowed(decision)
    assert len(set(steps)) == len(steps)
    assert request.to is None or set(steps) <= request.to


@law
@given(documents(), requests())
def test_invariant_to_filters_the_plan_and_never_adds(document: Document, request: Facts) -> None:
    policy = policy_of(document)
    everywhere = policy.decide(
        Facts(
            task=request.task,
            labels=request.labels,
            input_tokens=request.input_tokens,
            modality=request.modality,
            values=request.values,
        )
    )
    kept = tuple(step for step in everywhere.plan if request.to is None or step.recipient in request.to)
    assert policy.decide(request).plan == kept


@law
@given(documents(), requests())
def test_invariant_every_deny_conditioned_on_a_task_applies_to_an_unknown_task(
    document: Document, request: Facts
) -> None:
    mystery = Facts(task=UNKNOWN_TASK, labels=request.labels, input_tokens=request.input_tokens)
    decision = decide(document, mystery)
    for rule in document["flow"]:
        if "deny" not in rule or not names_task(rule.get("when")) or not rule_labels(rule["deny"]) & request.labels:
            continue
        for name, verdict in decision.recipients.items():
            if rule_names(rule["deny"], name):
                assert verdict.verdict == "deny"
                assert rule["id"] in verdict.rules


@law
@given(documents(), requests(), st.sampled_from(sorted(FACTS)))
def test_invariant_a_fact_that_is_absent_never_widens(document: Document, request: Facts, name: str) -> None:
    less = Facts(
        task=request.task,
        labels=request.labels,
        input_tokens=request.input_tokens,
        modality=request.modality,
        values={key: value for key, value in request.values.items() if key != name},
    )
    assert allowed(decide(document, less)) <= allowed(decide(document, request))


@law
@given(documents(), requests())
def test_a_request_without_labels_is_one_whose_labels_are_unknown(document: Document, request: Facts) -> None:
    policy = policy_of(document)
    bare = Facts(task=request.task, labels=frozenset(), input_tokens=request.input_tokens, values=request.values)
    unknown = Facts(
        task=request.task,
        labels=frozenset({"unclassified"}),
        input_tokens=request.input_tokens,
        values=request.values,
    )
    assert policy.decide(bare) == policy.decide(unknown)


@law
@given(documents(), requests())
def test_the_same_facts_give_the_same_decision(document: Document, request: Facts) -> None:
    policy = policy_of(document)
    assert policy.decide(request).as_dict() == policy.decide(request).as_dict()
    assert policy_of(copy.deepcopy(document)).decide(request).as_dict() == policy.decide(request).as_dict()


@pytest.mark.parametrize("value", [object(), [], {}, b"adult", None])
def test_a_fact_of_a_strange_type_is_not_evaluable(value: Any) -> None:
    """The deny on it fires, and the allow on it does not count."""
    document: Document = {
        "version": 1,
        "recipients": {name: {"ring": ring, "provider": "mlx", "model": "m"} for name, ring in RECIPIENTS.items()},
        "labels": {name: {} for name in LABELS},
        "unknown": "unclassified",
        "facts": FACTS,
        "flow": [
            {"id": "device", "allow": {"labels": "*", "to": ["device"]}, "when": {"user.age": ["adult"]}},
            {"id": "house", "allow": {"labels": "*", "to": ["house"]}},
            {"id": "not-own", "deny": {"labels": "*", "to": ["own"]}, "when": {"user.age": ["minor"]}},
        ],
        "route": [{"id": "route", "prefer": ["mlx", "own", "rented"]}],
    }
    request = Facts(
        task="rewrite",
        labels=frozenset({"public"}),
        input_tokens=1,
        values={"user.age": value},
    )
    assert allowed(decide(document, request)) == {"rented"}
