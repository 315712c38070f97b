"""Runs that are cancelled, closed, slow or many; connections that are used again."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest

from ringfence.errors import Closed, GateError
from ringfence.request import Message, TextPart
from ringfence.response import Finish, TextDelta, UsageReport
from ringfence.testing.scenes import Scene

SLOW = Scene(text=tuple(f"{number} " for number in range(400)), chunk_delay_s=0.02)
PATIENCE_S = 20.0


async def _until_gone(kit: Any) -> float:
    async with asyncio.timeout(PATIENCE_S):
        while not kit.backend.seen() or kit.last().disconnected_s is None:
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


async def test_connected_is_set_when_the_headers_have_come(kit: Any) -> None:
    plan = await kit.plan(kit.request())
    for place, expected in ((0, False), (1, True)):
        kit.backend.play(Scene(fault="stall", fault_at=place))
        grant = kit.grant(plan.request)
        task = asyncio.ensure_future(anext(kit.provider.run(plan, grant)))
        await asyncio.sleep(0.4)
        assert grant.spent
        assert grant.connected is expected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_complete_answer_leaves_its_connection_for_the_next(kit: Any) -> None:
    for stream in (True, False, True):
        await kit.ask("Hello", stream=stream)
    client = kit.provider._clients[kit.recipient]._client._client
    pool = client._transport._engine._pool
    assert len(pool.connections) == 1


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


async def test_signs_of_life_are_told_once_the_answer_has_begun(openai: Any) -> None:
    """A model that thinks for long sends events that hold nothing; they keep the answer from being given up."""
    from ringfence.recipient import Recipient

    quiet = b'data: {"type": "response.web_search_call.searching", "output_index": 1}\n\n: ping\n\n'
    delta = b'data: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "A"}\n\n'
    end = b'data: {"type": "response.completed", "response": {"status": "completed"}}\n\n'
    async with _server(quiet, delta, quiet, quiet, end) as url:
        to = Recipient(name="own", ring="partner", provider="openai", model="m", url=url, options={"api": "responses"})
        from ringfence.grant import _MINT, Grant
        from ringfence.request import Request

        request = Request(messages=(Message("user", (TextPart("Hi"),)),))
        plan = openai.plan(request, to, await openai.card(to))
        events = [event async for event in openai.run(plan, Grant(_MINT, request, recipient=to))]
    kinds = [event.type for event in events]
    assert kinds[:2] == ["text_start", "text_delta"]
    assert sum(isinstance(event, UsageReport) for event in events) == 2
    assert events[-1] == Finish("stop", "completed")


def _server(*chunks: bytes) -> Any:
    """A server that writes `chunks` one by one, a little apart, whatever is asked."""
    from contextlib import asynccontextmanager

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for chunk in (*chunks, b""):
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()

    @asynccontextmanager
    async def serving() -> Any:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    return serving()
