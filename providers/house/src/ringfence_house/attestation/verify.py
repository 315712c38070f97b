"""From bytes that anybody may have sent to nodes that a request may be sealed for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence_house.attestation.checks import check_evidence
from ringfence_house.attestation.endorsement import EndorsementVerifier
from ringfence_house.attestation.evidence import parse_directory
from ringfence_house.attestation.node import Tier, VerifiedNode
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.releases.reference import Reference

DOUBLE = "another device offers the same key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a directory held: nodes that may be used, and why the others may not."""

    nodes: tuple[VerifiedNode, ...]
    refused: tuple[EvidenceRefused, ...]


def verify(
    evidence: bytes,
    reference: Reference,
    verifiers: Sequence[EndorsementVerifier],
    *,
    min_tier: Tier,
    model: str | None,
    now: float,
    nonce: str | None = None,
) -> VerifiedNode:
    """The node that `evidence` proves, to be used until its `expires_at`.

    Args:
        evidence: Its bytes, as they came.
        reference: What may serve now.
        verifiers: One for each type of endorsement that is trusted.
        min_tier: The least that is asked for.
        model: What the node must serve; `None` for any.
        now: Unix time, by this machine's clock.
        nonce: What the evidence was asked for with, if it was.

    Raises:
        EvidenceRefused: any check failed; nothing may be sealed for this node.
    """
    return check_evidence(
        evidence,
        reference,
        verifiers,
        min_tier=min_tier,
        model=model,
        now=now,
        nonce=nonce,
        passed=lambda _name, _detail: None,
    )


def verify_directory(
    data: bytes,
    reference: Reference,
    verifiers: Sequence[EndorsementVerifier],
    *,
    min_tier: Tier,
    model: str | None,
    now: float,
) -> Verified:
    """Every node of a directory. Nodes of other models are left out, which is no refusal.

    Raises:
        EvidenceRefused: the directory as a whole is malformed, empty or too large.
    """
    nodes: list[VerifiedNode] = []
    refused: list[EvidenceRefused] = []
    for evidence in parse_directory(data):
        try:
            nodes.append(verify(evidence, reference, verifiers, min_tier=min_tier, model=None, now=now))
        except EvidenceRefused as refusal:
            refused.append(refusal)
    doubles = doubles_of(nodes)
    refused += [EvidenceRefused("duplicate", DOUBLE) for node in nodes if node.kid in doubles]
    latest = {node.kid: node for node in sorted(nodes, key=lambda node: node.expires_at) if node.kid not in doubles}
    wanted = tuple(node for node in latest.values() if model is None or node.release.model == model)
    return Verified(nodes=wanted, refused=tuple(refused))


def doubles_of(nodes: Sequence[VerifiedNode]) -> frozenset[str]:
    """The `kid`s that more than one device offers.

    INVARIANT: one key, one device. Which of two devices holds a key cannot be told, so neither is used.
    """
    offers = Counter(kid for kid, _ in {(node.kid, node.serial) for node in nodes})
    return frozenset(kid for kid, devices in offers.items() if devices > 1)


__all__ = ["DOUBLE", "Verified", "doubles_of", "verify", "verify_directory"]
