"""Every check of one node's evidence, in the order of the protocol.

What is cheap and what everything else rests on comes first. `verify` and the reports run these same steps, so a report
cannot say anything that the client does not do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest

from ringfence_house.attestation.claims import Claims, ReleaseClaim, read_claims
from ringfence_house.attestation.endorsement import Endorsement, EndorsementVerifier
from ringfence_house.attestation.evidence import Evidence, parse_evidence
from ringfence_house.attestation.issue import freshness_of
from ringfence_house.attestation.node import TIERS, Tier, VerifiedNode
from ringfence_house.attestation.refusal import CheckName, EvidenceRefused
from ringfence_house.attestation.token import open_token, public_key, spki_of
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.keyconfig import KeyConfig, parse_key_config
from ringfence_house.releases.reference import Device, Reference, Release


def check_evidence(
    data: bytes,
    reference: Reference,
    verifiers: Sequence[EndorsementVerifier],
    *,
    min_tier: Tier,
    model: str | None,
    now: float,
    nonce: str | None,
    passed: Callable[[CheckName, str], None],
) -> VerifiedNode:
    """The node that the evidence proves; `passed` is told of each check that held, and of what it found.

    Raises:
        EvidenceRefused: a check failed, and none after it was made.
    """
    evidence = parse_evidence(data)
    passed("form", f"{len(data)} bytes")
    verifier = _verifier_of(evidence, verifiers, min_tier)
    passed("type", verifier.type)
    endorsement = verifier.verify(evidence.x5c, now)
    passed("endorsement", f"serial {endorsement.serial}, macOS {endorsement.os_version}")
    key = public_key(evidence.ak)
    # INVARIANT: the endorser vouched for this very key; without this link any genuine Mac's chain would do.
    if not compare_digest(endorsement.freshness, freshness_of(spki_of(key))):
        raise EvidenceRefused("binding", "the endorsement is of another attestation key")
    passed("binding", "the endorsed key is the one that signs")
    opened = open_token(evidence.eat, key)
    passed("signature", "by the attestation key")
    claims = read_claims(opened, now, nonce)
    _require_no_debugging(claims, endorsement)
    passed("claims", f"{claims.expires_at - now:.0f} s left")
    config = _key_config(claims)
    passed("key", f"kid {config.kid}")
    release = _release(claims.release, reference, now)
    _require_system(endorsement.os_version, release)
    passed("release", f"{release.id}, {release.model}")
    device = _device(endorsement, claims, reference.devices)
    passed("device", f"serial {device.serial}")
    if model is not None and release.model != model:
        raise EvidenceRefused("model", "the node serves another model")
    passed("model", release.model)
    return VerifiedNode(
        kid=config.kid,
        key_config=config,
        digest=evidence.digest,
        tier=endorsement.tier,
        serial=device.serial,
        release=release,
        issued_at=claims.issued_at,
        expires_at=min(claims.expires_at, endorsement.expires_at, release.not_after, reference.expires_at),
    )


def _verifier_of(evidence: Evidence, verifiers: Sequence[EndorsementVerifier], min_tier: Tier) -> EndorsementVerifier:
    if evidence.endorsement not in TIERS:
        raise EvidenceRefused("type", "the endorsement is of a type that is not known here")
    if TIERS.index(evidence.endorsement) < TIERS.index(min_tier):
        raise EvidenceRefused("type", f"the endorsement is {evidence.endorsement}, and {min_tier} is asked for")
    for verifier in verifiers:
        if verifier.type == evidence.endorsement:
            return verifier
    raise EvidenceRefused("type", f"there is nothing here to verify an endorsement of type {evidence.endorsement} with")


def _require_no_debugging(claims: Claims, endorsement: Endorsement) -> None:
    if claims.debug and endorsement.tier != "software-dev":
        raise EvidenceRefused("claims", "the node says that it can be debugged")


def _key_config(claims: Claims) -> KeyConfig:
    try:
        return parse_key_config(claims.key_config)
    except ProtocolFault:
        raise EvidenceRefused("key", "the key configuration is not exactly one, of the one suite allowed") from None


def _release(claim: ReleaseClaim, reference: Reference, now: float) -> Release:
    if now >= reference.expires_at:
        raise EvidenceRefused("release", "the list of releases has expired")
    release = reference.releases.get(claim["id"])
    if release is None:
        raise EvidenceRefused("release", "the release is not in the list")
    if (release.code, release.model_digest, release.config) != (claim["code"], claim["model"], claim["config"]):
        raise EvidenceRefused("release", "the node runs something else than the release it names")
    if release.revoked:
        raise EvidenceRefused("release", "the release was revoked")
    if not release.not_before <= now < release.not_after:
        raise EvidenceRefused("release", "the release is not allowed yet, or no more")
    return release


def _require_system(version: str, release: Release) -> None:
    if release.min_os is not None and _numbers(version) < _numbers(release.min_os):
        raise EvidenceRefused("release", f"the release needs macOS {release.min_os}, and the device has {version}")


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:  # 14.4 and 14.4.0 are the same version
        numbers.pop()
    return tuple(numbers)


def _device(endorsement: Endorsement, claims: Claims, devices: Mapping[str, Device]) -> Device:
    device = devices.get(endorsement.serial)
    if device is None:
        raise EvidenceRefused("device", "the device is not in the inventory")
    if device.revoked:
        raise EvidenceRefused("device", "the device was revoked")
    if device.ueid != claims.ueid:
        raise EvidenceRefused("device", "the device calls itself by another ueid than the inventory does")
    return device


__all__ = ["check_evidence"]
