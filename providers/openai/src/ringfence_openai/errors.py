"""From what goes wrong at the vendor's client to the errors of the provider interface: by type, status and code fields.

Never by words: a message may hold anything. It imports the vendor's SDK, so it is imported when something went wrong.

| what | error |
|---|---|
| no connection (refused, look-up, TLS, proxy) | `ConnectFailed` |
| the connection was lost before any answer | `ConnectFailed`, phase `before_first_event` |
| the connection was lost inside the answer, or the answer is malformed or incomplete | `StreamBroken` |
| 401 | `AuthenticationFailed` |
| 404, or a code that says there is no such model | `Unavailable`, reason `no_model` |
| 429 | `RateLimited` with its wait; with an exhausted quota `RequestRejected`, since waiting does not help |
| 408, 409, 425, 500 and more | `Overloaded` |
| 400, 403 and the other refusals, redirects | `RequestRejected`; a code that says so: `ContextLengthExceeded` |
"""

from __future__ import annotations

import email.utils
import math
import ssl
import time
from collections.abc import Mapping

import anyio
import httpx2
import openai

from ringfence.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ContextLengthExceeded,
    Overloaded,
    Phase,
    ProviderError,
    RateLimited,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    Unavailable,
)
from ringfence.transport.faults import why_not_connected
from ringfence_openai.faults import Cut, Malformed, Refused

_LINK_ERRORS = (
    httpx2.RequestError,
    httpx2.StreamError,
    ssl.SSLError,
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
)
"""What reading and writing can raise; the SDK wraps only some of them."""

_NEVER_CONNECTED = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    ssl.SSLError,
)

_BUSY_STATUS = frozenset({408, 409, 425})
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER, _NOT_IMPLEMENTED = 401, 403, 404, 429, 500, 501
_LEAST_ERROR_STATUS = 400

_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_CONTEXT = frozenset({"context_length_exceeded"})
_RATE = frozenset({"rate_limit_exceeded", "rate_limit_error", "requests", "tokens"})
_NO_MODEL = frozenset({"model_not_found"})
_KEY = frozenset({"invalid_api_key", "authentication_error"})
_BUSY = frozenset({"server_error", "server_is_overloaded", "slow_down", "overloaded_error", "vector_store_timeout"})
_STOPPED = frozenset({"cancelled"})


def as_provider_error(  # noqa: PLR0911  (one error a case)
    error: Exception, phase: Phase, context_tokens: int
) -> RingfenceError | None:
    """The error a caller gets for `error`; `None` for one that is not ours to translate.

    `context_tokens` is what the model has, as far as is known.
    """
    match error:
        case RingfenceError():
            return error
        case Cut():
            return StreamBroken(
                "the answer was cut inside a tool call",
                phase="mid_stream",
                way_out="raise max_output_tokens, or ask for less in one call",
            )
        case Malformed() | RecursionError():
            return StreamBroken("the recipient sent an answer that its API does not allow", phase=phase)
        case Refused():
            return _by_codes(error.codes, phase, context_tokens)
        case openai.APIStatusError():
            return _by_status(error, context_tokens)
        case openai.APIConnectionError():
            return _lost(error.__cause__, phase)
        case openai.OpenAIError():
            return RequestRejected("the vendor's client refused the request", phase=phase)
        case _ if isinstance(error, _LINK_ERRORS):
            return _lost(error, phase)
        case _:
            return None


def _lost(cause: BaseException | None, phase: Phase) -> RingfenceError:
    if isinstance(cause, RingfenceError):
        return cause
    if isinstance(cause, _NEVER_CONNECTED):
        said, way_out = why_not_connected(cause)
        return ConnectFailed(f"no connection to the recipient{said}", way_out=way_out)
    if phase == "connect":
        return ConnectFailed("the connection was lost before the recipient answered", phase="before_first_event")
    return StreamBroken("the connection was lost inside the answer", phase=phase)


def _by_status(  # noqa: PLR0911  (one error a case)
    error: openai.APIStatusError, context_tokens: int
) -> ProviderError:
    status = error.status_code
    codes = {code for code in (error.code, error.type) if isinstance(code, str)}
    wait_s = retry_after_s(error.response.headers, time.time())
    if status == _UNAUTHORIZED:
        return _refused_key()
    if status == _TOO_MANY and codes & _QUOTA:
        return _no_quota("before_first_event")
    if status == _TOO_MANY:
        return RateLimited("the recipient takes no more requests for now", retry_after_s=wait_s)
    if status == _NOT_FOUND or codes & _NO_MODEL:
        return _no_model("before_first_event")
    if codes & _CONTEXT:
        return _too_long("before_first_event", context_tokens)
    if status in _BUSY_STATUS or (status >= _SERVER and status != _NOT_IMPLEMENTED):
        return Overloaded(f"the recipient is failing for now (HTTP {status})", retry_after_s=wait_s)
    return _rejected(status)


def _rejected(status: int) -> ProviderError:
    if status < _LEAST_ERROR_STATUS:
        return RequestRejected(
            f"the recipient answered with a redirect (HTTP {status})", way_out="give the final address as url:"
        )
    if status == _FORBIDDEN:
        return RequestRejected(
            "the recipient does not allow this (HTTP 403)", way_out="check what the key and the project may use"
        )
    return RequestRejected(f"the recipient refused the request (HTTP {status})")


def _by_codes(  # noqa: PLR0911  (one error a case)
    codes: tuple[str, ...], phase: Phase, context_tokens: int
) -> ProviderError:
    given = frozenset(codes)
    if given & _QUOTA:
        return _no_quota(phase)
    if given & _RATE:
        return RateLimited("the recipient takes no more requests for now", phase=phase)
    if given & _CONTEXT:
        return _too_long(phase, context_tokens)
    if given & _KEY:
        return _refused_key(phase)
    if given & _NO_MODEL:
        return _no_model(phase)
    if given & _STOPPED:
        return StreamBroken("the answer was cancelled at the recipient", phase=phase)
    # Without a known word for why, the failure is the backend's.
    if given & _BUSY or not given:
        return Overloaded("the recipient failed while it answered", phase=phase)
    return RequestRejected("the recipient refused the request while it answered", phase=phase)


def _refused_key(phase: Phase = "before_first_event") -> ProviderError:
    return AuthenticationFailed(
        "the recipient refused the credential", phase=phase, way_out="check the key that secret: names"
    )


def _no_quota(phase: Phase) -> ProviderError:
    return RequestRejected(
        "the quota at the recipient is used up", phase=phase, way_out="check the plan and billing of the account"
    )


def _no_model(phase: Phase) -> ProviderError:
    return Unavailable(
        "the recipient knows no such model, or no such address",
        reason="no_model",
        phase=phase,
        way_out="check model: and url: of the recipient",
    )


def _too_long(phase: Phase, context_tokens: int) -> ProviderError:
    return ContextLengthExceeded(
        "the request is longer than the model's context",
        # The recipient says how many only in words, which are not read: it is one more than fit, or more.
        needed_tokens=context_tokens + 1,
        context_tokens=context_tokens,
        phase=phase,
        way_out="shorten the text, or use a model with a longer context",
    )


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The wait a recipient asks for, in seconds from `now_s` (Unix time); `None` where it asks for none."""
    for header, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait_s = float(headers[header]) / per_second
        except (KeyError, ValueError):
            continue
        if math.isfinite(wait_s):
            return max(wait_s, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
        return max(date.timestamp() - now_s, 0.0)
    except (KeyError, ValueError, OverflowError):
        return None


__all__ = ["as_provider_error", "retry_after_s"]
