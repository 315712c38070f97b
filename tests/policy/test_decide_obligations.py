"""What a decision asks for before it sends, where overflow stands, what layers do, and how each is put into words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ringfence.policy import Decision, Facts, Policy
from ringfence.policy.conditions import Fact, FactIn, TaskIn, TimeIn
from ringfence.policy.decision import OverflowOf, Redaction, ToolVerdict
from ringfence.policy.document import (
    Budget,
    DeclaredTool,
    Document,
    FlowRule,
    Label,
    Overflow,
    Require,
    RouteRule,
)
from ringfence.policy.policy import enforce
from ringfence.recipient import Recipient, Ring

RINGS: dict[str, Ring] = {"mlx": "device", "own": "house", "rented": "house", "openai": "partner", "gemini": "partner"}


def allow(name: str, labels: str, *to: str, **how: Any) -> FlowRule:
    """`labels` with spaces between; "*" is all of them."""
    covered = None if labels == "*" else frozenset(labels.split())
    return FlowRule(id=name, effect="allow", labels=covered, to=frozenset(to), **how)


def deny(name: str, labels: str, *to: str, **how: Any) -> FlowRule:
    return replace(allow(name, labels, *to, **how), effect="deny")


FLOW = (
    allow("device-any", "*", "device"),
    allow("house-most", "public contact health work", "house", require=Require(attested=True)),
    allow("house-no-secrets", "credentials", "house", redact="remove"),
    allow("house-rewrites", "contact credentials", "house", redact="mask", when=TaskIn(frozenset({"rewrite"}))),
    deny("rented-not-work", "work", "rented"),
    allow("partner-public", "public", "partner", consent=True),
    allow("partner-pseudonymous", "contact credentials", "partner", consent=True, redact="pseudonym"),
    allow(
        "partner-eu", "contact", "partner", consent=True, redact="remove", require=Require(regions=frozenset({"eu"}))
    ),
    deny("partner-never", "health", "partner", reason="Special-category data stays inside."),
)
ROUTE = RouteRule(
    id="all",
    prefer=("own", "openai"),
    overflow=Overflow(to=("rented", "gemini"), over=0.85),
    fallback=("rented", "mlx"),
)
BUDGETS = (
    Budget(id="partners", of=frozenset({"partner"}), limit=500.0, unit="USD", per="month"),
    Budget(id="rent", of=frozenset({"rented"}), limit=100.0, unit="requests", per="day"),
)


def policy(*more: FlowRule, flow: tuple[FlowRule, ...] = FLOW, **how: Any) -> Policy:
    document = Document(
        name="acme",
        recipients={
            name: Recipient(name=name, ring=ring, provider="p", model="m", region="eu" if name == "gemini" else "us")
            for name, ring in RINGS.items()
        },
        labels={name: Label() for name in ("public", "contact", "health", "work", "credentials", "unclassified")},
        unknown="unclassified",
        facts={"user.age": Fact(type="enum", values=("adult", "minor"))},
        tools={
            "local": DeclaredTool(ring="device"),
            "ours": DeclaredTool(ring="house"),
            "web": DeclaredTool(ring="partner"),
        },
        flow=(*flow, *more),
        route=(ROUTE,),
        **how,
    )
    return enforce(document, source="test", name="acme")


def decide(asked: Policy, *labels: str, task: str = "extract", to: frozenset[str] | None = None) -> Decision:
    return asked.decide(Facts(task=task, labels=frozenset(labels), input_tokens=1, to=to))


def redactions(decision: Decision) -> dict[str, dict[str, Redaction]]:
    return {step.recipient: dict(step.redact) for step in decision.plan}


# ---------------------------------------------------------------- redact


def test_a_label_is_redacted_as_the_strictest_of_the_allows_that_match_asks() -> None:
    assert redactions(decide(policy(), "contact", "public")) == {
        "own": {},
        "rented": {},
        "openai": {"contact": "pseudonym"},
        "gemini": {"contact": "remove"},  # its region meets what the stricter allow requires
        "mlx": {},
    }


def test_an_allow_that_is_not_true_asks_for_no_redaction() -> None:
    assert redactions(decide(policy(), "contact"))["own"] == {}
    assert redactions(decide(policy(), "contact", task="rewrite"))["own"] == {"contact": "mask"}
    both = decide(policy(), "contact", "credentials", task="rewrite").plan[0]
    assert both.redact == (("contact", "mask"), ("credentials", "remove"))


def test_a_deny_reads_the_labels_as_they_are_before_redaction() -> None:
    removed = policy(allow("house-health-removed", "health", "partner", consent=True, redact="remove"))
    assert decide(removed, "health").recipients["openai"].rules == ("partner-never",)


def test_a_label_that_the_request_does_not_have_is_not_redacted() -> None:
    assert redactions(decide(policy(), "public"))["openai"] == {}


# ---------------------------------------------------------------- every obligation, in order


def test_obligations_come_in_one_order() -> None:
    asked = policy(
        allow("attested", "contact", "openai", consent=True, require=Require(attested=True)), budgets=BUDGETS
    )
    steps = {step.recipient: step.obligations for step in decide(asked, "contact").plan}
    assert steps == {
        "own": ("attest",),
        "rented": ("attest", "budget"),
        "openai": ("attest", "redact", "consent", "budget"),
        "gemini": ("redact", "consent", "budget"),
        "mlx": (),
    }


# ---------------------------------------------------------------- overflow


def test_each_preferred_recipient_is_followed_by_its_overflow_and_the_first_place_wins() -> None:
    plan = decide(policy(), "public").plan
    assert [(step.recipient, step.stage, step.overflow) for step in plan] == [
        ("own", "prefer", None),
        ("rented", "overflow", OverflowOf(recipient="own", over=0.85)),
        ("gemini", "overflow", OverflowOf(recipient="own", over=0.85)),
        ("openai", "prefer", None),
        ("mlx", "fallback", None),
    ]


def test_overflow_is_less_what_flow_refused() -> None:
    assert [step.recipient for step in decide(policy(), "work").plan] == ["own", "mlx"]
    assert [step.recipient for step in decide(policy(), "health").plan] == ["own", "rented", "mlx"]


def test_an_overflow_step_says_so_in_the_explanation() -> None:
    shown = decide(policy(), "public", to=frozenset({"rented", "openai"})).as_dict()["plan"]
    assert shown == [
        {
            "recipient": "rented",
            "ring": "house",
            "obligations": ["attest"],
            "overflow": {"of": "own", "when_utilisation_over": 0.85},
        },
        {"recipient": "openai", "ring": "partner", "obligations": ["consent"]},
    ]


# ---------------------------------------------------------------- layers

MANAGED = (
    allow("mdm-inside", "*", "device", "house", layer="mdm"),
    allow("mdm-open", "public", "openai", layer="mdm", redact="mask"),
    deny("mdm/no-rewrites", "public", "openai", layer="mdm", when=TaskIn(frozenset({"rewrite"}))),
)


def test_every_layer_must_cover_every_label() -> None:
    asked = policy(*MANAGED)
    assert [step.recipient for step in decide(asked, "public").plan] == ["own", "rented", "openai", "mlx"]
    assert [step.recipient for step in decide(asked, "contact").plan] == ["own", "rented", "mlx"]


def test_a_layer_of_denies_alone_covers_nothing_and_needs_to_cover_nothing() -> None:
    asked = policy(deny("mdm-no-partner", "*", "partner", layer="mdm"))
    assert [step.recipient for step in decide(asked, "public").plan] == ["own", "rented", "mlx"]


def test_the_allows_of_all_layers_contribute_their_obligations() -> None:
    steps = {step.recipient: step for step in decide(policy(*MANAGED), "public").plan}
    assert steps["openai"].obligations == ("redact", "consent")
    assert steps["openai"].redact == (("public", "mask"),)


def test_a_layer_allows_nothing_that_the_file_does_not() -> None:
    asked = policy(flow=tuple(replace(rule, layer="mdm") for rule in FLOW))
    assert decide(asked, "public").outcome == "deny"


# ---------------------------------------------------------------- in words

ADULTS = allow(
    "mdm/adults", "unclassified", "rented", consent=True, when=FactIn("user.age", frozenset({"adult"})), layer="mdm"
)
SENTENCES: dict[str, tuple[Decision, str, str]] = {
    "redaction and consent": (
        decide(policy(), "contact"),
        "openai",
        "allowed by rule 'partner-pseudonymous' if 'contact' is redacted (pseudonym) and a person consents",
    ),
    "every obligation": (
        decide(policy(allow("more", "contact credentials", "openai", redact="mask"), budgets=BUDGETS), "contact"),
        "openai",
        (
            "allowed by rules 'partner-pseudonymous' and 'more' if 'contact' is redacted (mask), a person consents and "
            "its budget is not spent"
        ),
    ),
    "two kinds": (
        decide(policy(), "contact", "credentials", task="rewrite"),
        "own",
        (
            "allowed by rules 'house-most', 'house-no-secrets' and 'house-rewrites' if it is attested, 'contact' is "
            "redacted (mask) and 'credentials' is redacted (remove)"
        ),
    ),
    "two labels of one kind": (
        decide(policy(), "contact", "credentials"),
        "openai",
        (
            "allowed by rule 'partner-pseudonymous' if 'contact' and 'credentials' are redacted (pseudonym) and "
            "a person consents"
        ),
    ),
    "a deny of a layer": (
        decide(policy(*MANAGED), "public", task="rewrite"),
        "openai",
        "rule 'mdm/no-rewrites' denies 'public'",
    ),
    "not covered by a layer": (
        decide(policy(*MANAGED), "contact"),
        "openai",
        "no rule of layer 'mdm' allows label 'contact'",
    ),
    "a time that is not known": (
        decide(policy(deny("nights", "public", "own", when=TimeIn(frozenset(range(7)), 1320, 360))), "public"),
        "own",
        "rule 'nights' denies 'public' (the time is not known, so it counts)",
    ),
    "near misses of both": (
        decide(policy(ADULTS), "unclassified"),
        "rented",
        (
            "no rule allows label 'unclassified'; no rule of layer 'mdm' allows label 'unclassified'; "
            "rule 'mdm/adults' does not count: user.age is not known"
        ),
    ),
}


@pytest.mark.parametrize(("decision", "recipient", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_every_recipient_has_a_sentence(decision: Decision, recipient: str, sentence: str) -> None:
    assert decision.recipients[recipient].reason == sentence


def test_the_labels_that_are_missing_stand_in_the_explanation_where_there_are_any() -> None:
    shown = decide(policy(), "work", "public", "unclassified").as_dict()["recipients"]
    assert shown["openai"]["missing"] == ["unclassified", "work"]
    assert "missing" not in shown["mlx"]
    assert "missing" not in decide(policy(), "work").as_dict()["recipients"]["rented"]


def test_the_rest_of_many_near_misses_is_counted() -> None:
    many = (allow(f"minor-{index}", "unclassified", "own", when=TaskIn(frozenset({"embed"}))) for index in range(9))
    reason = decide(policy(*many), "unclassified").recipients["own"].reason
    assert reason.count("its condition is false") == 4
    assert reason.endswith("5 more do not count")


# ---------------------------------------------------------------- tools

TOOLS: dict[str, tuple[str, tuple[str, ...], ToolVerdict]] = {
    "allowed": ("local", ("health",), ToolVerdict(outcome="allow", ring="device")),
    "asked and redacted": (
        "web",
        ("contact", "public"),
        ToolVerdict(outcome="ask", ring="partner", redact=(("contact", "pseudonym"),)),
    ),
    "redacted": (
        "ours",
        ("credentials",),
        ToolVerdict(outcome="allow", ring="house", redact=(("credentials", "remove"),)),
    ),
    "a requirement is never met": ("ours", ("public",), ToolVerdict(outcome="deny", ring="house")),
    "denied": ("web", ("health",), ToolVerdict(outcome="deny", ring="partner")),
    "not declared": ("mystery", ("health",), ToolVerdict(outcome="allow", declared=False)),
}


@pytest.mark.parametrize(("tool", "labels", "verdict"), TOOLS.values(), ids=TOOLS)
def test_a_tool_has_a_verdict(tool: str, labels: tuple[str, ...], verdict: ToolVerdict) -> None:
    facts = Facts(task="extract", labels=frozenset(labels), input_tokens=1)
    assert policy().tool_verdict(tool, facts) == verdict


def test_every_layer_must_allow_a_tool_its_labels() -> None:
    facts = Facts(task="extract", labels=frozenset({"public"}), input_tokens=1)
    assert policy(*MANAGED).tool_verdict("web", facts).outcome == "deny"
    assert policy(*MANAGED).tool_verdict("local", facts).outcome == "allow"
