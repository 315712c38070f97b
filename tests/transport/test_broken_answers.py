"""An answer that breaks is an `httpx2.TransportError`, never a complete answer, and says nothing of its content."""

from __future__ import annotations

import asyncio
import inspect
import traceback

import aiohttp
import httpx2
import pytest
from tests.transport.support import REQUEST, Exchange, grant_for, manifest, reaching, recipient, serving

from ringfence.transport import Clients
from ringfence.transport.faults import fault

CANARY = "canary-7f3a"
HEAD = b"HTTP/1.1 200 OK\r\n"

BROKEN = {
    "closed unanswered": b"",
    "closed within the head": HEAD + b"x-a: canary-7f3a",
    "no http": b"canary-7f3a\r\n\r\ncanary-7f3a\r\n\r\n",
    "no status": b"HTTP/1.1 canary-7f3a\r\n\r\n",
    "another protocol": b"SSH-2.0-canary-7f3a\r\n\r\n",
    "body too short": HEAD + b"content-length: 1000\r\n\r\ncanary-7f3a",
    "length no number": HEAD + b"content-length: canary-7f3a\r\n\r\n",
    "length negative": HEAD + b"content-length: -1\r\n\r\ncanary-7f3a",
    "two lengths": HEAD + b"content-length: 11\r\ncontent-length: 12\r\n\r\ncanary-7f3a",
    "chunks cut off": HEAD + b"transfer-encoding: chunked\r\n\r\nb\r\ncanary-7f3a\r\n",
    "chunk cut off": HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\ncanary-7f3a",
    "chunk size no number": HEAD + b"transfer-encoding: chunked\r\n\r\ncanary-7f3a\r\n",
    "chunk longer than it said": HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\ncanary-7f3a\r\n0\r\n\r\n",
    "chunk size huge": HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\ncanary-7f3a",
    "header without a name": HEAD + b": canary-7f3a\r\n\r\n",
    "header too long": HEAD + b"x-a: canary-7f3a" + b"a" * 100_000 + b"\r\n\r\n",
    "headers without number": HEAD + b"x-a: canary-7f3a\r\n" * 10_000 + b"\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_a_transport_error_without_content(answer: bytes) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.send(answer)
        exchange.writer.close()

    async with serving(broken) as server, reaching(server) as out:
        with pytest.raises(httpx2.TransportError) as failure:
            await out.post("/chat", CANARY.encode(), headers={"authorization": CANARY})
        await server.until_open(0)
    _assert_silent(failure.value)


@pytest.mark.parametrize("limit", ["header too long", "headers without number"])
async def test_a_head_without_end_is_cut_off(limit: str) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(BROKEN[limit].rstrip())
        while True:
            await exchange.send(b"x-a: b\r\n" * 1000)

    async with serving(endless) as server, reaching(server) as out:
        with pytest.raises(httpx2.TransportError):
            await out.post()
        await server.until_open(0)


async def test_an_answer_that_breaks_within_its_stream_is_a_transport_error_without_content() -> None:
    read = asyncio.Event()

    async def broken(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(b"data: 1\n\n")
        await read.wait()
        await exchange.send(b"canary-7f3a no chunk")

    async with serving(broken) as server, reaching(server) as out:
        async with out.stream() as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"data: 1\n\n"
            read.set()
            with pytest.raises(httpx2.TransportError) as failure:
                await anext(pieces)
        await server.until_open(0)
    _assert_silent(failure.value)


async def test_a_closed_port_is_a_connect_error() -> None:
    async with serving() as server:
        pass
    async with reaching(server) as out:
        with pytest.raises(httpx2.ConnectError) as failure:
            await out.post(f"/{CANARY}")
    _assert_silent(failure.value)


async def test_a_name_that_does_not_exist_is_a_connect_error() -> None:
    clients, to = Clients(), recipient("http://nowhere.invalid")
    with grant_for(to).spend(REQUEST), pytest.raises(httpx2.ConnectError, match="looked up"):
        await clients.client(to, manifest()).post("http://nowhere.invalid/")
    await clients.aclose()


async def test_a_time_limit_that_the_caller_sets_holds() -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.gone()

    async with serving(silent) as server, reaching(server) as out:
        with pytest.raises(httpx2.ReadTimeout):
            await out.post(timeout=httpx2.Timeout(None, read=0.05))
        await server.until_open(0)


def _assert_silent(error: BaseException) -> None:
    """Neither the error, nor what it came from, nor how it prints holds content. The request hangs on it by design."""
    shown = "".join(traceback.format_exception(error))
    assert CANARY not in f"{error!s} {error!r} {shown}"
    assert error.__cause__ is None
    seen: BaseException | None = error
    while seen is not None:
        held = {name: value for name, value in vars(seen).items() if not isinstance(value, httpx2.Request)}
        assert CANARY not in f"{seen!s} {seen!r} {held!r}"
        seen = seen.__context__


def test_every_error_of_the_engine_below_is_mapped() -> None:
    """Each class that aiohttp has, without making one of it: they need requests and answers."""
    classes = [
        found
        for _, found in inspect.getmembers(aiohttp, inspect.isclass)
        if issubclass(found, aiohttp.ClientError) and issubclass(found, Exception)
    ]
    assert len(classes) > 15
    for found in classes:
        mapped = fault(found.__new__(found))
        assert isinstance(mapped, httpx2.TransportError), found


def test_what_is_no_fault_of_the_network_stays_what_it_is() -> None:
    assert fault(ZeroDivisionError()) is None
