"""What went wrong, as an error of Ringfence: told by the status alone, and never in the words of the service.

An answer of the service may repeat the request, or the key. Nothing of it stands in an error.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from ringfence.errors import (
    AuthenticationFailed,
    Overloaded,
    Phase,
    ProviderError,
    RateLimited,
    RequestRejected,
    StreamBroken,
    Unavailable,
)


class Begun(Protocol):
    """An answer of which something may have come."""

    begun: bool


def refusal(status: int, headers: Mapping[str, str]) -> ProviderError:
    """The error of an answer that is none."""
    wait_s = _wait_s(headers.get("retry-after"))
    match status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return AuthenticationFailed("parrot refused the key", way_out="give another key")
        case HTTPStatus.NOT_FOUND:
            return Unavailable(
                "parrot has no such model",
                reason="no_model",
                phase="before_first_event",
                way_out="name another model in the policy",
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            return RateLimited("parrot has had too many requests", retry_after_s=wait_s)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Overloaded(f"parrot is failing: status {status}", retry_after_s=wait_s)
        case _:
            return RequestRejected(f"parrot refused the request: status {status}")


def broken(answer: Begun) -> StreamBroken:
    """The answer ended before its end."""
    return StreamBroken("the answer of parrot broke off", phase=_phase(answer))


def failed(answer: Begun) -> Overloaded:
    """The service said inside its answer that it failed."""
    return Overloaded("parrot failed while it answered", phase=_phase(answer))


def _phase(answer: Begun) -> Phase:
    return "mid_stream" if answer.begun else "before_first_event"


def _wait_s(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None
