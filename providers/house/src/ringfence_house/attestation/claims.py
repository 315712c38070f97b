"""What the evidence token (EAT, RFC 9711) claims, read strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypedDict, cast

from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.strict import from_base64url
from ringfence_house.protocol.names import CLOCK_SKEW_S, MAX_TOKEN_LIFE_S, PROFILE
from ringfence_house.releases.documents import DIGEST, ID, UEID

DEBUG_ON: Final = "enabled"
DEBUG_OFF: Final = "disabled-since-boot"
DEBUG_STATES: Final = frozenset(
    {DEBUG_ON, "disabled", DEBUG_OFF, "disabled-permanently", "disabled-fully-and-permanently"}
)
"""RFC 9711, 4.2.9, as JSON writes them."""

NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_OPAQUE = re.compile(r"[A-Za-z0-9_-]{16,128}")
_NAMES = frozenset(
    {"eat_profile", "iat", "nbf", "exp", "ueid", "rf_ohttp", "rf_release", "rf_boot", "dbgstat", "eat_nonce"}
)


class ReleaseClaim(TypedDict):
    """Which release a node says it is. `code`, `model` and `config` are SHA-256 values in lower-case hex."""

    id: str
    code: str
    model: str
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Claims that are well formed and hold at the time they were read. Times are Unix times."""

    issued_at: int
    expires_at: int
    ueid: str
    key_config: bytes
    release: ReleaseClaim
    debug: bool
    nonce: str | None


def read_claims(claims: Mapping[str, object], now: float, nonce: str | None) -> Claims:
    """The claims of a token whose signature was verified.

    Raises:
        EvidenceRefused: one is unknown, absent or malformed, they do not hold at `now`, or `nonce` was asked for and
            is not there.
    """
    _require(claims.get("eat_profile") == PROFILE, "the token is of a profile that is not known here")
    _require(_NAMES - {"eat_nonce"} <= claims.keys() <= _NAMES, "the token lacks a claim, or has one that is not known")
    issued_at, expires_at = _times(claims, now)
    answered = None if "eat_nonce" not in claims else _text(claims, "eat_nonce", NONCE)
    # INVARIANT: who asked with a nonce takes no answer to another question.
    _require(nonce is None or answered == nonce, "the token does not hold the nonce that was asked for")
    debug = claims["dbgstat"]
    _require(isinstance(debug, str) and debug in DEBUG_STATES, "the claim dbgstat is malformed")
    _text(claims, "rf_boot", _OPAQUE)
    return Claims(
        issued_at=issued_at,
        expires_at=expires_at,
        ueid=_text(claims, "ueid", UEID),
        key_config=_bytes(claims, "rf_ohttp"),
        release=_release(claims["rf_release"]),
        debug=debug == DEBUG_ON,
        nonce=answered,
    )


def _times(claims: Mapping[str, object], now: float) -> tuple[int, int]:
    times = [claims[name] for name in ("iat", "nbf", "exp")]
    _require(all(type(time) is int for time in times), "a time of the token is no integer")
    issued_at, not_before, expires_at = cast("list[int]", times)
    first = min(issued_at, not_before)
    _require(first < expires_at <= first + MAX_TOKEN_LIFE_S, "the token lives longer than an hour, or not at all")
    # The skew is granted to the start only: a token that has ended is never used.
    _require(max(issued_at, not_before) <= now + CLOCK_SKEW_S, "the token is from the future")
    _require(now < expires_at, "the token has expired")
    return issued_at, expires_at


def _release(value: object) -> ReleaseClaim:
    found = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    _require(found.keys() == {"id", "code", "model", "config"}, "the claim rf_release is malformed")
    code, model, config = (_text(found, name, DIGEST) for name in ("code", "model", "config"))
    return ReleaseClaim(id=_text(found, "id", ID), code=code, model=model, config=config)


def _text(values: Mapping[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = values[name]
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise EvidenceRefused("claims", f"the claim {name} is malformed")
    return value


def _bytes(values: Mapping[str, object], name: str) -> bytes:
    value = values[name]
    try:
        return from_base64url(value) if isinstance(value, str) else b""
    except ValueError:
        raise EvidenceRefused("claims", f"the claim {name} is malformed") from None


def _require(holds: bool, sentence: str) -> None:  # noqa: FBT001  (an assertion that cannot be switched off)
    if not holds:
        raise EvidenceRefused("claims", sentence)


__all__ = ["DEBUG_OFF", "DEBUG_ON", "NONCE", "Claims", "ReleaseClaim", "read_claims"]
