"""Consent and tools: which decision asks a person, how they are asked, and what a tool may be given."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.policy import Decision, Facts, Policy, builtin_policy, read_policy
from ringfence.policy.decision import ConsentRule
from ringfence.policy.reach import reached
from ringfence.policy.warnings import find_warnings

TEXT = """version: 1
name: asking
recipients:
  mlx:    {ring: device, provider: mlx, model: m}
  own:    {ring: house, provider: openai, model: m, url: "https://own.example/v1"}
  openai: {ring: partner, provider: openai, model: m}
  gemini: {ring: partner, provider: gemini, model: m}
facts: {user.staff: {type: bool}}
labels: {public: {}, contact: {}, health: {}, unclassified: {}}
unknown: unclassified
tools:
  create_event: {ring: device}
  our_search: {ring: house}
  web_search: {ring: partner}
  mcp__files/read: {ring: device}
flow:
  - {id: device-most, allow: {labels: [public, contact, health], to: [device]}}
  - {id: house-public, allow: {labels: [public], to: [house]}}
  - {id: house-contact, allow: {labels: [contact], to: [house]}, require: {attested: true}, consent: ask}
  - {id: house-staff, allow: {labels: [public], to: [own]}, when: {user.staff: true}, consent: ask}
  - {id: own-health, allow: {labels: [health], to: [own]}}
  - {id: partner-public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: no-minutes, deny: {labels: [public], to: [device]}, when: {task: [embed]}}
consent:
  partner: {per: ring, lasts: request, show: [labels, preview], when_no_ui: deny}
  gemini: {}
route:
  - {id: inside, when: {task: [rewrite]}, prefer: [own, openai], fallback: [mlx]}
  - {id: outside, prefer: [openai, gemini, own], fallback: [mlx]}
"""
POLICY = read_policy(TEXT)


def decide(*labels: str, task: str = "open_question", **values: Any) -> Decision:
    return POLICY.decide(facts(*labels, task=task, **values))


def facts(*labels: str, task: str = "open_question", **values: Any) -> Facts:
    known = {f"user.{name}": value for name, value in values.items()}
    return Facts(task=task, labels=frozenset(labels), input_tokens=1, values=known)


def plan(decision: Decision) -> dict[str, tuple[str, ...]]:
    return {step.recipient: step.obligations for step in decision.plan}


def test_an_allow_that_asks_makes_consent_an_obligation_of_its_step() -> None:
    asking = decide("public", staff=False)
    assert plan(asking) == {"openai": ("consent",), "gemini": ("consent",), "own": (), "mlx": ()}
    assert asking.outcome == "ask"


def test_the_outcome_is_that_of_the_first_step() -> None:
    decision = decide("public", task="rewrite", staff=False)
    assert list(plan(decision).items())[:2] == [("own", ()), ("openai", ("consent",))]
    assert decision.outcome == "allow"


def test_one_allow_that_matches_and_asks_is_enough() -> None:
    assert plan(decide("public", task="rewrite", staff=True))["own"] == ("consent",)
    # An allow whose condition is not evaluable does not count, and nor does its obligation.
    assert plan(decide("public", task="rewrite"))["own"] == ()


def test_attestation_stands_before_consent() -> None:
    assert plan(decide("contact", "public", task="rewrite"))["own"] == ("attest", "consent")


def test_the_document_of_a_decision_shows_what_must_be_consented_to() -> None:
    shown = decide("public").as_dict()
    assert shown["outcome"] == "ask"
    assert shown["plan"][0] == {"recipient": "openai", "ring": "partner", "obligations": ["consent"]}


def test_how_consent_is_asked_is_what_the_file_says_of_the_recipient_or_else_of_its_ring() -> None:
    assert POLICY.consent_rule("openai") == ConsentRule(per="ring", lasts="request", show=("labels", "preview"))
    assert POLICY.consent_rule("gemini") == POLICY.consent_rule("own") == ConsentRule()


LASTS: dict[str, str | int] = {
    "request": "request",
    "session": "session",
    "90s": 90,
    "30m": 1_800,
    "1h": 3_600,
    "12 h": 43_200,
    "30d": 2_592_000,
    "2w": 1_209_600,
    "3650d": 315_360_000,
}


@pytest.mark.parametrize(("written", "lasts"), LASTS.items(), ids=LASTS)
def test_a_consent_lasts_for_the_request_the_session_or_whole_seconds(written: str, lasts: str | int) -> None:
    policy = read_policy(TEXT.replace("lasts: request", f"lasts: {written}"))
    assert policy.consent_rule("openai").lasts == lasts


def test_the_digest_covers_consent_and_tools() -> None:
    texts = [
        TEXT,
        TEXT.replace("per: ring", "per: recipient"),
        TEXT.replace("[labels, preview]", "[labels]"),
        TEXT.replace("our_search: {ring: house}", "our_search: {ring: partner}"),
        TEXT.replace("  web_search: {ring: partner}\n", ""),
        TEXT.replace("require: {attested: true}, consent: ask", "require: {attested: true}"),
    ]
    assert len({read_policy(text).digest for text in texts}) == len(texts)


def test_where_a_label_may_go_says_where_a_person_is_asked() -> None:
    assert reached(POLICY.document)["public"] == {
        "mlx": "sometimes",
        "own": "always",
        "openai": "ask",
        "gemini": "ask",
    }
    assert reached(POLICY.document)["contact"] == {"mlx": "always", "own": "ask"}


def warnings_of(text: str) -> list[str]:
    """The warnings about consent."""
    found = [warning.message for warning in find_warnings(read_policy(text).document)]
    return [message for message in found if "consent" in message]


def test_consent_for_what_stays_on_the_device_is_a_warning() -> None:
    text = TEXT.replace("health], to: [device]}", "health], to: [device]}, consent: ask")
    assert warnings_of(text) == ["rule 'device-most' asks for consent, and reaches nothing beyond the device."]


def test_a_consent_that_no_rule_asks_for_is_a_warning() -> None:
    assert warnings_of(TEXT) == []
    assert warnings_of(TEXT.replace("  gemini: {}", "  mlx: {}")) == [
        "no rule under flow: asks for consent where 'mlx' is reached."
    ]


# ---------------------------------------------------------------- tools


@pytest.mark.parametrize(
    ("tool", "labels", "outcome"),
    [
        ("create_event", ["public", "health"], "allow"),
        ("mcp__files/read", ["public"], "allow"),
        ("create_event", ["unclassified"], "deny"),
        ("create_event", ["public", "no such label"], "deny"),
        ("our_search", ["public"], "allow"),
        ("our_search", ["contact"], "deny"),
        ("our_search", ["health"], "deny"),
        ("web_search", ["public"], "ask"),
        ("not_declared", ["unclassified"], "allow"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_tool_gets_what_flow_allows_to_its_ring_without_a_requirement(
    tool: str, labels: list[str], outcome: str
) -> None:
    """A rule that requires something, and a rule for one recipient, allow a tool nothing."""
    assert POLICY.tool_verdict(tool, facts(*labels)).outcome == outcome


def test_a_deny_of_the_ring_holds_for_its_tools() -> None:
    assert POLICY.tool_verdict("create_event", facts("public", task="embed")).outcome == "deny"
    # A deny that depends on the task applies to a task that the file does not know.
    assert POLICY.tool_verdict("create_event", facts("public", task="no such task")).outcome == "deny"


def test_data_without_labels_is_unknown_to_a_tool() -> None:
    assert POLICY.tool_verdict("create_event", facts()).outcome == "deny"
    anything = TEXT.replace("[public, contact, health], to: [device]", '"*", to: [device]')
    assert read_policy(anything).tool_verdict("create_event", facts()).outcome == "allow"


def test_a_policy_that_declares_no_tool_rules_none() -> None:
    assert builtin_policy().tool_verdict("web_search", facts("health")).outcome == "allow"


def test_empty_sections_say_nothing() -> None:
    bare = POLICY_WITHOUT + "tools: {}\nconsent: {}\n"
    assert read_policy(bare).digest == without().digest


POLICY_WITHOUT = """version: 1
recipients: {mlx: {ring: device, provider: mlx, model: m}}
labels: {unclassified: {}}
unknown: unclassified
flow: [{id: any, allow: {labels: "*", to: [device]}}]
route: [{id: all, prefer: [mlx]}]
"""


def without() -> Policy:
    return read_policy(POLICY_WITHOUT)
