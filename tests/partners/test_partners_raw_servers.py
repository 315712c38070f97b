"""Servers at a partner's address that answer what the real one would not: still an error of ours, and the right one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.core.support import as_shown, drain
from tests.partners.support import (
    APIS,
    DEVICE,
    LOCAL,
    ONCE,
    QUICK,
    Api,
    Person,
    assistant,
    at,
    backend,
    partner,
    policy_text,
)

from ringfence import Timeouts
from ringfence.errors import RateLimited, RingfenceError, StreamBroken, TimedOut
from ringfence.request import ToolCallPart
from ringfence.response import UsageReport
from ringfence.testing import PartnerServer, Scene
from ringfence.testing.partners import gemini_content, openai_chat, openai_responses

pytestmark = pytest.mark.usefixtures("server")


_EVENT_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def serving(*pieces: bytes, pause_s: float = 0.0, times: int = 1) -> AsyncGenerator[str]:
    """A server that reads one request and writes `pieces`, then closes; yields its origin."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        try:
            for _ in range(times):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def named(api: Api, origin: str) -> str:
    return partner(api, origin if api == "gemini" else f"{origin}/v1")


def whole(status: str, body: bytes, *headers: str, media_type: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {media_type}", f"content-length: {len(body)}", *headers]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


async def error_of(api: Api, origin: str, *, streamed: bool = True) -> RingfenceError:
    limits = Timeouts(connect_s=10, first_event_s=10, between_events_s=10)
    async with assistant(policy_text({"first": named(api, origin)}), audit=False, retry=ONCE, timeouts=limits) as asked:
        stream = asked.stream("Hello", labels=["public"])
        if not streamed:
            with pytest.raises(RingfenceError) as raised:
                await asked.respond("Hello", labels=["public"])
            return raised.value
        _, error = await drain(stream)
    assert error is not None
    return error


WAITS: Sequence[tuple[str, float | None]] = [
    ("7", 7.0),
    ("-3", None),
    ("soon", None),
    ("nan", None),
    ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ("Mon, 01 Jan 99999 00:00:00 GMT", None),
    ("9" * 400, None),
]


IDS = [wait[:12].encode("ascii", "replace").decode() for wait, _ in WAITS]


@pytest.mark.parametrize(("wait", "expected"), WAITS, ids=IDS)
@pytest.mark.parametrize("api", ["chat", "gemini"])
async def test_any_retry_after_is_a_rate_limit(api: Api, wait: str, expected: float | None) -> None:
    error = await refused_with(api, wait)
    assert isinstance(error, RateLimited)
    if expected is not None:
        assert error.retry_after_s == expected
    else:
        assert error.retry_after_s is None or error.retry_after_s >= 0


@pytest.mark.parametrize(
    "api",
    [
        "chat",
        "gemini",
    ],
)
async def test_a_fraction_of_a_second_is_a_wait(api: Api) -> None:
    error = await refused_with(api, "0.25")
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 0.25


@pytest.mark.parametrize(
    "api",
    [
        "chat",
        "gemini",
    ],
)
async def test_a_retry_after_of_other_digits_is_a_rate_limit(api: Api) -> None:
    assert isinstance(await refused_with(api, "\xb2"), RateLimited)


async def refused_with(api: Api, wait: str) -> RingfenceError:
    refusal = json.dumps({"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}).encode()
    async with serving(whole("429 Too Many Requests", refusal, f"retry-after: {wait}")) as origin:
        return await error_of(api, origin)


BODIES = {
    "html": whole("200 OK", b"<html>Login to the hotel's network</html>", media_type="text/html"),
    "empty": whole("200 OK", b""),
    "null": whole("200 OK", b"null"),
    "list": whole("200 OK", b"[]"),
    "object": whole("200 OK", b"{}"),
    "not utf-8": whole("200 OK", b'{"id": "\xff\xfe"}'),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "redirect": whole("307 Temporary Redirect", b"", "location: http://127.0.0.1:9/"),
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "short": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{",
    "error without json": whole("503 Service Unavailable", b"upstream connect error"),
    "error of another shape": whole("500 Internal Server Error", b'{"error": [["a"], 3, null]}'),
    "error that is text": whole("500 Internal Server Error", b'"no"'),
    "teapot": whole("418 I'm a teapot", b"{}"),
    "event stream of nothing": whole("200 OK", b"\n\n\n", media_type="text/event-stream"),
    "event of nothing": whole("200 OK", b"data: {}\n\n", media_type="text/event-stream"),
    "done only": whole("200 OK", b"data: [DONE]\n\n", media_type="text/event-stream"),
    "nulls": whole(
        "200 OK",
        b'data: {"choices":[{"index":0,"delta":null,"finish_reason":null}],"candidates":[{"content":null}]}\n\n',
        media_type="text/event-stream",
    ),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("api", APIS)
async def test_what_is_no_answer_is_an_error_of_the_recipient(api: Api, name: str, streamed: bool) -> None:
    async with serving(BODIES[name]) as origin:
        error = await error_of(api, origin, streamed=streamed)
    assert type(error).__name__ in {"StreamBroken", "ConnectFailed", "Overloaded", "RequestRejected"}
    assert "Login" not in str(error)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", ["responses", "chat", "gemini"])
async def test_an_answer_nested_without_end_is_a_fault_of_the_recipient(api: Api, streamed: bool) -> None:
    async with serving(whole("200 OK", b'{"output":' * 5_000)) as origin:
        error = await error_of(api, origin, streamed=streamed)
    assert isinstance(error, StreamBroken)


@pytest.mark.parametrize("api", APIS)
async def test_an_answer_that_comes_byte_by_byte_is_the_same(api: Api) -> None:
    """Also in the middle of a character of four bytes."""
    text = "naïve 🦝 漢字"
    events: list[dict[str, Any]]
    if api == "gemini":
        events = [{"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}]}]
    elif api == "chat":
        events = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}]
    else:
        item: dict[str, Any] = {"type": "message", "content": [{"type": "output_text", "text": text}]}
        events = [
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"status": "completed", "output": [item]}},
        ]
    body = b"".join(b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\r\n\r\n" for one in events)
    body += b"data: [DONE]\r\n\r\n" if api == "chat" else b""
    pieces = [b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body]
    async with (
        serving(_EVENT_STREAM, *pieces, b"0\r\n\r\n") as origin,
        assistant(policy_text({"first": named(api, origin)}), audit=False, retry=ONCE) as asked,
        asked.stream("Hello", labels=["public"]) as stream,
    ):
        response = await stream.response()
    assert response.text == text


UNFINISHED = {
    "responses": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Once upon"}]}]},
    "chat": {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Once upon"}, "finish_reason": None}]
    },
    "gemini": {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Once upon"}]}}]},
}


@pytest.mark.parametrize(
    "api",
    [
        "responses",
        "chat",
        "gemini",
    ],
)
async def test_a_whole_answer_that_does_not_say_it_is_complete_is_broken(api: Api) -> None:
    async with serving(whole("200 OK", json.dumps(UNFINISHED[api]).encode())) as origin:
        error = await error_of(api, origin, streamed=False)
    assert isinstance(error, StreamBroken)


CALL = ToolCallPart("call_1", "weather", '{"city":"Ulm"}')
CUT = {
    "text": Scene(text=("Once", " upon", " a time.")),
    "calls": Scene(text=("Let me look.",), tool_calls=(CALL, replace(CALL, id="call_2"))),
    "reasoning": Scene(reasoning=("First", " this."), text=("So it is.",)),
}


def events_of(api: Api, scene: Scene) -> tuple[bytes, ...]:
    """The wire events of `scene`, as the double would send them."""
    body: dict[str, object] = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    if api == "gemini":
        answer = gemini_content.answer("m", scene, stream=True, sse=True)
    else:
        answer = (openai_chat if api == "chat" else openai_responses).answer(body, scene)
    assert answer.events is not None
    return answer.events


@pytest.mark.parametrize("scene", CUT)
@pytest.mark.parametrize("api", APIS)
async def test_a_body_that_ends_in_order_but_too_early_is_broken(api: Api, scene: str) -> None:
    """As a proxy ends it: HTTP is complete, the answer is not. Cut before each event, and in its middle."""
    events = events_of(api, CUT[scene])
    faults: list[str] = []
    for count, last in enumerate(events):
        for half in (b"", last[: len(last) // 2]):
            sent = b"".join(events[:count]) + half
            chunk = b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b""
            async with (
                serving(_EVENT_STREAM, chunk, b"0\r\n\r\n") as origin,
                assistant(policy_text({"first": named(api, origin)}), audit=False, retry=ONCE) as asked,
            ):
                events_seen, error = await drain(asked.stream("Hello", labels=["public"]))
            if not isinstance(error, StreamBroken) or error.partial_text != as_shown(events_seen):
                faults.append(f"{count} of {len(events)} and {len(half)} bytes: {error!r}")
    assert faults == []


@pytest.mark.parametrize("api", APIS)
async def test_a_whole_body_that_is_cut_is_broken(api: Api) -> None:
    """At every place, though its length is announced to be just that."""
    body: dict[str, object] = {"model": "m"}
    scene = Scene(text=("Hello",), reasoning=("Hm.",), tool_calls=(CALL,))
    if api == "gemini":
        whole_answer = gemini_content.answer("m", scene, stream=False, sse=False).body
    else:
        whole_answer = (openai_chat if api == "chat" else openai_responses).answer(body, scene).body
    faults: list[str] = []
    for length in range(0, len(whole_answer.rstrip()), 23):
        async with serving(whole("200 OK", whole_answer[:length])) as origin:
            error = await error_of(api, origin, streamed=False)
        if not isinstance(error, StreamBroken):
            faults.append(f"{length} of {len(whole_answer)} bytes: {error!r}")
    assert faults == []


@pytest.mark.parametrize("api", APIS)
async def test_signs_of_life_alone_are_no_first_event(api: Api) -> None:
    async with serving(_EVENT_STREAM, *[b"7\r\n: ping\n\r\n"] * 200, pause_s=0.02) as origin:
        limits = Timeouts(connect_s=20, first_event_s=0.8)
        async with assistant(policy_text({"first": named(api, origin)}), audit=False, timeouts=limits) as asked:
            _, error = await drain(asked.stream("Hello", labels=["public"]))
    assert isinstance(error, TimedOut)
    assert error.limit == "first_event"


@pytest.mark.parametrize("api", APIS)
async def test_a_recipient_that_never_shakes_hands_is_one_of_connecting(api: Api) -> None:
    """The kernel takes the connection, nobody answers the TLS greeting."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        policy = policy_text({"first": named(api, origin), "local": DEVICE}, fallback=["local"])
        limits = Timeouts(connect_s=1.5, first_event_s=30)
        async with assistant(policy, audit=False, retry=ONCE, timeouts=limits) as asked:
            response = await asked.respond("Hello", labels=["public"])
    assert response.text == LOCAL
    first = response.receipt.attempts[0]
    assert (first.error, first.phase) == ("TimedOut", "connect")


@pytest.mark.parametrize("api", APIS)
async def test_nobody_listening_is_a_connection_that_failed(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    policy = policy_text({"first": named(api, origin), "local": DEVICE}, fallback=["local"])
    person = Person()
    async with assistant(policy, audit=False, retry=QUICK, person=person) as asked:
        response = await asked.respond("Hello", labels=["public"])
    assert response.text == LOCAL
    assert [(one.error, one.phase) for one in response.receipt.attempts[:-1]] == [("ConnectFailed", "connect")] * 2
    assert person.asked == ["first"]


@pytest.mark.parametrize("api", APIS)
async def test_no_cookie_is_sent_back(server: PartnerServer, api: Api) -> None:
    async with assistant(policy_text({"first": at(api, server)}), audit=False) as asked:
        for _ in range(3):
            await asked.respond("Hello", labels=["public"])
    assert not any("cookie" in seen.headers for seen in backend(api, server).seen())


@pytest.mark.parametrize("api", APIS)
async def test_usage_in_the_events_never_forgets(server: PartnerServer, api: Api) -> None:
    """A later report replaces an earlier one, so none may say less than the one before it."""
    backend(api, server).play(Scene(reasoning=("Hm.",), text=("Hello", " there")))
    async with assistant(policy_text({"first": at(api, server)}), audit=False) as asked:
        stream = asked.stream("Hello", labels=["public"])
        events, error = await drain(stream)
    assert error is None
    reports = [event.usage.input_tokens for event in events if isinstance(event, UsageReport)]
    assert reports[-1] == 11
    assert reports == sorted(reports, key=lambda count: count is not None)


@pytest.mark.parametrize("fault_at", [0, 1])
async def test_a_connection_lost_before_the_first_word_is_told_alike(server: PartnerServer, fault_at: int) -> None:
    """The same fault at either partner is retried or not by the same rule."""
    told: dict[str, list[tuple[str | None, str | None]]] = {}
    for api in APIS:
        # The first word of Responses and Chat comes after the head of the answer; Gemini's is the first event.
        backend(api, server).play(Scene(fault="reset", fault_at=0 if api == "gemini" else fault_at))
        async with assistant(policy_text({"first": at(api, server)}), audit=False, retry=QUICK) as asked:
            _, error = await drain(asked.stream("Hello", labels=["public"]))
        assert error is not None
        assert error.receipt is not None
        told[api] = [(one.error, one.phase) for one in error.receipt.attempts]
    assert told["responses"] == told["chat"] == told["gemini"]
