"""From the endorsed key to the key that requests are sealed for: binding, signature, claims, key configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from providers.house.tests.attestation.support import (
    AK,
    DIGEST,
    GOOD,
    NOW,
    RELEASE,
    Draft,
    Key,
    base64url,
    canonical,
    jwk,
    key_config,
    new_key,
    spki,
    with_claims,
)

from ringfence_house.attestation.refusal import EvidenceRefused

OTHER = new_key()
POINT = jwk(AK)


def _refused(draft: Draft, check: str, words: str = ".", *, nonce: str | None = None) -> None:
    with pytest.raises(EvidenceRefused, match=words) as caught:
        draft.verify(nonce=nonce)
    assert caught.value.check == check


def _padded(value: str) -> str:
    return value + "="


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(Draft(endorsed=OTHER), id="freshness of another key"),
        pytest.param(Draft(ak=OTHER, endorsed=AK), id="another key that signs for itself"),
        pytest.param(Draft(jwk=jwk(new_key(ec.SECP256R1()))), id="another key shown"),
        pytest.param(Draft(jwk={**POINT, "x": POINT["y"], "y": POINT["x"]}), id="a point beside the curve"),
        pytest.param(Draft(jwk={**POINT, "alg": "HS256"}), id="a member more"),
        pytest.param(Draft(jwk={**POINT, "kty": "oct"}), id="another type of key"),
        pytest.param(Draft(jwk={**POINT, "crv": "P-384"}), id="another curve"),
        pytest.param(Draft(jwk={**POINT, "x": _padded(POINT["x"])}), id="padded"),
        pytest.param(Draft(jwk={"kty": "EC", "crv": "P-256", "x": POINT["x"]}), id="half a point"),
    ],
)
def test_a_key_that_was_not_endorsed_is_refused(draft: Draft) -> None:
    _refused(draft, "binding")


def _exchanged_after_signing(token: str) -> str:
    """The token as signed, with the key configuration of an attacker in its claims."""
    header, payload, signature = token.split(".")
    claims = json.loads(_decoded(payload))
    claims["rf_ohttp"] = base64url(key_config())
    return f"{header}.{base64url(canonical(claims))}.{signature}"


def _decoded(segment: str) -> bytes:
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _spelled_otherwise(token: str) -> str:
    """The same signature, with one of the bits set that base64url has to spare."""
    return token[:-1] + chr(ord(token[-1]) + 1)


def _no_signature(_key: Key, _data: bytes) -> bytes:
    return b""


def _hs256_with(secret: Callable[[Key], bytes]) -> Callable[[Key, bytes], bytes]:
    def sign(key: Key, data: bytes) -> bytes:
        mac = hmac.HMAC(secret(key), hashes.SHA256())
        mac.update(data)
        return mac.finalize()

    return sign


def _der_signature(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _header(**members: object) -> bytes:
    return canonical({"alg": "ES256", "typ": "eat+jwt", **members})


HS256 = _header(alg="HS256")


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(Draft(sign=lambda _, data: AK.sign(data, ec.ECDSA(hashes.SHA256()))[:64]), id="noise"),
        pytest.param(Draft(sign=_der_signature), id="a signature in DER"),
        pytest.param(Draft(token=_exchanged_after_signing), id="key config exchanged after signing"),
        pytest.param(Draft(header=_header(alg="none"), sign=_no_signature), id="alg none"),
        pytest.param(Draft(sign=_no_signature), id="no signature"),
        pytest.param(Draft(header=HS256, sign=_hs256_with(spki)), id="HS256 with the key's SPKI"),
        pytest.param(Draft(header=HS256, sign=_hs256_with(lambda key: canonical(jwk(key)))), id="HS256 with the JWK"),
        pytest.param(Draft(header=_header(alg="ES384")), id="another algorithm named"),
        pytest.param(Draft(header=_header(crit=["exp"], exp=1)), id="an unknown crit"),
        pytest.param(Draft(header=_header(b64=False, crit=["b64"])), id="an unencoded payload"),
        pytest.param(Draft(header=_header(jwk=jwk(OTHER))), id="a key in the header"),
        pytest.param(Draft(header=_header(typ="JWT")), id="a token of another type"),
        pytest.param(Draft(header=b'{"alg":"ES256"}'), id="a token of no type"),
        pytest.param(Draft(header=b'{"alg":"none","alg":"ES256","typ":"eat+jwt"}'), id="a name twice in the header"),
        pytest.param(Draft(header=b"[]"), id="a header that is no object"),
        pytest.param(Draft(token=_padded), id="padded"),
        pytest.param(Draft(token=_spelled_otherwise), id="a signature spelled otherwise"),
        pytest.param(Draft(token=lambda token: token + "."), id="four segments"),
        pytest.param(Draft(token=lambda token: token.replace(".", "..", 1)), id="a payload that is detached"),
        pytest.param(Draft(token=lambda _: ""), id="nothing"),
        pytest.param(Draft(token=lambda token: token[:-1] + "é"), id="a character beyond ASCII"),
    ],
)
def test_a_token_that_the_endorsed_key_did_not_sign_as_it_stands_is_refused(draft: Draft) -> None:
    _refused(draft, "signature")


def test_a_token_of_another_signer_is_refused() -> None:
    def by_another(_: Key, data: bytes) -> bytes:
        return Draft().sign(OTHER, data)

    _refused(Draft(sign=by_another), "signature", "not signed by the attestation key")


HOUR = 3600
NOW_S = int(NOW)
GOOD_RELEASE = cast("dict[str, str]", GOOD.good_claims()["rf_release"])


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        pytest.param(with_claims(iat=NOW_S - 7200, nbf=NOW_S - 7200, exp=NOW_S - 3600), "expired", id="expired"),
        pytest.param(with_claims(iat=NOW_S - HOUR, nbf=NOW_S - HOUR, exp=NOW_S), "expired", id="expires now"),
        pytest.param(with_claims(iat=NOW_S + 61, nbf=NOW_S, exp=NOW_S + 999), "future", id="made in the future"),
        pytest.param(with_claims(nbf=NOW_S + 61, exp=NOW_S + 999), "future", id="valid from the future on"),
        pytest.param(with_claims(exp=NOW_S + HOUR + 1), "hour", id="longer than an hour"),
        pytest.param(with_claims(iat=NOW_S - HOUR, exp=NOW_S + HOUR), "hour", id="longer than an hour since made"),
        pytest.param(with_claims(nbf=NOW_S - HOUR, exp=NOW_S + HOUR), "hour", id="longer than an hour since valid"),
        pytest.param(with_claims(iat=NOW_S + 60, nbf=NOW_S + 60, exp=NOW_S + 50), "hour", id="ends before it starts"),
        pytest.param(with_claims(exp=str(NOW_S + HOUR)), "integer", id="a time as text"),
        pytest.param(with_claims(iat=True), "integer", id="a time that is true"),
        pytest.param(with_claims(exp=None), "lacks", id="no end"),
        pytest.param(with_claims(eat_profile=None), "profile", id="no profile"),
        pytest.param(with_claims(eat_profile="tag:ringfence,2026:house-node/0"), "profile", id="an old profile"),
        pytest.param(with_claims(eat_profile="tag:ringfence,2026:house-node/2"), "profile", id="an unknown profile"),
        pytest.param(with_claims(ueid=None), "lacks", id="no ueid"),
        pytest.param(with_claims(ueid=""), "ueid", id="a blank ueid"),
        pytest.param(with_claims(submods={}), "not known", id="an unknown claim"),
        pytest.param(with_claims(rf_boot="short"), "rf_boot", id="a boot value that is not random"),
        pytest.param(with_claims(dbgstat="enabled"), "debugged", id="a node that can be debugged"),
        pytest.param(with_claims(dbgstat="off"), "dbgstat", id="an unknown debug state"),
        pytest.param(with_claims(dbgstat=["disabled"]), "dbgstat", id="a debug state that is no text"),
        pytest.param(with_claims(rf_release={**GOOD_RELEASE, "extra": "1"}), "rf_release", id="a release with more"),
        pytest.param(with_claims(rf_release=RELEASE.id), "rf_release", id="a release that is a name"),
        pytest.param(with_claims(rf_release={**GOOD_RELEASE, "code": DIGEST["code"].upper()}), "code", id="upper case"),
        pytest.param(with_claims(rf_release={**GOOD_RELEASE, "id": "a b"}), "id", id="a release name with a blank"),
        pytest.param(with_claims(rf_ohttp="not base64!"), "rf_ohttp", id="a key config that is no base64"),
        pytest.param(with_claims(eat_nonce=7), "eat_nonce", id="a nonce that is a number"),
        pytest.param(
            Draft(payload=lambda claims: claims.replace(b'{"', b'{"exp":1,"', 1)), "readings", id="a name twice"
        ),
        pytest.param(
            Draft(payload=lambda claims: claims.replace(b'"code"', b'"config":"","code"')),
            "readings",
            id="a name twice below",
        ),
        pytest.param(Draft(payload=lambda _: b"[]"), "object", id="no object"),
        pytest.param(Draft(payload=lambda _: b"\xff"), "readings", id="no text"),
        pytest.param(Draft(payload=lambda _: b"[" * 20_000), "readings", id="too deep"),
        pytest.param(Draft(payload=lambda c: c.replace(b'"exp"', b'"exp":NaN,"e"')), "readings", id="NaN"),
    ],
)
def test_claims_that_do_not_hold_are_refused(draft: Draft, words: str) -> None:
    _refused(draft, "claims", words)


def test_a_clock_may_be_a_minute_off() -> None:
    ahead = with_claims(iat=NOW_S + 60, nbf=NOW_S + 60, exp=NOW_S + 60 + HOUR)

    assert ahead.verify().issued_at == NOW_S + 60


ASKED = "n" * 22


@pytest.mark.parametrize(
    ("draft", "nonce"),
    [
        pytest.param(with_claims(eat_nonce="m" * 22), ASKED, id="wrong"),
        pytest.param(with_claims(eat_nonce=ASKED), "next-" + ASKED, id="replayed"),
        pytest.param(GOOD, ASKED, id="missing"),
        pytest.param(with_claims(eat_nonce=""), "", id="blank"),
    ],
)
def test_evidence_that_does_not_answer_the_nonce_is_refused(draft: Draft, nonce: str) -> None:
    _refused(draft, "claims", "nonce", nonce=nonce)


def test_evidence_that_answers_the_nonce_is_verified() -> None:
    assert with_claims(eat_nonce=ASKED).verify(nonce=ASKED).issued_at == NOW_S


CONFIG = key_config()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONFIG + key_config(2), id="two keys"),
        pytest.param(CONFIG + b"\0", id="a byte behind it"),
        pytest.param(CONFIG[:-1], id="a byte short"),
        pytest.param(CONFIG[:-1] + b"\x03", id="another AEAD"),
        pytest.param(CONFIG[:-3] + b"\x03\x00\x01", id="another KDF"),
        pytest.param(CONFIG[:1] + b"\x00\x21" + CONFIG[3:], id="another KEM"),
        pytest.param(CONFIG[:-6] + b"\x00\x08" + CONFIG[-4:] * 2, id="two suites"),
        pytest.param(CONFIG[:3] + bytes(32) + CONFIG[35:], id="a point of low order"),
        pytest.param(CONFIG[:3] + b"\x01" + bytes(31) + CONFIG[35:], id="another point of low order"),
        pytest.param(len(CONFIG).to_bytes(2, "big") + CONFIG, id="a list of one"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_anything_but_one_key_of_the_one_suite_is_refused(config: bytes) -> None:
    _refused(Draft(config=config), "key", "exactly one")


def test_the_key_is_the_one_in_the_token() -> None:
    node = Draft(config=CONFIG).verify()

    assert node.key_config.encoded == CONFIG
    assert node.kid == node.key_config.kid
