"""Runs that are cancelled, closed, slow or many; connections that are used again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

import ringfence.grant
from ringfence.errors import Closed, GateError
from ringfence.grant import Grant
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart
from ringfence.response import Finish, ProviderEvent, TextDelta, UsageReport
from ringfence.testing.scenes import Scene
from ringfence_openai.provider import OpenAIProvider

SLOW = Scene(text=tuple(f"{number} " for number in range(400)), chunk_delay_s=0.02)
PATIENCE_S = 20.0


async def _until_gone(kit: Any) -> float:
    async with asyncio.timeout(PATIENCE_S):
        while not kit.backend.seen() or kit.last().disconnected_s is None:  # noqa: ASYNC110  (another process)
            await asyncio.sleep(0.01)
    return float(kit.last().disconnected_s)


async def _first_text(run: Any) -> None:
    async for event in run:
        if isinstance(event, TextDelta):
            return


async def test_closing_the_run_hangs_up_at_once(kit: Any) -> None:
    kit.backend.play(SLOW)
    run = await kit.run(kit.request())
    await _first_text(run)
    began = time.monotonic()
    await run.aclose()
    assert time.monotonic() - began < 2.0
    assert await _until_gone(kit) < 400 * 0.02


async def test_cancelling_the_task_hangs_up(kit: Any) -> None:
    kit.backend.play(Scene(fault="stall", fault_at=2))
    task = asyncio.ensure_future(kit.ask("Hello"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until_gone(kit)


async def test_closing_the_provider_ends_a_run_that_waits(kit: Any) -> None:
    kit.backend.play(Scene(fault="stall", fault_at=2))
    task = asyncio.ensure_future(kit.ask("Hello"))
    await asyncio.sleep(0.2)
    await kit.provider.close()
    with pytest.raises(Closed):
        await task
    assert task.cancelling() == 0
    await _until_gone(kit)


async def test_closing_the_provider_ends_a_run_that_nobody_draws_from(kit: Any) -> None:
    kit.backend.play(SLOW)
    run = await kit.run(kit.request())
    await _first_text(run)
    await kit.provider.close()
    await _until_gone(kit)
    with pytest.raises(Closed):
        await anext(run)


async def test_closing_the_provider_ends_a_request_before_its_answer(kit: Any) -> None:
    kit.backend.play(Scene(fault="stall", fault_at=0))
    for stream in (True, False):
        task = asyncio.ensure_future(kit.ask("Hello", stream=stream))
        await asyncio.sleep(0.2)
        if stream:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await kit.provider.close()
            with pytest.raises(Closed):
                await task


async def test_connected_is_set_by_the_time_the_headers_have_come(kit: Any) -> None:
    plan = await kit.plan(kit.request())
    kit.backend.play(Scene(fault="stall", fault_at=1))
    grant = kit.grant(plan.request)
    task = asyncio.ensure_future(anext(kit.provider.run(plan, grant)))
    async with asyncio.timeout(PATIENCE_S):
        while not grant.connected:  # noqa: ASYNC110  (a plain attribute)
            await asyncio.sleep(0.01)
    assert grant.spent
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_complete_answer_leaves_its_connection_for_the_next(openai: OpenAIProvider) -> None:
    async with _serving(DELTA, END) as server:
        for _ in range(3):
            events = await server.ask(openai)
            assert events[-1] == Finish("stop", "completed")
    assert server.connections == 1


async def test_a_grant_is_good_for_one_run(kit: Any) -> None:
    kit.backend.play(Scene())
    plan = await kit.plan(kit.request())
    grant = kit.grant(plan.request)
    async with aclosing(kit.provider.run(plan, grant)) as run:
        assert [event async for event in run][-1].type == "finish"
    with pytest.raises(GateError):
        await anext(kit.provider.run(plan, grant))
    assert len(kit.backend.seen()) == 1


async def test_many_runs_at_once_keep_apart(kit: Any) -> None:
    kit.backend.play(*(Scene(text=(f"answer {number}",), chunk_delay_s=0.01) for number in range(12)))
    answers = await asyncio.gather(*(kit.ask(f"question {number}") for number in range(12)))
    assert sorted(answer.text for answer in answers) == sorted(f"answer {number}" for number in range(12))


QUIET = b'data: {"type": "response.web_search_call.searching", "output_index": 1}\n\n: ping\n\n'
DELTA = b'data: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "A"}\n\n'
END = b'data: {"type": "response.completed", "response": {"status": "completed"}}\n\n'


async def test_signs_of_life_are_told_once_the_answer_has_begun(openai: OpenAIProvider) -> None:
    """A model that thinks for long sends events that hold nothing; they keep the answer from being given up."""
    async with _serving(QUIET, DELTA, QUIET, QUIET, END) as server:
        events = await server.ask(openai)
    assert [event.type for event in events[:2]] == ["text_start", "text_delta"]
    assert sum(isinstance(event, UsageReport) for event in events) == 2
    assert events[-1] == Finish("stop", "completed")


@dataclass
class Server:
    """A server of one's own that writes the same chunks again and again, a little apart."""

    chunks: tuple[bytes, ...]
    url: str = ""
    connections: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def ask(self, provider: OpenAIProvider) -> list[ProviderEvent]:
        to = Recipient(
            name="own", ring="partner", provider="openai", model="m", url=self.url, options={"api": "responses"}
        )
        request = Request(messages=(Message("user", (TextPart("Hi"),)),))
        plan = provider.plan(request, to, await provider.card(to))
        mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
        return [event async for event in provider.run(plan, Grant(mint, request, recipient=to))]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for chunk in (*self.chunks, b""):
                    writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    await writer.drain()
                    await asyncio.sleep(0.03)
        writer.close()
        self.open.discard(writer)


@asynccontextmanager
async def _serving(*chunks: bytes) -> AsyncGenerator[Server]:
    seen = Server(chunks)
    server = await asyncio.start_server(seen.answer, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield seen
    finally:
        server.close()
        for writer in tuple(seen.open):
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while seen.open:  # noqa: ASYNC110  (the server's own tasks end)
                await asyncio.sleep(0.005)
