"""The path from a pinned root over one intermediate to a leaf, and no other path."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
)

from ringfence_house.attestation.refusal import EvidenceRefused

CHAIN_LENGTH = 2
"""Leaf and intermediate: what Apple delivers, and all that is read. The root is never taken from the evidence."""


def verify_chain(x5c: Sequence[bytes], roots: Sequence[x509.Certificate], now: float) -> x509.Certificate:
    """The leaf of a chain that holds at `now` and ends at one of `roots`.

    Raises:
        EvidenceRefused: it does not, or it has one certificate too few or too many.
    """
    if len(x5c) != CHAIN_LENGTH:
        raise EvidenceRefused("endorsement", "the endorsement must hold two certificates, a leaf and its issuer")
    try:
        leaf, intermediate = (x509.load_der_x509_certificate(certificate) for certificate in x5c)
        found = _policy(roots, now).build_client_verifier().verify(leaf, [intermediate]).chain
    except Exception:  # noqa: BLE001  (whatever a parser raises of strange bytes: one node must not cost the directory)
        raise EvidenceRefused("endorsement", "the certificates are no valid path to a root that is trusted") from None
    # INVARIANT: every certificate that came is on the path, so none of them goes unverified.
    if found[:-1] != [leaf, intermediate]:
        raise EvidenceRefused("endorsement", "the certificates hold one that is not on the path to the root")
    return leaf


def _policy(roots: Sequence[x509.Certificate], now: float) -> PolicyBuilder:
    # The web's defaults ask for names and usages that device leaves lack; what makes a CA a CA stays.
    authorities = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
    authorities = authorities.require_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    leaves = ExtensionPolicy.permit_all().may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_no_authority)
    return (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
        .extension_policies(ca_policy=authorities, ee_policy=leaves)
    )


def _signs_certificates(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("an issuer may not issue")


def _is_no_authority(_policy: Policy, _certificate: x509.Certificate, found: x509.BasicConstraints | None) -> None:
    if found is not None and found.ca:
        raise ValueError("a leaf is an authority")


__all__ = ["verify_chain"]
