"""The node's side: evidence made with a key that somebody endorsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from ringfence_house.attestation.claims import DEBUG_OFF, DEBUG_ON, ReleaseClaim
from ringfence_house.attestation.evidence import Evidence, make_evidence
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.strict import to_base64url
from ringfence_house.attestation.token import sign_token
from ringfence_house.protocol.keyconfig import KeyConfig
from ringfence_house.protocol.names import AK_LABEL, PROFILE


class AttestationKey(Protocol):
    """A P-256 key that signs evidence and nothing else; its private half is nobody's business."""

    def jwk(self) -> Mapping[str, str]:
        """The public key, as `kty`, `crv`, `x` and `y`."""
        ...

    def spki(self) -> bytes:
        """The public key as SubjectPublicKeyInfo, in DER."""
        ...

    def sign(self, data: bytes) -> bytes:
        """The ES256 signature of `data`: `r || s`, 64 bytes."""
        ...


def freshness_of(spki: bytes) -> bytes:
    """What an endorsement of the key must hold, 32 bytes: it binds the leaf to the key."""
    return sha256(AK_LABEL + spki).digest()


def issue_evidence(
    key: AttestationKey,
    x5c: Sequence[bytes],
    endorsement: Tier,
    *,
    key_config: KeyConfig,
    release: ReleaseClaim,
    ueid: str,
    boot: str,
    now: float,
    life_s: int,
    nonce: str | None = None,
) -> Evidence:
    """Evidence that holds from `now` on for `life_s` seconds.

    Args:
        key: The attestation key that the leaf of `x5c` endorses.
        x5c: Certificates in DER, leaf first, without the root.
        endorsement: The type of the endorsement.
        key_config: What requests are to be sealed for.
        release: What runs here.
        ueid: As the inventory has it for this device.
        boot: Random since this start, 16 to 128 characters of base64url.
        now: Unix time.
        life_s: At most an hour.
        nonce: What a client asked with, 16 to 64 characters of base64url.
    """
    claims: dict[str, object] = {
        "eat_profile": PROFILE,
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + life_s,
        "ueid": ueid,
        "rf_ohttp": to_base64url(key_config.encoded),
        "rf_release": dict(release),
        "rf_boot": boot,
        "dbgstat": DEBUG_ON if endorsement == "software-dev" else DEBUG_OFF,
    }
    if nonce is not None:
        claims["eat_nonce"] = nonce
    return make_evidence(sign_token(claims, key.sign), key.jwk(), endorsement, x5c)


__all__ = ["AttestationKey", "freshness_of", "issue_evidence"]
