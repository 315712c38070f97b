"""The evidence token: a JWS whose algorithm the key decides, never the token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ringfence_house.attestation.refusal import CheckName, EvidenceRefused
from ringfence_house.attestation.strict import canonical, from_base64url, strict_json, to_base64url

ALGORITHM = "ES256"
"""Of the one key type allowed, EC on P-256: what a Secure Enclave makes."""
HEADER: Mapping[str, str] = {"alg": ALGORITHM, "typ": "eat+jwt"}
COORDINATE_BYTES = 32


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """The JWK of a P-256 key, with the members that RFC 7638 names and no others."""
    numbers = key.public_numbers()
    x, y = (to_base64url(number.to_bytes(COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def public_key(jwk: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    """The key that a JWK holds.

    Raises:
        EvidenceRefused: it is no point on P-256, or says anything besides.
    """
    try:
        x, y = from_base64url(jwk["x"]), from_base64url(jwk["y"])
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
        key = numbers.public_key()
    except (KeyError, ValueError):
        raise EvidenceRefused("binding", "the attestation key is no point on P-256") from None
    if public_jwk(key) != dict(jwk):
        raise EvidenceRefused("binding", "the attestation key is not written in the one way that is allowed")
    return key


def spki_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """The SubjectPublicKeyInfo of a key, in DER: what an endorser vouches for."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign_token(claims: Mapping[str, object], sign: Callable[[bytes], bytes]) -> str:
    """The compact JWS of `claims`; `sign` gives `r || s`, 64 bytes, of SHA-256 of what it is given."""
    signed = f"{to_base64url(canonical(HEADER))}.{to_base64url(canonical(claims))}"
    return f"{signed}.{to_base64url(sign(signed.encode('ascii')))}"


def open_token(token: str, key: ec.EllipticCurvePublicKey) -> dict[str, object]:
    """The claims of a token that `key` signed.

    Raises:
        EvidenceRefused: another algorithm, another signer, a header with anything unknown, or JSON with two readings.
    """
    if len(segments := token.split(".")) != 3:  # noqa: PLR2004  (header, claims, signature)
        raise EvidenceRefused("signature", "the token is no compact JWS")
    # INVARIANT: the header is exactly ours, so no `crit`, `jwk`, `kid` or `b64` is ever acted upon.
    if _json_of(segments[0], "signature") != HEADER:
        raise EvidenceRefused("signature", "the header of the token is not the one that is allowed")
    try:
        jws.deserialize_compact(token, ECKey.import_key(key), algorithms=[ALGORITHM])
    except (ValueError, JoseError):
        raise EvidenceRefused("signature", "the token is not signed by the attestation key") from None
    return _json_of(segments[1], "claims")


def _json_of(segment: str, check: CheckName) -> dict[str, object]:
    try:
        document = strict_json(from_base64url(segment))
    except ValueError:
        raise EvidenceRefused(check, "the token holds no JSON, or JSON with two readings") from None
    if not isinstance(document, dict):
        raise EvidenceRefused(check, "the token holds no JSON object")
    return cast("dict[str, object]", document)


__all__ = ["open_token", "public_jwk", "public_key", "sign_token", "spki_of"]
