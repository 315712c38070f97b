"""What stands in a decision: obligations, stages, and the sentence for each recipient."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.policy import Decision, Facts, read_policy

POLICY = read_policy("""version: 1
name: acme
recipients:
  mlx:    {ring: device, provider: mlx, model: small}
  own:    {ring: house, provider: house, model: large}
  rented: {ring: house, provider: house, model: large}
  openai: {ring: partner, provider: openai, model: gpt}
facts:
  user.age_band: {type: enum, values: [adult, minor]}
labels:
  public: {}
  contact: {}
  health: {}
  work: {}
  unclassified: {}
unknown: unclassified
tasks: [minutes]
flow:
  - id: device-any
    allow: {labels: "*", to: [device]}
  - id: house-most
    allow: {labels: [public, contact, health], to: [house]}
  - id: house-contact-attested
    allow: {labels: [contact], to: [house]}
    require: {attested: true}
  - id: house-kept-nowhere
    allow: {labels: [work], to: [house]}
    require: {attested: true, retention: none}
  - id: rented-adults
    allow: {labels: [unclassified], to: [rented]}
    when: {user.age_band: [adult]}
  - id: rented-not-minutes
    deny: {labels: [health], to: [rented]}
    when: {task: [minutes], input_tokens: {over: 1000}}
    reason: The contract forbids it.
  - id: partner-never
    deny: {labels: [health, work], to: [partner]}
    reason: Special-category data stays inside.
route:
  - id: minutes
    when: {task: [minutes]}
    prefer: [own, rented]
    fallback: [mlx, own]
    on_broken_stream: restart
  - id: otherwise
    prefer: [mlx]
""")


def decide(*labels: str, task: str = "minutes", tokens: int = 1, **values: Any) -> Decision:
    facts = {f"user.{name}": value for name, value in values.items()}
    return POLICY.decide(Facts(task=task, labels=frozenset(labels), input_tokens=tokens, values=facts))


def test_the_plan_is_prefer_then_fallback_without_repeats() -> None:
    decision = decide("public")
    assert [(step.recipient, step.stage) for step in decision.plan] == [
        ("own", "prefer"),
        ("rented", "prefer"),
        ("mlx", "fallback"),
    ]
    assert (decision.route, decision.on_broken_stream, decision.outcome) == ("minutes", "restart", "allow")


def test_all_allows_that_match_contribute_their_obligations() -> None:
    assert {step.recipient: step.obligations for step in decide("contact", "health").plan} == {
        "own": ("attest",),
        "rented": ("attest",),
        "mlx": (),
    }
    assert decide("contact").recipients["own"].rules == ("house-most", "house-contact-attested")


def test_a_request_that_nothing_may_take_is_a_decision_too() -> None:
    request = Facts(task="rewrite", labels=frozenset({"public"}), input_tokens=1, to=frozenset({"openai"}))
    decision = POLICY.decide(request)
    assert (decision.outcome, decision.plan, set(decision.recipients)) == ("deny", (), set(POLICY.recipients))


def test_a_route_too_reads_a_request_without_labels_as_unknown() -> None:
    policy = read_policy("""version: 1
recipients: {mlx: {ring: device, provider: mlx, model: m}}
labels: {work: {}, unclassified: {}}
unknown: unclassified
flow: [{id: any, allow: {labels: "*", to: [device]}}]
route:
  - {id: not-known, prefer: [mlx], when: {labels: [unclassified]}}
  - {id: otherwise, prefer: [mlx]}
""")
    assert policy.decide(Facts(task="rewrite", labels=frozenset(), input_tokens=1)).route == "not-known"


def test_the_first_route_whose_condition_is_true_is_taken() -> None:
    assert decide("public", task="rewrite").route == "otherwise"


STAYS_INSIDE = "Special-category data stays inside"
SENTENCES: dict[str, tuple[Decision, str, str]] = {
    "allowed by one": (decide("public"), "mlx", "allowed by rule 'device-any'"),
    "allowed by two": (
        decide("contact"),
        "own",
        "allowed by rules 'house-most' and 'house-contact-attested' if it is attested",
    ),
    "not covered": (decide("public"), "openai", "no rule allows label 'public'"),
    "none of several covered": (decide("public", "contact"), "openai", "no rule allows labels 'contact' and 'public'"),
    "one of several covered": (
        decide("public", "unclassified"),
        "own",
        "no rule allows label 'unclassified'",
    ),
    "not declared": (decide("publik"), "mlx", "no rule allows label 'publik' (not declared: 'publik')"),
    "denied with a reason": (
        decide("health", tokens=2000),
        "rented",
        "rule 'rented-not-minutes' denies 'health': The contract forbids it",
    ),
    "denied and not covered": (
        decide("health", "public"),
        "openai",
        f"rule 'partner-never' denies 'health': {STAYS_INSIDE}; no rule allows labels 'health' and 'public'",
    ),
    "a requirement that is not met": (
        decide("work"),
        "own",
        "no rule allows label 'work'; rule 'house-kept-nowhere' requires retention none, which is not known of 'own'",
    ),
    "an allow that is not evaluable": (
        decide("unclassified"),
        "rented",
        "no rule allows label 'unclassified'; rule 'rented-adults' does not count: user.age_band is not known",
    ),
    "an allow that is false": (
        decide("unclassified", age_band="minor"),
        "rented",
        "no rule allows label 'unclassified'; rule 'rented-adults' does not count: its condition is false",
    ),
    "a task that is not known": (
        decide("health", task="mystery"),
        "rented",
        "rule 'rented-not-minutes' denies 'health' (the task is not known, so it counts): The contract forbids it",
    ),
}


@pytest.mark.parametrize(("decision", "recipient", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_every_recipient_has_a_sentence(decision: Decision, recipient: str, sentence: str) -> None:
    assert decision.recipients[recipient].reason == sentence


def test_a_sentence_stays_short_and_the_rules_stay_complete() -> None:
    many = "\n".join(f"  - {{id: no-{index}, deny: {{labels: [work], to: [mlx]}}}}" for index in range(50))
    policy = read_policy(f"""version: 1
recipients: {{mlx: {{ring: device, provider: mlx, model: m}}}}
labels: {{work: {{}}, unclassified: {{}}}}
unknown: unclassified
flow:
{many}
route: [{{id: all, prefer: [mlx]}}]
""")
    verdict = policy.decide(Facts(task="rewrite", labels=frozenset({"work"}), input_tokens=1)).recipients["mlx"]
    assert verdict.rules == tuple(f"no-{index}" for index in range(50))
    assert verdict.reason.count("denies 'work'") == 4
    assert "46 more deny it" in verdict.reason
