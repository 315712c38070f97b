"""The JSON Schema of budgets, invariants and the file's own tests."""

from __future__ import annotations

from typing import Any

from ringfence.policy.keys import (
    BUDGET,
    EXPECT,
    FACT_GROUPS,
    INVARIANT,
    MODALITIES,
    NEVER,
    ONLY,
    ONLY_WITH_CONSENT,
    OUTCOMES,
    PERIODS,
    REDACT,
    TEST,
    TEST_REQUEST,
    UNITS,
)
from ringfence.policy.schema_words import LABELS, NAME, NAMES, NAMES_OR_NONE, TEXT, closed, one_of, ref


def budget() -> dict[str, Any]:
    """One budget."""
    money, whole = r"^[0-9]{1,15}(\.[0-9]{1,2})? +USD$", rf"^[0-9]{{1,15}} +({'|'.join(UNITS[1:])})$"
    return closed(
        BUDGET,
        "The most that may be spent at some recipients in one calendar period, in UTC.",
        id=NAME,
        of={"anyOf": [TEXT, NAMES], "description": "A ring or recipient, or a list of them."},
        limit={
            "type": "string",
            "pattern": f"{money}|{whole}",
            "not": {"pattern": r"^[0.]+ "},
            "description": "500 USD, 1000000 tokens or 200 requests.",
        },
        per=one_of(*PERIODS),
        when_spent={"const": "deny"},
    )


def invariants() -> dict[str, Any]:
    """One invariant, and each of its three kinds, as definitions."""
    when = ref("flow_condition")
    never = closed(
        NEVER,
        "No request with any of these labels may reach these.",
        labels=LABELS,
        to=NAMES,
        when=when,
        unless={"enum": ["redacted", "attested"]},
    )
    without_names = {"properties": {"labels": {"const": "*"}, "unless": {"const": "redacted"}}, "required": ["unless"]}
    consent = closed(
        ONLY_WITH_CONSENT, "No request may reach these without consent.", labels=LABELS, to=NAMES, when=when
    )
    only = closed(
        ONLY, "Every request of these tasks goes nowhere but here.", task=NAMES, labels=LABELS, to=NAMES, when=when
    )
    kinds = {"never": ref("never"), "consent": ref("consent_before"), "only": ref("only")}
    return {
        "never": {**never, "not": without_names},
        "consent_before": consent,
        "only": only,
        "invariant": {
            **closed(INVARIANT, "Exactly one of never, consent and only.", **kinds),
            "minProperties": 1,
            "maxProperties": 1,
        },
    }


def tests() -> dict[str, Any]:
    """One test, its request and what it expects, as definitions."""
    facts: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["string", "boolean", "number"]}}
    redactions = {"type": "object", "additionalProperties": one_of(*REDACT)}
    request = closed(
        TEST_REQUEST,
        "A request. Without a text its labels are those declared, else the unknown one.",
        task=TEXT,
        text={"type": "string", "maxLength": 20_000},
        labels=NAMES,
        modality={**NAMES, "items": one_of(*MODALITIES)},
        input_tokens={"type": "integer", "minimum": 0},
        **dict.fromkeys(FACT_GROUPS, facts),
        to=NAMES,
        at={**TEXT, "description": "A moment such as 2026-03-02T09:30, in the policy's time zone."},
    )
    expect = closed(
        EXPECT,
        "What must come out; what is not named is not looked at.",
        labels=NAMES,
        outcome=one_of(*OUTCOMES),
        route=TEXT,
        plan=NAMES_OR_NONE,
        allowed=NAMES_OR_NONE,
        never=NAMES,
        consent=NAMES_OR_NONE,
        redact={"type": "object", "additionalProperties": redactions},
    )
    test = closed(TEST, "One test.", name=TEXT, request=ref("test_request"), expect=ref("expect"))
    return {"test": test, "test_request": request, "expect": {**expect, "minProperties": 1}}
