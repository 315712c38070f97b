"""Faults happen where a scene says, on the wire; and a client that leaves is noticed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from tests.testing.scenery import CALLS

from ringfence.request import FilePart
from ringfence.testing import PartnerServer
from ringfence.testing.partners import Api, PartnerBackend
from ringfence.testing.scenes import Fault, Scene, Seen

APIS: tuple[Api, ...] = ("responses", "chat", "gemini")
RICH = Scene(reasoning=("Hm",), tool_calls=CALLS[:1])
PATIENCE_S = 20


@pytest.fixture
async def network() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_S) as made:
        yield made


def backend_of(server: PartnerServer, api: Api) -> PartnerBackend:
    return server.gemini if api == "gemini" else server.openai


def request_of(server: PartnerServer, api: Api, *, stream: bool) -> dict[str, Any]:
    if api == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        body: object = {"contents": [{"parts": [{"text": "x"}]}]}
        url = f"{server.gemini.url}/v1beta/models/m:{method}"
        return {"url": url, "headers": {"x-goog-api-key": "k"}, "json": body}
    headers = {"authorization": "Bearer k"}
    if api == "chat":
        body = {"model": "m", "messages": [], "stream": stream, "stream_options": {"include_usage": True}}
        return {"url": f"{server.openai.url}/chat/completions", "headers": headers, "json": body}
    return {
        "url": f"{server.openai.url}/responses",
        "headers": headers,
        "json": {"model": "m", "input": "", "stream": stream},
    }


class Broken(Exception):
    """The connection broke after these events."""


async def streamed(network: httpx2.AsyncClient, asked: dict[str, Any]) -> tuple[list[bytes], Exception | None]:
    """The data of the events that came, and what ended them if it was no end."""
    received = b""
    error: Exception | None = None
    try:
        async with network.stream("POST", **asked) as answer:
            assert answer.status_code == 200
            async for data in answer.aiter_raw():
                received += data
    except httpx2.TransportError as broken:
        error = broken
    lines = received.replace(b"\r\n", b"\n").split(b"\n")
    return [line[6:] for line in lines if line.startswith(b"data: ")], error


@pytest.mark.parametrize("api", APIS)
async def test_without_a_fault_every_event_comes(server: PartnerServer, network: httpx2.AsyncClient, api: Api) -> None:
    backend = backend_of(server, api)
    backend.play(RICH)
    events, error = await streamed(network, request_of(server, api, stream=True))
    assert error is None
    assert len(events) == PartnerServer(api).wire_events(RICH)


@pytest.mark.parametrize("fault", ["reset", "end"])
@pytest.mark.parametrize("api", APIS)
async def test_a_broken_connection_follows_exactly_the_events_before_it(
    server: PartnerServer, network: httpx2.AsyncClient, api: Api, fault: Fault
) -> None:
    count = PartnerServer(api).wire_events(RICH)
    backend_of(server, api).play(*[_with(RICH, fault, index) for index in range(count + 1)])
    for index in range(count + 1):
        events, error = await streamed(network, request_of(server, api, stream=True))
        assert len(events) == index
        assert isinstance(error, httpx2.ReadError if fault == "reset" else httpx2.RemoteProtocolError)


@pytest.mark.parametrize("api", APIS)
async def test_a_malformed_event_takes_the_place_of_one(
    server: PartnerServer, network: httpx2.AsyncClient, api: Api
) -> None:
    count = PartnerServer(api).wire_events(RICH)
    backend_of(server, api).play(*[_with(RICH, "malformed", index) for index in range(count)])
    for index in range(count):
        events, error = await streamed(network, request_of(server, api, stream=True))
        assert error is None
        assert len(events) == count
        with pytest.raises(ValueError, match="line 1"):
            json.loads(events[index])


@pytest.mark.parametrize("api", APIS)
async def test_an_error_event_is_the_last(server: PartnerServer, network: httpx2.AsyncClient, api: Api) -> None:
    backend_of(server, api).play(_with(RICH, "error_event", 2))
    events, error = await streamed(network, request_of(server, api, stream=True))
    assert error is None
    assert len(events) == 3
    said = json.loads(events[2])
    assert said.get("type") == "error" if api == "responses" else "error" in said


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("at", [0, 2])
async def test_a_stall_ends_only_with_the_client(
    server: PartnerServer, network: httpx2.AsyncClient, api: Api, at: int
) -> None:
    backend = backend_of(server, api)
    backend.play(_with(RICH, "stall", at))
    asked = request_of(server, api, stream=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await streamed(network, asked)
    gone = await noticed(backend)
    assert gone.disconnected_s is not None
    assert 0 < gone.disconnected_s < PATIENCE_S


async def noticed(backend: PartnerBackend) -> Seen:
    """The one request, once the server has seen its client leave."""
    async with asyncio.timeout(PATIENCE_S):
        while (seen := backend.seen()[0]).disconnected_s is None:  # noqa: ASYNC110  (it happens elsewhere)
            await asyncio.sleep(0.005)
    return seen


async def test_a_client_that_leaves_while_events_come_is_noticed_at_once(
    server: PartnerServer, network: httpx2.AsyncClient
) -> None:
    server.play(Scene(text=("word ",) * 2000, chunk_delay_s=0.01))
    clock = asyncio.get_running_loop()
    begun_s = clock.time()
    async with network.stream("POST", **request_of(server, "responses", stream=True)) as answer:
        await anext(answer.aiter_raw())
    left_s = clock.time() - begun_s
    gone = await noticed(server.openai)
    assert gone.disconnected_s is not None
    assert gone.disconnected_s < left_s + 5


async def test_a_client_that_stays_is_not_reported_gone(server: PartnerServer, network: httpx2.AsyncClient) -> None:
    await network.post(**request_of(server, "responses", stream=False))
    await streamed(network, request_of(server, "responses", stream=True))
    assert [seen.disconnected_s for seen in server.seen()] == [None, None]


@pytest.mark.parametrize("api", APIS)
async def test_whole_answers_break_too(server: PartnerServer, network: httpx2.AsyncClient, api: Api) -> None:
    faults: tuple[Fault, ...] = ("reset", "end", "malformed", "error_event")
    # A whole answer is one event: any place in it is its place.
    backend_of(server, api).play(*[_with(RICH, fault, 3) for fault in faults])
    asked = request_of(server, api, stream=False)
    with pytest.raises(httpx2.ReadError):
        await network.post(**asked)
    with pytest.raises(httpx2.RemoteProtocolError):
        await network.post(**asked)
    malformed = await network.post(**asked)
    assert malformed.status_code == 200
    with pytest.raises(ValueError, match="line 1"):
        malformed.json()
    failed = await network.post(**asked)
    assert failed.json()["error"]
    assert failed.status_code == (200 if api == "responses" else 500)


async def test_delays_are_kept(server: PartnerServer, network: httpx2.AsyncClient) -> None:
    scene = Scene(text=("a", "b", "c"), first_byte_delay_s=0.1, chunk_delay_s=0.02)
    server.play(scene)
    clock = asyncio.get_running_loop()
    begun_s = clock.time()
    async with network.stream("POST", **request_of(server, "responses", stream=True)) as answer:
        headers_s = clock.time() - begun_s
        await answer.aread()
    assert headers_s >= 0.09
    assert clock.time() - begun_s >= 0.09 + 0.02 * (server.wire_events(scene) - 1) * 0.9


async def test_speech_breaks_where_its_pieces_are(server: PartnerServer, network: httpx2.AsyncClient) -> None:
    server.play(Scene(media=(FilePart(b"abcdefgh", media_type="audio/mpeg"),), fault="end", fault_at=2))
    received = b""
    body = {"model": "m", "input": "x", "voice": "alloy"}
    headers = {"authorization": "Bearer k"}
    asked = network.stream("POST", f"{server.openai.url}/audio/speech", json=body, headers=headers)
    with pytest.raises(httpx2.RemoteProtocolError):  # noqa: PT012  (the pieces come before it)
        async with asked as answer:
            async for data in answer.aiter_raw():
                received += data
    assert received == b"abcd"


def _with(scene: Scene, fault: Fault, index: int) -> Scene:
    return replace(scene, fault=fault, fault_at=index)
