"""Every way to fail is one of our errors, by type, status and details; nothing of the request or the key is in it."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
import pytest
from google.genai import _api_client, errors
from providers.gemini.tests.conftest import KEY, asking, recipient

from ringfence.errors import (
    AuthenticationFailed,
    ConnectFailed,
    GateError,
    Overloaded,
    ProtocolViolated,
    ProviderError,
    RateLimited,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    Unavailable,
)
from ringfence_gemini.failures import as_provider_error

if TYPE_CHECKING:
    from providers.gemini.tests.conftest import Json, Wire

PROMPT = "my-private-prompt"
TYPES = "type.googleapis.com/google.rpc"


def refusal(code: int, status: str, *details: Json) -> httpx2.Response:
    return httpx2.Response(
        code, json={"error": {"code": code, "status": status, "message": PROMPT, "details": list(details)}}
    )


def exceptions_of(module: Any) -> list[type[Exception]]:
    """The exception classes that `module` defines, warnings apart."""
    return [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Exception) and not issubclass(one, Warning) and one.__module__ == module.__name__
    ]


SDK_ERRORS: dict[type[Exception], tuple[Exception, type[RingfenceError]]] = {
    errors.APIError: (errors.APIError(302, {"error": {"message": PROMPT}}), RequestRejected),
    errors.ClientError: (errors.ClientError(429, {"error": {"message": PROMPT}}), RateLimited),
    errors.ServerError: (errors.ServerError(503, {"error": {"message": PROMPT}}), Overloaded),
    errors.UnknownApiResponseError: (errors.UnknownApiResponseError(PROMPT), StreamBroken),
    errors.ContinuationInterruptedError: (errors.ContinuationInterruptedError(PROMPT), StreamBroken),
    # These three are of the SDK's own calling of Python functions, which is not used here.
    errors.FunctionInvocationError: (errors.FunctionInvocationError(PROMPT), ProtocolViolated),
    errors.UnsupportedFunctionError: (errors.UnsupportedFunctionError(PROMPT), ProtocolViolated),
    errors.UnknownFunctionCallArgumentError: (errors.UnknownFunctionCallArgumentError(PROMPT), ProtocolViolated),
    _api_client.EphemeralTokenAPIKeyError: (_api_client.EphemeralTokenAPIKeyError(PROMPT), ProtocolViolated),
}


def test_every_exception_of_the_sdk_is_in_the_table() -> None:
    assert {*exceptions_of(errors), *exceptions_of(_api_client)} == set(SDK_ERRORS)


@pytest.mark.parametrize("kind", SDK_ERRORS)
def test_an_exception_of_the_sdk_is_mapped(kind: type[Exception]) -> None:
    error, expected = SDK_ERRORS[kind]
    mapped = as_provider_error(error, "before_first_event")
    assert type(mapped) is expected
    assert PROMPT not in str(mapped)


def test_the_details_of_an_exception_of_the_sdk_are_read() -> None:
    details = [{"@type": f"{TYPES}.RetryInfo", "retryDelay": "3.5s"}]
    mapped = as_provider_error(errors.ClientError(429, {"error": {"details": details}}), "connect")
    assert isinstance(mapped, RateLimited)
    assert mapped.retry_after_s == 3.5


def all_below(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(all_below(below) for below in kind.__subclasses__()))


HTTPX_ERRORS = sorted(
    (
        one
        for base in (httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, httpx2.StreamError)
        for one in all_below(base)
        if one.__module__.startswith("httpx2")
    ),
    key=lambda one: one.__name__,
)
CONNECTING = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"}


def made(kind: type[BaseException]) -> Exception:
    """An exception of `kind` that holds the prompt."""
    error = kind.__new__(kind)
    error.args = (PROMPT,)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("kind", HTTPX_ERRORS)
@pytest.mark.parametrize("phase", ["connect", "mid_stream"])
def test_every_exception_of_the_http_client_is_mapped(kind: type[BaseException], phase: Any) -> None:
    mapped = as_provider_error(made(kind), phase)
    assert isinstance(mapped, ProviderError)
    assert not isinstance(mapped, ProtocolViolated)
    assert isinstance(mapped, ConnectFailed) or kind.__name__ not in CONNECTING
    assert PROMPT not in str(mapped)


def test_a_connection_that_breaks_before_an_answer_may_be_tried_again_and_later_not() -> None:
    before = as_provider_error(httpx2.ReadError(PROMPT), "connect")
    after = as_provider_error(httpx2.ReadError(PROMPT), "mid_stream")
    assert (type(before), before.retryable, getattr(before, "phase", "")) == (ConnectFailed, True, "before_first_event")
    assert (type(after), after.retryable) == (StreamBroken, False)


STATUSES: list[tuple[httpx2.Response, type[ProviderError]]] = [
    (refusal(400, "INVALID_ARGUMENT"), RequestRejected),
    (
        refusal(400, "INVALID_ARGUMENT", {"@type": f"{TYPES}.ErrorInfo", "reason": "API_KEY_INVALID"}),
        AuthenticationFailed,
    ),
    (refusal(400, "FAILED_PRECONDITION"), RequestRejected),
    (refusal(401, "UNAUTHENTICATED"), AuthenticationFailed),
    (refusal(403, "PERMISSION_DENIED"), AuthenticationFailed),
    (refusal(404, "NOT_FOUND"), Unavailable),
    (refusal(413, "INVALID_ARGUMENT"), RequestRejected),
    (refusal(429, "RESOURCE_EXHAUSTED"), RateLimited),
    (refusal(500, "INTERNAL"), Overloaded),
    (refusal(503, "UNAVAILABLE"), Overloaded),
    (refusal(504, "DEADLINE_EXCEEDED"), Overloaded),
    (httpx2.Response(302, headers={"location": "https://elsewhere.example"}), RequestRejected),
    (httpx2.Response(500, text="<html>not JSON: 429</html>"), Overloaded),
    (httpx2.Response(429, json=[{"error": {"code": 429}}]), RateLimited),
]


@pytest.mark.parametrize(("reply", "kind"), STATUSES)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_is_told_by_its_status(
    wire: Wire, reply: httpx2.Response, kind: type[ProviderError], stream: bool
) -> None:
    wire.replies = [reply]
    with pytest.raises(ProviderError) as caught:
        await wire.events(asking(PROMPT, stream=stream), recipient())
    assert type(caught.value) is kind
    assert caught.value.phase == "before_first_event"
    assert len(wire.requests) == 1
    nothing_is_told(caught.value)


def nothing_is_told(error: BaseException | None) -> None:
    """Neither the prompt nor the key nor the address is in `error` or in anything behind it."""
    while error is not None:
        told = f"{error!s} {error!r} {error.args} {vars(error)}"
        assert not any(word in told for word in (PROMPT, KEY, "alt=sse", "googleapis"))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "reply", [httpx2.ConnectError(PROMPT), httpx2.ReadError(PROMPT), httpx2.Response(200, content=b"data: {\n\n")]
)
async def test_nothing_of_the_request_stands_behind_an_error(wire: Wire, reply: Any) -> None:
    wire.replies = [reply]
    with pytest.raises(ProviderError) as caught:
        await wire.events(asking(PROMPT), recipient())
    nothing_is_told(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


async def test_what_the_guard_raises_passes_as_it_is(wire: Wire) -> None:
    refused = GateError("no")
    wire.replies = [refused]
    with pytest.raises(GateError) as caught:
        await wire.events(asking(), recipient())
    assert caught.value is refused


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (refusal(429, "", {"@type": f"{TYPES}.RetryInfo", "retryDelay": "17s"}), 17.0),
        (refusal(503, "", {"@type": f"{TYPES}.RetryInfo", "retryDelay": "0.250s"}), 0.25),
        (refusal(429, "", {"@type": f"{TYPES}.QuotaFailure", "retryDelay": "9s"}), None),
        (refusal(429, "", {"@type": f"{TYPES}.RetryInfo", "retryDelay": "soon"}), None),
        (httpx2.Response(429, headers={"retry-after": "12"}), 12.0),
        (httpx2.Response(429, headers={"retry-after": "whenever"}), None),
        (httpx2.Response(429, headers={"retry-after": "9" * 400}), None),
        (httpx2.Response(429, headers={"retry-after": "-1"}), None),
        (httpx2.Response(429, headers={"retry-after": "Fri, 31 Dec 9999999999 23:59:59 GMT"}), None),
        (refusal(429, "", {"@type": f"{TYPES}.RetryInfo", "retryDelay": "9" * 400 + "s"}), None),
        (httpx2.Response(429), None),
    ],
)
async def test_the_wait_that_was_asked_for_is_told(wire: Wire, reply: httpx2.Response, seconds: float | None) -> None:
    wire.replies = [reply]
    with pytest.raises(ProviderError) as caught:
        await wire.events(asking(), recipient())
    assert caught.value.retry_after_s == seconds


async def test_a_wait_until_a_date_is_told_in_seconds(wire: Wire) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    wire.replies = [httpx2.Response(429, headers={"retry-after": at})]
    with pytest.raises(RateLimited) as caught:
        await wire.events(asking(), recipient())
    assert caught.value.retry_after_s is not None
    assert 80 < caught.value.retry_after_s <= 100


def test_what_cannot_be_decoded_is_a_broken_answer() -> None:
    assert isinstance(as_provider_error(msgspec.ValidationError(PROMPT), "mid_stream"), StreamBroken)
