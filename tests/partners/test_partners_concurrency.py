"""Many requests at once over both partners: nothing mixed up, nothing left open, nothing kept."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.core.support import records
from tests.partners.support import APIS, ONCE, Api, Person, assistant, at, backend, policy_text

from ringfence import AsyncAssistant
from ringfence.response import Response, TextDelta
from ringfence.testing import PartnerServer, Scene

_ESTABLISHED, _CLOSE_WAIT = "01", "08"


def everyone(server: PartnerServer) -> str:
    return policy_text({api: at(api, server) for api in APIS}, prefer=APIS)


def open_connections(server: PartnerServer) -> int:
    """The connections that the server process still has, as the kernel counts them."""
    port = int(server.openai.url.rpartition(":")[2].partition("/")[0])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(int(one[1].rpartition(":")[2], 16) == port and one[3] in {_ESTABLISHED, _CLOSE_WAIT} for one in fields)


async def none_open(server: PartnerServer) -> bool:
    for _ in range(100):
        if open_connections(server) == 0:
            return True
        await asyncio.sleep(0.02)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's list of connections")


async def ask(asked: AsyncAssistant, api: Api, number: int, *, streamed: bool) -> Response[Any]:
    """The double answers a schema with an instance of it, so each request has an answer of its own."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"word": {"type": "string", "enum": [f"{api}-{number}"]}},
        "required": ["word"],
        "additionalProperties": False,
    }
    if not streamed:
        return await asked.respond(f"Number {number}", labels=["public"], output=schema, to=api)
    async with asked.stream(f"Number {number}", labels=["public"], output=schema, to=api) as stream:
        text = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
        response = await stream.response()
    assert response.text == text
    return response


@needs_proc
async def test_fifty_at_once_with_cancellations_are_not_mixed_up(server: PartnerServer, tmp_path: Path) -> None:
    chance = random.Random(11)
    person = Person()
    faults: list[str] = []
    cancelled = 0
    async with assistant(everyone(server), tmp_path, person=person, retry=ONCE) as asked:
        for api in APIS:
            await ask(asked, api, 0, streamed=True)
        for turn in range(3):
            tasks: dict[asyncio.Task[Response[Any]], str] = {}
            for number in range(50):
                api = APIS[number % 3]
                task = asyncio.create_task(ask(asked, api, turn * 100 + number, streamed=number % 2 == 0))
                tasks[task] = f"{api}-{turn * 100 + number}"
            for task in chance.sample(list(tasks), 20):
                asyncio.get_running_loop().call_later(chance.uniform(0, 0.15), task.cancel)
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for expected, answer in zip(tasks.values(), answers, strict=True):
                if isinstance(answer, asyncio.CancelledError):
                    cancelled += 1
                elif isinstance(answer, BaseException):
                    faults.append(f"{expected}: {answer!r}")
                elif answer.output != {"word": expected} or answer.receipt.recipient != expected.rpartition("-")[0]:
                    faults.append(f"{expected}: {answer.output}")
    assert faults == []
    assert cancelled > 5
    kept = [record["outcome"] for record in records(tmp_path)]
    assert kept.count("answered") == 3 + 150 - cancelled
    assert set(kept) <= {"answered", "cancelled"}
    assert await none_open(server)


@needs_proc
@pytest.mark.parametrize("api", APIS)
async def test_what_is_cancelled_in_the_middle_is_hung_up_on(server: PartnerServer, api: Api) -> None:
    double = backend(api, server)
    double.play(Scene(text=("a",) * 100, chunk_delay_s=0.05))
    async with assistant(everyone(server), audit=False, retry=ONCE) as asked:

        async def draw() -> None:
            async with asked.stream("Hello", labels=["public"], to=api) as stream:
                async for _ in stream:
                    pass

        tasks = [asyncio.create_task(draw()) for _ in range(10)]
        await asyncio.sleep(0.7)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        # The assistant is still open, and yet nothing that was cut off is.
        assert await none_open(server)
        assert all(seen.disconnected_s is not None and seen.disconnected_s < 4 for seen in double.seen())


@needs_proc
async def test_streams_that_are_left_half_drawn_are_hung_up_on(server: PartnerServer) -> None:
    server.openai.play(Scene(text=("a",) * 50, chunk_delay_s=0.05))
    server.gemini.play(Scene(text=("a",) * 50, chunk_delay_s=0.05))
    async with assistant(everyone(server), audit=False, retry=ONCE) as asked:
        for api in APIS:
            async with asked.stream("Hello", labels=["public"], to=api) as stream:
                async for event in stream:
                    if isinstance(event, TextDelta):
                        break
            assert stream.receipt is not None
            assert stream.receipt.outcome == "cancelled"
        assert await none_open(server)


@needs_proc
async def test_closing_the_assistant_ends_what_is_under_way(server: PartnerServer) -> None:
    server.openai.play(Scene(text=("a",) * 100, chunk_delay_s=0.05))
    server.gemini.play(Scene(text=("a",) * 100, chunk_delay_s=0.05))
    asked = assistant(everyone(server), audit=False, retry=ONCE)
    async with asked:
        tasks = [asyncio.create_task(asked.respond("Hello", labels=["public"], to=api)) for api in APIS]
        streams = [asked.stream("Hello", labels=["public"], to=api) for api in APIS]
        for stream in streams:
            await anext(stream)
    ended = await asyncio.gather(*tasks, *(stream.response() for stream in streams), return_exceptions=True)
    names = [type(one).__name__ for one in ended]
    # The double sends a whole answer at once, so that one may have been complete.
    assert set(names[:3]) <= {"Closed", "StreamBroken", "Response"}
    assert set(names[3:]) <= {"Closed", "StreamBroken"}
    assert await none_open(server)


async def test_memory_does_not_grow_with_calls(server: PartnerServer) -> None:
    async with assistant(everyone(server), audit=False, retry=ONCE) as asked:

        async def some(calls: int) -> int:
            for number in range(calls):
                api = APIS[number % 3]
                backend(api, server).play(Scene(reasoning=("Hm.",), text=("Hello", " there")))
                if number % 5 == 4:
                    async with asked.stream("Hello", labels=["public"], to=api) as stream:
                        await anext(stream)
                elif number % 2:
                    await asked.respond("Hello", labels=["public"], to=api)
                else:
                    async with asked.stream("Hello", labels=["public"], to=api) as stream:
                        await stream.response()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        await some(60)
        tracemalloc.start()
        try:
            before = await some(60)
            after = await some(300)
        finally:
            tracemalloc.stop()
    assert after - before < 150_000, f"{after - before} bytes more after 300 calls"
