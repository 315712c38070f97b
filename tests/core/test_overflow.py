"""Overflow through the assistant: who is sent the request when a preferred recipient is full, down, or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from tests.core.support import NO_WAIT, recipients_asked

from ringfence import AsyncAssistant
from ringfence.errors import ConsentRefused, Denied, Overloaded, ProviderError, Unavailable, Unsupported
from ringfence.policy import Policy
from ringfence.policy.document import Document, FlowRule, Label, Overflow, RouteRule
from ringfence.policy.policy import enforce
from ringfence.provider import NotAvailable, ReportsUtilisation
from ringfence.recipient import Recipient, Ring
from ringfence.testing import ScriptedProvider, failing

RINGS: dict[str, Ring] = {"mlx": "device", "own": "house", "rented": "house", "partner": "partner"}
DOWN = {"m": NotAvailable(reason="unreachable", detail="no node of the house answers", way_out="wait")}
FULL = failing(Overloaded("every place is taken", phase="before_first_event"))


def rule(effect: Any, labels: Sequence[str], *to: str, consent: bool = False) -> FlowRule:
    return FlowRule(
        id=f"{effect}-{'-'.join(to)}",
        effect=effect,
        labels=frozenset(labels),
        to=frozenset(to),
        consent=consent,
    )


def policy(
    *,
    to: Sequence[str] = ("rented",),
    prefer: Sequence[str] = ("own",),
    fallback: Sequence[str] = (),
    flow: Sequence[FlowRule] = (),
) -> Policy:
    """House data may reach the house; only public data a partner, with consent; work never rented capacity."""
    document = Document(
        name="overflowing",
        recipients={name: Recipient(name=name, ring=ring, provider=name, model="m") for name, ring in RINGS.items()},
        labels={name: Label() for name in ("public", "work", "unclassified")},
        unknown="unclassified",
        flow=(
            rule("allow", ["public", "work"], "device", "house"),
            rule("allow", ["public"], "partner", consent=True),
            rule("deny", ["work"], "rented"),
            *flow,
        ),
        route=(
            RouteRule(
                id="only",
                prefer=tuple(prefer),
                overflow=Overflow(to=tuple(to), over=0.85),
                fallback=tuple(fallback),
            ),
        ),
    )
    return enforce(document, source="test", name="overflowing")


def assistant(policy_in_force: Policy, providers: dict[str, ScriptedProvider], **how: Any) -> AsyncAssistant:
    return AsyncAssistant(policy_in_force, providers=providers, audit=False, retry=NO_WAIT, **how)


async def asked(it: AsyncAssistant, providers: dict[str, ScriptedProvider], label: str = "public") -> list[str]:
    """The recipients that one request is sent to, whether or not one of them answers."""
    for provider in providers.values():
        provider.requests.clear()
    with contextlib.suppress(ProviderError, Denied, ConsentRefused):
        await it.respond("hello", labels={label})
    return recipients_asked(**providers)


def scripted(**given: ScriptedProvider) -> dict[str, ScriptedProvider]:
    return {name: given.get(name) or ScriptedProvider(name) for name in RINGS}


async def test_a_full_recipient_overflows() -> None:
    providers = scripted(own=ScriptedProvider(FULL))
    async with assistant(policy(), providers) as it:
        response = await it.respond("hello", labels={"public"})
    assert response.text == "rented"
    assert [(one.recipient, one.error) for one in response.receipt.attempts] == [
        ("own", "Overloaded"),
        ("rented", None),
    ]


async def test_a_recipient_that_cannot_be_reached_overflows() -> None:
    providers = scripted(own=ScriptedProvider("own", availability=DOWN))
    async with assistant(policy(), providers) as it:
        assert await asked(it, providers) == ["rented"]


async def test_what_was_reported_last_decides_for_the_next_request() -> None:
    own = ScriptedProvider("own", utilisation={"m": 0.9})
    providers = scripted(own=own)
    async with assistant(policy(), providers) as it:
        assert await asked(it, providers) == ["own"], "before it is open nothing is known of it"
        assert await asked(it, providers) == ["rented"]
        own.utilisations["m"] = 0.85
        assert await asked(it, providers) == ["own"]
        own.utilisations.clear()
        assert await asked(it, providers) == ["own"]


async def test_a_busy_recipient_serves_where_its_overflow_cannot() -> None:
    providers = scripted(
        own=ScriptedProvider("own", utilisation={"m": 0.99}), rented=ScriptedProvider("rented", availability=DOWN)
    )
    async with assistant(policy(fallback=["mlx"]), providers) as it:
        await asked(it, providers)
        assert await asked(it, providers) == ["own"]


async def test_invariant_overflow_never_takes_what_flow_refuses_it() -> None:
    providers = scripted(own=ScriptedProvider("own", FULL, utilisation={"m": 0.99}))
    async with assistant(policy(), providers) as it:
        assert await asked(it, providers, "work") == ["own"]
        assert await asked(it, providers, "work") == ["own"], "busy or full, it is the only one that may have it"


@pytest.mark.parametrize(
    "own",
    [
        ScriptedProvider("own", availability=DOWN),
        ScriptedProvider(FULL),
        ScriptedProvider(FULL, utilisation={"m": 1.0}),
    ],
    ids=["down", "full", "busy and full"],
)
async def test_invariant_a_house_that_is_down_never_pushes_house_only_data_to_a_partner(own: ScriptedProvider) -> None:
    everywhere = policy(prefer=["own", "partner"], to=["rented", "partner"], fallback=["partner"])
    providers = scripted(own=own)
    told: list[Any] = []

    async def consent(question: Any) -> bool:
        told.append(question)
        return True

    async with assistant(everywhere, providers, consent=consent) as it:
        for _ in range(2):
            with pytest.raises((Unavailable, Overloaded)):
                await it.respond("hello", labels={"work"})
    assert set(recipients_asked(**providers)) <= {"own"}
    assert told == []


async def test_overflow_to_a_partner_needs_a_consent_of_its_own() -> None:
    providers = scripted(own=ScriptedProvider(FULL))
    async with assistant(policy(to=["partner"]), providers) as it:
        with pytest.raises((ConsentRefused, Overloaded)):
            await it.respond("hello", labels={"public"})
    assert recipients_asked(**providers) == ["own"]


async def test_an_owner_that_flow_refuses_leaves_its_overflow() -> None:
    providers = scripted()
    refused = policy(flow=[rule("deny", ["public"], "own")])
    async with assistant(refused, providers) as it:
        assert await asked(it, providers) == ["rented"]


class Reporting(ScriptedProvider):
    """Reports whatever a test makes it report."""

    report: Any = None

    def utilisation(self, recipient: Recipient) -> float | None:
        if isinstance(self.report, Exception):
            raise self.report
        return self.report if recipient.model else None


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (0.86, "rented"),
        (7, "rented"),
        (float("inf"), "rented"),
        (float("nan"), "own"),
        (-1.0, "own"),
        (True, "own"),
        ("0.9", "own"),
        (None, "own"),
        (ValueError("canary-4711-zebra"), "own"),
    ],
    ids=repr,
)
async def test_a_report_that_is_no_number_is_not_known(
    report: object, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = Reporting("own")
    providers = scripted(own=own)
    async with assistant(policy(), providers) as it:
        await asked(it, providers)
        own.report = report
        assert await asked(it, providers) == [expected]
    assert "canary" not in caplog.text


def test_reporting_is_a_protocol_of_its_own() -> None:
    assert isinstance(ScriptedProvider(), ReportsUtilisation)


async def test_where_nobody_allowed_can_serve_the_error_names_who_was_refused() -> None:
    providers = scripted(own=ScriptedProvider(failing(Unsupported("no pictures", setting="image", way_out="another"))))
    async with assistant(policy(to=(), fallback=()), providers) as it:
        with pytest.raises(Unsupported) as caught:
            await it.respond("hello", labels={"public"}, to={"own"})
        assert caught.value.way_out == "another"
        for _ in range(2):
            with pytest.raises(Unsupported) as caught:
                await it.respond("hello", labels={"work"})
            assert caught.value.way_out == "another; note that the policy refuses 'partner', 'rented' by deny-rented"
