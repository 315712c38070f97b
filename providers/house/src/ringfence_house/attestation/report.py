"""Evidence for people to look at: what it claims, and every check with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ringfence_house.attestation.checks import check_evidence
from ringfence_house.attestation.claims import Claims, read_claims
from ringfence_house.attestation.endorsement import EndorsementVerifier
from ringfence_house.attestation.evidence import parse_evidence
from ringfence_house.attestation.node import Tier, VerifiedNode
from ringfence_house.attestation.refusal import CHECKS, CheckName, EvidenceRefused
from ringfence_house.attestation.token import open_token, public_key
from ringfence_house.attestation.verify import DOUBLE, doubles_of
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.keyconfig import parse_key_config
from ringfence_house.releases.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of one node's evidence, and how it ended."""

    name: CheckName
    verdict: Literal["passed", "failed", "not reached"]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """All checks of one node's evidence. `node` is there only where every one of them passed."""

    checks: tuple[Check, ...]
    node: VerifiedNode | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What evidence says of itself, signed by its own key and otherwise unverified."""

    kid: str
    type: str
    digest: str
    claims: Claims


def examine(
    evidence: Sequence[bytes],
    reference: Reference,
    verifiers: Sequence[EndorsementVerifier],
    *,
    min_tier: Tier,
    model: str | None,
    now: float,
    nonce: str | None = None,
) -> list[Examined]:
    """The checks that `verify` makes, for each node of a directory. Never raises for what the evidence holds."""
    found = [
        _examine(each, reference, verifiers, min_tier=min_tier, model=model, now=now, nonce=nonce) for each in evidence
    ]
    doubles = doubles_of([each.node for each in found if each.node is not None])
    return [_with_doubles(each, doubles) for each in found]


def claimed(evidence: bytes, now: float) -> Claimed:
    """What the evidence claims, for a table; nothing may be sealed on the strength of it.

    Raises:
        EvidenceRefused: it is malformed, does not hold at `now`, or is not signed by its own key.
    """
    found = parse_evidence(evidence)
    claims = read_claims(open_token(found.eat, public_key(found.ak)), now, None)
    try:
        kid = parse_key_config(claims.key_config).kid
    except ProtocolFault:
        raise EvidenceRefused("key", "the key configuration is not one that is allowed") from None
    return Claimed(kid=kid, type=found.endorsement, digest=found.digest, claims=claims)


def unseen(sentence: str) -> Examined:
    """Of a node that gave no evidence to examine."""
    return _ended([Check(name="form", verdict="failed", detail=sentence)], None)


def _examine(
    evidence: bytes,
    reference: Reference,
    verifiers: Sequence[EndorsementVerifier],
    *,
    min_tier: Tier,
    model: str | None,
    now: float,
    nonce: str | None,
) -> Examined:
    checks: list[Check] = []
    node: VerifiedNode | None = None

    def passed(name: CheckName, detail: str) -> None:
        checks.append(Check(name=name, verdict="passed", detail=detail))

    try:
        node = check_evidence(
            evidence, reference, verifiers, min_tier=min_tier, model=model, now=now, nonce=nonce, passed=passed
        )
    except EvidenceRefused as refusal:
        checks.append(Check(name=refusal.check, verdict="failed", detail=refusal.sentence))
    return _ended(checks, node)


def _ended(checks: Sequence[Check], node: VerifiedNode | None) -> Examined:
    left = (Check(name=name, verdict="not reached", detail="") for name in CHECKS[len(checks) :])
    return Examined(checks=(*checks, *left), node=node)


def _with_doubles(examined: Examined, doubles: frozenset[str]) -> Examined:
    """With the last check made, which needs the whole directory."""
    if examined.node is None:
        return examined
    double = examined.node.kid in doubles
    last = (
        Check(name="duplicate", verdict="failed", detail=DOUBLE)
        if double
        else Check(name="duplicate", verdict="passed", detail="no other device offers its key")
    )
    return replace(examined, checks=(*examined.checks[:-1], last), node=None if double else examined.node)


__all__ = ["Check", "Claimed", "Examined", "claimed", "examine", "unseen"]
