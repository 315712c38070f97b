"""A request that is cancelled closes its socket at once, at whatever stage it is; nothing is held back meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
import psutil
import pytest
from tests.transport.support import (
    CLOSES_WITHIN_S,
    PATIENCE_S,
    REQUEST,
    Exchange,
    Out,
    grant_for,
    manifest,
    reaching,
    recipient,
    serving,
    until,
)

from ringfence.errors import Closed
from ringfence.transport import Clients


class Stage:
    """A server that stops at one stage, and notes when the client has gone."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.gone = asyncio.Event()

    async def silent(self, exchange: Exchange) -> None:
        self.reached.set()
        await self._wait(exchange)

    async def half_a_head(self, exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-le")
        self.reached.set()
        await self._wait(exchange)

    async def half_a_body(self, exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(b"data: 1\n\n")
        self.reached.set()
        await self._wait(exchange)

    async def flooding(self, exchange: Exchange) -> None:
        await exchange.begin_stream()
        with suppress(ConnectionError):
            while True:
                await exchange.chunk(bytes(10_000))
                self.reached.set()
        self.gone.set()

    async def _wait(self, exchange: Exchange) -> None:
        await exchange.gone()
        self.gone.set()


async def _read(out: Out) -> None:
    await out.post()


async def _read_streamed(out: Out) -> None:
    async with out.stream() as response:
        async for _ in response.aiter_raw():
            pass


@pytest.mark.parametrize("stage", ["silent", "half_a_head", "half_a_body", "flooding"])
@pytest.mark.parametrize("ask", [_read, _read_streamed])
async def test_cancelling_closes_the_socket(stage: str, ask: Callable[[Out], Awaitable[None]]) -> None:
    at = Stage()
    async with serving(getattr(at, stage)) as server, reaching(server) as out:
        task = asyncio.ensure_future(ask(out))
        async with asyncio.timeout(PATIENCE_S):
            await at.reached.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await at.gone.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_a_stream_between_two_pieces_closes_the_socket() -> None:
    at = Stage()
    async with serving(at.half_a_body) as server, reaching(server) as out:
        async with out.stream() as response:
            assert await anext(response.aiter_raw()) == b"data: 1\n\n"
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await at.gone.wait()


async def test_cancelling_before_the_handshake_is_done_closes_the_socket() -> None:
    accepted, gone = asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    clients, to = Clients(), recipient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def ask() -> None:
        with grant_for(to).spend(REQUEST):
            await clients.client(to, manifest()).post(f"{to.url}/")

    task = asyncio.create_task(ask())
    async with asyncio.timeout(PATIENCE_S):
        await accepted.wait()
    task.cancel()
    async with asyncio.timeout(CLOSES_WITHIN_S):
        await gone.wait()
    with pytest.raises(asyncio.CancelledError):
        await task
    await clients.aclose()
    server.close()


async def test_cancelling_an_upload_that_the_server_does_not_read_sends_no_more_of_it() -> None:
    body = bytes(32 * 2**20)
    taken, cancelled = asyncio.Event(), asyncio.Event()
    rest: list[int] = []

    async def answer(exchange: Exchange) -> None:
        taken.set()
        await cancelled.wait()
        rest.append(await exchange.gone())

    async with serving(answer) as server, reaching(server) as out:
        task = asyncio.create_task(out.post("/x", body, headers={"x-unread": "1"}))
        async with asyncio.timeout(PATIENCE_S):
            await taken.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        cancelled.set()
        await until(lambda: bool(rest))
    # What the two systems had in their buffers arrives; the rest does not.
    assert rest[0] < len(body) // 2


async def test_cancelling_an_upload_that_the_server_never_reads_gives_the_socket_back() -> None:
    """What the system cannot take off our hands would keep a socket open that is merely closed."""
    taken, over = asyncio.Event(), asyncio.Event()
    process = psutil.Process()

    async def answer(exchange: Exchange) -> None:
        taken.set()
        await over.wait()
        exchange.writer.transport.abort()

    async with serving(answer) as server, reaching(server) as out:
        task = asyncio.create_task(out.post("/x", bytes(32 * 2**20), headers={"x-unread": "1"}))
        async with asyncio.timeout(PATIENCE_S):
            await taken.wait()
        await asyncio.sleep(0.05)
        before = process.num_fds()
        task.cancel()
        async with asyncio.timeout(CLOSES_WITHIN_S):
            while process.num_fds() >= before:  # noqa: ASYNC110  (no event tells)
                await asyncio.sleep(0.005)
        with pytest.raises(asyncio.CancelledError):
            await task
        over.set()


async def test_closing_the_assistant_closes_answers_under_way() -> None:
    at = Stage()
    async with serving(at.half_a_body) as server, reaching(server) as out:
        task = asyncio.create_task(_read_streamed(out))
        async with asyncio.timeout(PATIENCE_S):
            await at.reached.wait()
        await out.clients.aclose()
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await at.gone.wait()
        with pytest.raises(httpx2.TransportError):
            await task
        with pytest.raises(Closed):
            await out.post()


async def test_closing_the_assistant_does_not_wait_for_a_server_that_takes_nothing() -> None:
    taken, over = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        taken.set()
        await over.wait()
        exchange.writer.transport.abort()

    async with serving(answer) as server, reaching(server) as out:
        task = asyncio.create_task(out.post("/x", bytes(32 * 2**20), headers={"x-unread": "1"}))
        async with asyncio.timeout(PATIENCE_S):
            await taken.wait()
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await out.clients.aclose()
        with pytest.raises(httpx2.TransportError):
            await task
        over.set()


async def test_each_piece_of_a_slow_stream_arrives_when_it_was_written() -> None:
    """The next is written only when the last was read: a stream that is held back would not go on."""
    read = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for number in range(20):
            read.clear()
            await exchange.chunk(b"data: %d\n\n" % number)
            await read.wait()
        await exchange.send(b"0\r\n\r\n")

    async with (
        serving(answer) as server,
        reaching(server) as out,
        asyncio.timeout(PATIENCE_S),
        out.stream() as response,
    ):
        pieces: list[bytes] = []
        async for piece in response.aiter_raw():
            pieces.append(piece)
            read.set()
    assert pieces == [b"data: %d\n\n" % number for number in range(20)]


async def test_a_reader_that_is_slow_slows_the_server_down() -> None:
    written = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal written
        await exchange.begin_stream()
        with suppress(ConnectionError):
            while written < 64 * 2**20:
                await exchange.chunk(bytes(100_000))
                written += 100_000

    async with serving(answer) as server, reaching(server) as out, out.stream() as response:
        await anext(response.aiter_raw())
        before = -1
        while written != before:
            before = written
            await asyncio.sleep(0.1)
        assert written < 32 * 2**20
