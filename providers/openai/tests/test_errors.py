"""What goes wrong, in the words of the provider interface: every exception of the client and of the transport."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import anyio
import httpx2
import openai
import pytest
from openai import _exceptions  # pyright: ignore[reportPrivateUsage]  (the whole tree)

from ringfence import errors
from ringfence.errors import GateError, ProviderError
from ringfence.testing.scenes import Scene
from ringfence_openai.errors import as_provider_error, retry_after_s
from ringfence_openai.faults import Malformed, Refused

MARK = "the-prompt-7f31"
REQUEST = httpx2.Request("POST", f"https://api.openai.com/v1/responses?{MARK}")


def _tree(base: type[BaseException]) -> Iterator[type[BaseException]]:
    yield base
    for child in base.__subclasses__():
        yield from _tree(child)


_BUILT_IN = (OSError, RuntimeError, Exception, BaseException, object)


def _made(kind: type[BaseException]) -> Exception:
    """An instance, whatever its constructor wants; each holds the mark."""
    response = httpx2.Response(418, request=REQUEST, json={"error": {"message": MARK}})
    values: dict[str, object] = {
        "message": MARK,
        "request": REQUEST,
        "response": response,
        "body": {"message": MARK},
        "completion": type("Completion", (), {"usage": MARK})(),
        "unsent_messages": [MARK],
    }
    if "__init__" not in {name for base in kind.__mro__ if base not in _BUILT_IN for name in vars(base)}:
        return kind(MARK)  # type: ignore[return-value]
    parameters = inspect.signature(kind).parameters
    wanted = {name: values[name] for name in parameters if name in values}
    return kind(**wanted)  # type: ignore[return-value]


VENDOR = sorted(
    (kind for kind in vars(_exceptions).values() if isinstance(kind, type) and issubclass(kind, openai.OpenAIError)),
    key=lambda kind: kind.__name__,
)
TRANSPORT = sorted({*_tree(httpx2.RequestError), *_tree(httpx2.StreamError)}, key=lambda kind: kind.__name__)
OTHERS: list[type[BaseException]] = [anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError]


@pytest.mark.parametrize("kind", [*VENDOR, *TRANSPORT, *OTHERS], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", ["connect", "before_first_event", "mid_stream"])
def test_every_exception_is_mapped_and_tells_nothing(kind: type[BaseException], phase: Any) -> None:
    mapped = as_provider_error(_made(kind), phase, 1000)
    assert isinstance(mapped, ProviderError)
    assert not isinstance(mapped, errors.ProtocolViolated)
    assert MARK not in str(mapped)
    assert MARK not in repr(mapped.__dict__)


def test_the_lists_are_whole() -> None:
    names = {kind.__name__ for kind in VENDOR}
    public = set(_exceptions.__all__) - {"InvalidWebhookSignatureError"}
    assert public <= names
    assert {"APIConnectionError", "APITimeoutError", "APIStatusError", "APIResponseValidationError"} <= names
    assert {"ConnectError", "ReadError", "RemoteProtocolError", "DecodingError"} <= {
        kind.__name__ for kind in TRANSPORT
    }


def _status(status: int, *, code: str | None = None, type_: str | None = None, **headers: str) -> Exception:
    body = {"error": {"message": MARK, "code": code, "type": type_, "param": MARK}}
    response = httpx2.Response(status, request=REQUEST, json=body, headers=headers)
    client = openai.OpenAI(api_key="x", base_url="https://api.openai.com/v1")
    return client._make_status_error_from_response(response)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (301, None, errors.RequestRejected),
        (400, None, errors.RequestRejected),
        (400, "context_length_exceeded", errors.ContextLengthExceeded),
        (401, "invalid_api_key", errors.AuthenticationFailed),
        (403, None, errors.RequestRejected),
        (404, None, errors.Unavailable),
        (400, "model_not_found", errors.Unavailable),
        (405, None, errors.RequestRejected),
        (408, None, errors.Overloaded),
        (409, None, errors.Overloaded),
        (413, None, errors.RequestRejected),
        (422, None, errors.RequestRejected),
        (429, None, errors.RateLimited),
        (429, "rate_limit_exceeded", errors.RateLimited),
        (429, "insufficient_quota", errors.RequestRejected),
        (500, "server_error", errors.Overloaded),
        (501, None, errors.RequestRejected),
        (502, None, errors.Overloaded),
        (503, "server_is_overloaded", errors.Overloaded),
        (504, None, errors.Overloaded),
        (529, None, errors.Overloaded),
    ],
)
def test_a_status_has_its_error(status: int, code: str | None, expected: type[ProviderError]) -> None:
    error = _status(status, code=code)
    mapped = as_provider_error(error, "connect", 1000)
    assert type(mapped) is expected
    assert isinstance(mapped, ProviderError)
    assert mapped.phase == "before_first_event"
    assert MARK not in str(mapped)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("rate_limit_exceeded",), errors.RateLimited),
        (("insufficient_quota",), errors.RequestRejected),
        (("server_error",), errors.Overloaded),
        ((None, "server_error"), errors.Overloaded),
        ((), errors.Overloaded),
        (("context_length_exceeded",), errors.ContextLengthExceeded),
        (("invalid_api_key",), errors.AuthenticationFailed),
        (("model_not_found",), errors.Unavailable),
        (("invalid_prompt",), errors.RequestRejected),
        (("cancelled",), errors.StreamBroken),
    ],
)
def test_a_refusal_inside_an_answer_has_its_error(codes: tuple[object, ...], expected: type[ProviderError]) -> None:
    mapped = as_provider_error(Refused(*codes), "mid_stream", 1000)
    assert type(mapped) is expected
    assert isinstance(mapped, ProviderError)
    assert mapped.phase == "mid_stream"


def test_a_malformed_answer_breaks_the_stream() -> None:
    assert isinstance(as_provider_error(Malformed(), "mid_stream", 1), errors.StreamBroken)


def test_what_is_not_ours_is_left_alone() -> None:
    assert as_provider_error(ZeroDivisionError(), "mid_stream", 1) is None


def test_the_gates_error_comes_through_a_wrapping() -> None:
    gate = GateError("no grant")
    wrapped = openai.APIConnectionError(request=REQUEST)
    wrapped.__cause__ = gate
    assert as_provider_error(wrapped, "connect", 1) is gate
    assert as_provider_error(gate, "connect", 1) is gate


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, 0.0) == expected


def test_the_wait_can_be_a_date() -> None:
    now_s = float(int(time.time()))
    assert retry_after_s({"retry-after": formatdate(now_s + 30, usegmt=True)}, now_s) == 30


async def test_no_message_of_the_backend_is_in_the_error(kit: Any) -> None:
    with pytest.raises(errors.RequestRejected) as caught:
        await kit.ask("Hello", Scene(error="bad_request", text=(MARK,)))
    assert MARK not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def _drawn(run: Any, into: list[Any]) -> None:
    async for event in run:
        into.append(event)  # noqa: PERF401  (what came before an error is kept)


async def test_a_break_is_told_in_its_phase(kit: Any) -> None:
    events: list[Any] = []
    kit.backend.play(Scene(text=("a ", "b ", "c"), fault="reset", fault_at=6))
    run = await kit.run(kit.request())
    with pytest.raises(errors.StreamBroken) as caught:
        await _drawn(run, events)
    assert caught.value.phase == ("mid_stream" if events else "before_first_event")


async def test_events_before_a_fault_in_the_same_chunk_are_told_first(chat: Any) -> None:
    """A burst that ends in an error: what came before it is not lost."""
    events: list[Any] = []
    chat.backend.play(Scene(text=("a ", "b ", "c"), fault="error_event", fault_at=3))
    run = await chat.run(chat.request())
    with pytest.raises(ProviderError) as caught:
        await _drawn(run, events)
    assert [event.text for event in events if event.type == "text_delta"] == ["a ", "b "]
    assert caught.value.phase == "mid_stream"
