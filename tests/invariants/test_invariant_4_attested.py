"""Invariant 4: where a decision wants an attestation, nothing leaves before one is noted; the receipt tells it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from tests.core.support import assistant, policy
from tests.transport.support import REQUEST, recipient

from ringfence.errors import GateError
from ringfence.grant import _MINT, Grant  # pyright: ignore[reportPrivateUsage]  (tests stand in for the gate)
from ringfence.provider import Plan
from ringfence.receipt import Attestation
from ringfence.recipient import Recipient
from ringfence.response import ProviderEvent
from ringfence.testing import ScriptedProvider

ATTESTATION = Attestation(digest="ab" * 32, tier="apple-mda", release="2026.11", node="kid")
FLOW = 'flow:\n  - id: attested\n    allow: {labels: "*", to: [house]}\n    require: {attested: true}\n'


def _grant(**settings: Any) -> Grant:
    return Grant(_MINT, REQUEST, recipient=recipient("https://house.example.com"), **settings)


def test_a_grant_that_must_be_attested_lets_nothing_through_before() -> None:
    grant = _grant(must_attest=True)
    with grant.spend(REQUEST):
        with pytest.raises(GateError, match="attested"):
            grant.claim(grant.recipient)
        grant.attest(ATTESTATION)
        grant.claim(grant.recipient)


def test_an_attestation_is_of_the_machine_that_is_sent_to() -> None:
    grant = _grant(must_attest=True)
    with pytest.raises(GateError):
        grant.attest(ATTESTATION)  # not spent: nothing is being sent
    with grant.spend(REQUEST):
        grant.attest(ATTESTATION)
        grant.claim(grant.recipient)
        with pytest.raises(GateError):
            grant.attest(ATTESTATION)  # it has left already
    grant.revoke()
    with pytest.raises(GateError):
        grant.attest(ATTESTATION)


def test_what_is_encrypted_is_looked_at_before() -> None:
    grant = _grant(hidden=frozenset({"Ann Smith"}))
    grant.inspect(b'{"content": "[PERSON_1]"}')
    with pytest.raises(GateError, match="redacted"):
        grant.inspect(b'{"content": "Ann Smith"}')
    grant.revoke()
    with pytest.raises(GateError):
        grant.inspect(b"")


def test_a_grant_that_is_over_holds_no_request() -> None:
    grant = _grant()
    assert grant.request is REQUEST
    grant.revoke()
    with pytest.raises(GateError):
        _ = grant.request


class Attesting(ScriptedProvider):
    """Notes what it verified before it answers."""

    def attestations(self, recipient: Recipient) -> Sequence[Attestation]:
        del recipient
        return (ATTESTATION,)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        async for event in super().run(plan, grant):
            if grant.attestation is None:
                grant.attest(ATTESTATION)
            yield event


async def test_the_receipt_tells_what_was_verified() -> None:
    async with assistant(policy("first", flow=FLOW), first=Attesting("yes")) as it:
        receipt = (await it.respond("x")).receipt
    assert (receipt.attestation_digest, receipt.attestation) == (f"sha256:{'ab' * 32}", "apple-mda")


async def test_a_provider_that_attests_nothing_gets_nothing() -> None:
    provider = ScriptedProvider("no")
    async with assistant(policy("first", flow=FLOW), first=provider) as it:
        with pytest.raises(GateError, match="cannot do"):
            await it.respond("x")
    assert provider.requests == []


def test_development_is_said_wherever_a_tier_is_told() -> None:
    tier = Attestation(digest="ab", tier="software-dev", release="x", node="y", development=True)
    assert tier.label == "DEVELOPMENT (software-dev)"
