"""Everything that can go wrong, as errors of the provider interface: by type, status and details, never by text.

Nothing of a foreign exception or of a body goes into the result: both may quote the request (invariant 7).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx2
import msgspec

from ringfence.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Overloaded,
    Phase,
    ProtocolViolated,
    ProviderError,
    RateLimited,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    Unavailable,
    describe,
)
from ringfence_gemini.wire import Failure, FailureBody

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})
_RETRY_INFO = "google.rpc.RetryInfo"
_TOO_MANY = 429
_GONE = frozenset({404, 410})
_DENIED = frozenset({401, 403})
_TIMED_OUT = frozenset({408, 409, 499})
_SERVER = range(500, 600)
_KEY_WAY_OUT = "check the key of this recipient: `ringfence doctor` says where it is read"

# Codes inside a stream are those of HTTP; a failure without one has the name of a gRPC status.
_CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": _TOO_MANY,
    "CANCELLED": 499,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def failure_of(body: bytes) -> Failure:
    """What a refusal says in its structured fields; empty where it says nothing that can be read."""
    try:
        return msgspec.json.decode(body, type=FailureBody).error
    except msgspec.DecodeError:
        pass
    try:
        several = msgspec.json.decode(body, type=list[FailureBody])
    except msgspec.DecodeError:
        several = []
    return several[0].error if several else Failure()


def rejection(code: int, failure: Failure, headers: Mapping[str, str], *, phase: Phase) -> ProviderError:
    """The error for a refusal with the HTTP status `code`."""
    reasons = {detail.get("reason") for detail in failure.details}
    retry_after_s = _retry_delay_s(failure.details) or _retry_after_s(headers.get("retry-after"))
    if code in _DENIED or not _KEY_REASONS.isdisjoint(reasons):
        return AuthenticationFailed("Gemini refused the key", phase=phase, way_out=_KEY_WAY_OUT)
    if code == _TOO_MANY:
        return RateLimited("Gemini takes no more requests for now", phase=phase, retry_after_s=retry_after_s)
    if code in _SERVER or code in _TIMED_OUT:
        return Overloaded(f"Gemini failed with status {code}", phase=phase, retry_after_s=retry_after_s)
    if code in _GONE:
        return Unavailable(
            "Gemini has no such model, or not for this key",
            reason="no_model",
            phase=phase,
            way_out="name another model in the policy",
        )
    return RequestRejected(
        f"Gemini refused the request with status {code}", phase=phase, way_out="ask for something else, or differently"
    )


def failure_in_stream(failure: Failure) -> ProviderError:
    """The error for a failure that the API tells inside an answer. The phase is set by who knows it."""
    code = failure.code or _CODES.get(failure.status, 500)
    return rejection(code, failure, {}, phase="mid_stream")


def as_provider_error(error: Exception, phase: Phase) -> RingfenceError:
    """Any exception of a send as one of ours; those of the guard and our own stay what they are."""
    if isinstance(error, RingfenceError):
        return error
    if isinstance(error, httpx2.TransportError):
        return _of_transport(error, phase)
    if isinstance(error, msgspec.DecodeError | httpx2.DecodingError | UnicodeDecodeError | RecursionError):
        return StreamBroken("Gemini answered something that cannot be read", phase=phase)
    if isinstance(error, httpx2.HTTPError | httpx2.StreamError | httpx2.InvalidURL | httpx2.CookieConflict):
        return StreamBroken(f"the exchange with Gemini failed ({type(error).__name__})", phase=phase)
    return _of_sdk(error, phase)


def _of_transport(error: httpx2.TransportError, phase: Phase) -> ProviderError:
    name = type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError):
        from ringfence.transport.faults import why_not_connected  # noqa: PLC0415  (its package loads the network)

        said, way_out = why_not_connected(error)
        return ConnectFailed(f"no connection to Gemini{said}", way_out=way_out)
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return RequestRejected(
            f"the request cannot be sent ({name})", phase=phase, way_out="check url: of the recipient"
        )
    if phase == "connect":
        # Not even the head of an answer came: it may be tried again.
        return ConnectFailed(f"the connection to Gemini broke before an answer ({name})", phase="before_first_event")
    return StreamBroken(f"the connection to Gemini broke ({name})", phase=phase)


def _of_sdk(error: Exception, phase: Phase) -> ProviderError:
    from google.genai import errors  # noqa: PLC0415  (it was imported by whatever raised)

    if isinstance(error, errors.APIError):
        return rejection(_code_of(error), _failure_of_sdk(error), _headers_of(error), phase=phase)
    if isinstance(error, errors.UnknownApiResponseError | errors.ContinuationInterruptedError):
        return StreamBroken("Gemini answered something that cannot be read", phase=phase)
    return ProtocolViolated(f"the Gemini client raised {describe(error)}", phase=phase)


def _code_of(error: Any) -> int:
    return error.code if isinstance(error.code, int) else 0


def _failure_of_sdk(error: Any) -> Failure:
    body: Any = error.details
    inner: Any = cast("dict[str, Any]", body).get("error", body) if isinstance(body, dict) else {}
    listed: Any = cast("dict[str, Any]", inner).get("details") if isinstance(inner, dict) else None
    details: list[Any] = list(cast("Any", listed)) if isinstance(listed, list) else []
    return Failure(status=str(error.status or ""), details=[detail for detail in details if isinstance(detail, dict)])


def _headers_of(error: Any) -> Mapping[str, str]:
    headers: Any = getattr(error.response, "headers", None)
    return cast("Mapping[str, str]", headers) if isinstance(headers, Mapping) else {}


def _retry_delay_s(details: Sequence[Mapping[str, Any]]) -> float | None:
    """The delay of a `google.rpc.RetryInfo`, such as "17s" or "0.5s"."""
    for detail in details:
        delay = detail.get("retryDelay")
        if str(detail.get("@type", "")).endswith(_RETRY_INFO) and isinstance(delay, str):
            found = _DURATION.fullmatch(delay)
            return float(found[1]) if found else None
    return None


def _retry_after_s(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header: a number, or an HTTP date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if 0 <= seconds < math.inf:
        return seconds
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


__all__ = ["as_provider_error", "failure_in_stream", "failure_of", "rejection"]
