"""What a caller is told when the engine fails, and what our client makes of it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from ringfence.errors import (
    AuthenticationFailed,
    BackendDied,
    Closed,
    ConnectFailed,
    ContextLengthExceeded,
    InvalidRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    RingfenceError,
    StreamBroken,
    TimedOut,
    Unavailable,
    Unsupported,
)
from ringfence.request import Message, Request, TextPart
from ringfence.response import Finish
from ringfence.testing import Script, text_events
from ringfence_house_node.api.faults import fault_of

SECRET = "canary-7Q"
CASES: list[tuple[RingfenceError, int, str, type[RingfenceError]]] = [
    (
        ContextLengthExceeded(SECRET, needed_tokens=9, context_tokens=8),
        400,
        "context_length_exceeded",
        ContextLengthExceeded,
    ),
    (Unsupported(SECRET, setting="tools"), 400, "unsupported_parameter", RequestRejected),
    (InvalidRequest(SECRET), 400, "invalid_request", RequestRejected),
    (RequestRejected(SECRET), 400, "invalid_request", RequestRejected),
    (Overloaded(SECRET, retry_after_s=3.0), 503, "server_is_overloaded", Overloaded),
    (RateLimited(SECRET), 503, "server_is_overloaded", Overloaded),
    (BackendDied(SECRET), 503, "server_error", Overloaded),
    (ConnectFailed(SECRET), 503, "server_error", Overloaded),
    (StreamBroken(SECRET, phase="before_first_event"), 503, "server_error", Overloaded),
    (TimedOut(SECRET, limit="first_event", phase="before_first_event"), 503, "server_error", Overloaded),
    (Unavailable(SECRET, reason="no_memory"), 503, "server_error", Overloaded),
    (AuthenticationFailed(SECRET), 503, "server_error", Overloaded),
    (Closed(SECRET), 500, "server_error", Overloaded),
]
NAMES = [type(case[0]).__name__ for case in CASES]


def _request(*, stream: bool = True) -> Request:
    return Request(messages=(Message("user", (TextPart("Hello"),)),), stream=stream)


@pytest.mark.parametrize(("error", "status", "code", "theirs"), CASES, ids=NAMES)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_the_answer_has_a_status(  # noqa: PLR0917  (pytest passes names)
    make_node: Any, ours_at: Any, error: RingfenceError, status: int, code: str, theirs: Any, stream: bool
) -> None:
    node = make_node(Script(events=(), error=error))
    got, pieces = await node.call(
        {"model": "house-model", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    )
    told = json.loads(pieces[0])["error"]
    assert (got, told["code"]) == (status, code)
    assert SECRET not in json.dumps(told)
    assert [type(failure) for failure in node.failures] == [type(error)]
    with pytest.raises(theirs) as raised:
        await (await ours_at(node)).events(_request(stream=stream))
    assert SECRET not in str(raised.value)
    if isinstance(raised.value, ProviderError):
        assert raised.value.phase == "before_first_event"


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=NAMES)
async def test_an_error_inside_the_answer_is_its_last_event(
    make_node: Any, ours_at: Any, error: RingfenceError
) -> None:
    node = make_node(Script(events=text_events("half", "way")[:3], error=error))
    *_, last = await node.stream()
    assert last["error"]["code"] in {case[2] for case in CASES}
    assert SECRET not in json.dumps(last)
    with pytest.raises(ProviderError) as raised:
        await (await ours_at(node)).events(_request())
    assert raised.value.phase == "mid_stream"


async def test_the_wait_of_a_full_engine_reaches_our_client(make_node: Any, ours_at: Any) -> None:
    node = make_node(Script(events=(), error=Overloaded("full", retry_after_s=3.0)))
    with pytest.raises(Overloaded) as raised:
        await (await ours_at(node)).events(_request())
    assert raised.value.retry_after_s == 3.0


@pytest.mark.parametrize("reason", ["error", "other"])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_ended_for_no_known_reason_is_none(
    make_node: Any, ours_at: Any, reason: Any, stream: bool
) -> None:
    node = make_node(list(text_events("half", finish=Finish(reason))))
    with pytest.raises(Overloaded):
        await (await ours_at(node)).events(_request(stream=stream))


async def test_what_an_engine_raises_that_is_not_ours_is_told_to_nobody(
    make_node: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node = make_node(Script(events=(), error=KeyError(SECRET)))
    status, body = await node.chat()
    assert status == 503
    assert SECRET not in json.dumps(body)
    assert SECRET not in caplog.text


def test_what_the_engine_cannot_do_is_named_in_the_words_of_the_api() -> None:
    assert fault_of(Unsupported("x", setting="output"), of_a_server=False).param == "response_format"
    assert fault_of(Unsupported("x", setting="seed"), of_a_server=False).param == "seed"


def test_what_the_template_of_a_server_refuses_is_the_callers_fault() -> None:
    error = Unavailable("404", reason="no_model", phase="before_first_event")
    assert fault_of(error, of_a_server=True).status == 400
    assert fault_of(error, of_a_server=False).status == 503


async def test_calls_show_nothing_of_themselves(make_node: Any) -> None:
    from ringfence_house_node.api.chat_request import chat_request
    from ringfence_house_node.engine.limits import limits_of
    from ringfence_house_node.engine.settings import EngineSettings

    body = {"model": "m", "messages": [{"role": "user", "content": SECRET}], "user": SECRET}
    limits = limits_of(EngineSettings(kind="mlx", model="m"))
    asked = chat_request(json.dumps(body).encode(), model="m", limits=limits)
    assert SECRET not in repr(asked)
    assert SECRET not in repr(asked.messages)
