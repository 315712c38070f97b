"""What a good request gets: streamed as it comes, padded, with an end only where there is one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import CANARY, Connection, Gate, House, ScriptedService, event, opened, served, until

from ringfence_house.protocol import names
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.service import Answer, Call

OVERHEAD_BYTES = 3
"""Of a piece of content in Binary HTTP, besides its padded bytes: its length."""


async def broken(call: Call) -> AsyncGenerator[bytes, None]:
    yield event("half")
    raise RuntimeError(f"{CANARY} {call.body!r}")


async def endless(call: Call) -> AsyncGenerator[bytes, None]:
    del call
    while True:
        yield event("more")
        await asyncio.sleep(0.001)


async def slow(call: Call) -> AsyncGenerator[bytes, None]:
    del call
    await asyncio.sleep(0.2)
    yield event("late")


async def test_a_sealed_request_is_answered_in_sealed_chunks_with_an_end(house: House) -> None:
    inner = await house.ask(b'{"q":1}')

    assert (inner.status, inner.words, inner.whole) == (200, ["hello", "world"], True)
    assert inner.fields["content-type"] == "text/event-stream"
    assert [(call.path, call.body, call.tenant) for call in house.service.calls] == [
        ("/v1/chat/completions", b'{"q":1}', None)
    ]


@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "http/2"])
async def test_many_requests_at_once_over_either_version_of_http(tmp_path: Path, http2: bool) -> None:
    async with served(tmp_path, http2=http2) as house:
        warm = await house.post(house.seal().body)
        answers = await asyncio.gather(*(house.ask(json.dumps({"q": "x" * 30_000}).encode()) for _ in range(20)))

    assert warm.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert [(inner.status, inner.words, inner.whole) for inner in answers] == [(200, ["hello", "world"], True)] * 20


async def test_a_word_is_out_before_the_next_is_there(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate)) as house:
        sealed, seen = house.seal(), b""
        headers = {"content-type": names.REQUEST_TYPE}
        async with house.http.stream("POST", house.url + names.OHTTP_PATH, content=sealed.body, headers=headers) as got:
            async for piece in got.aiter_raw():
                seen += b"".join(sealed.opener.feed(piece))
                if b"begun" in seen:
                    assert b"done" not in seen or gate.open.is_set()
                    gate.open.set()

    seen += b"".join(sealed.opener.end())
    # Had the first word waited for the second, nobody had opened the gate.
    assert b"done" in seen


async def test_each_flush_of_a_stream_is_padded(tmp_path: Path) -> None:
    async def sizes(call: Call) -> AsyncGenerator[bytes, None]:
        del call
        for size in (1, 10, 60, 200, 300, 2000):
            yield event("x" * size)
            await asyncio.sleep(0.05)

    async with served(tmp_path, ScriptedService(script=sizes)) as house:
        inner = await house.ask()

    pieces = [size - min(OVERHEAD_BYTES, size % 128) for size in inner.chunks[1:-1]]
    assert all(size % 128 == 0 for size in pieces)
    assert len(inner.content) % 128 == 0


async def test_words_of_different_length_look_alike(tmp_path: Path) -> None:
    lengths: list[int] = []
    for word in ("a", "antidisestablishmentarianism"):

        async def one(call: Call, word: str = word) -> AsyncGenerator[bytes, None]:
            del call
            yield event(word)

        async with served(tmp_path, ScriptedService(script=one)) as house:
            lengths.append(len((await house.post(house.seal().body)).content))

    assert lengths[0] == lengths[1]


class Says(ScriptedService):
    """Answers every call with the same document, which is no stream."""

    def __init__(self, document: object, *, retry_after_s: float | None = None) -> None:
        super().__init__(stream=False)
        self._document = document
        self._retry_after_s = retry_after_s

    async def respond(self, call: Call) -> Answer:
        answer = await super().respond(call)
        return replace(answer, retry_after_s=self._retry_after_s)

    async def _body(self, call: Call) -> AsyncGenerator[bytes, None]:
        del call
        yield json.dumps(self._document).encode()


async def wire_bytes(house: House, **how: Any) -> int:
    """How long an answer is outside of the encryption; inside it is whole."""
    sealed = house.seal(**how)
    response = await house.post(sealed.body)
    assert opened(response, sealed.opener).whole
    return len(response.content)


WHOLE_BYTES = 16 + 1 + 1024 + 16
"""Of an answer of up to a kilobyte: a nonce, the mark of the final chunk, the message, its tag."""


@pytest.mark.parametrize("word", ["seven", "eleven", "fifteen"])
@pytest.mark.parametrize("retry_after_s", [None, 1, 100])
async def test_short_answers_that_are_no_stream_look_alike(
    tmp_path: Path, word: str, retry_after_s: float | None
) -> None:
    async with served(tmp_path, Says({"text": word}, retry_after_s=retry_after_s)) as house:
        assert await wire_bytes(house) == WHOLE_BYTES
        assert json.loads((await house.ask()).content) == {"text": word}


async def test_errors_look_alike(house: House) -> None:
    good = house.fields()
    wrong: tuple[dict[str, Any], ...] = (
        {"fields": house.fields(date="yesterday")},
        {"fields": house.fields(ringfence_evidence="0" * 64)},
        {"fields": [*good, good[0]]},
        {"authority": "api.openai.com"},
        {"path": "/v1/models"},
        {"plain": b"no Binary HTTP"},
    )

    assert {await wire_bytes(house, **how) for how in wrong} == {WHOLE_BYTES}


async def test_a_full_node_looks_like_a_short_answer(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate), limits=Limits(concurrency=1, queue=0)) as house:
        running = asyncio.create_task(house.ask())
        await gate.holds(1)
        assert await wire_bytes(house) == WHOLE_BYTES
        gate.open.set()
        await running


async def test_embeddings_show_their_length_in_kilobytes_and_no_closer(tmp_path: Path) -> None:
    sizes: list[int] = []
    for number, count in ((0.5, 600), (0.25, 600), (0.125, 600), (0.12345678, 3000)):
        document = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [number] * count}]}
        async with served(tmp_path, Says(document)) as house:
            sizes.append(await wire_bytes(house, path=names.EMBEDDINGS_PATH))

    # Of the nonce, and of each chunk its tag and its length: 4 bytes, of the final one 1.
    extra = [16 + 17 + 20 * (size // 16_385) for size in sizes]
    assert [size - more for size, more in zip(sizes, extra, strict=True)] == [4096, 4096, 5120, 36_864]


async def test_an_answer_that_is_no_stream_and_fails_midway_is_an_error_inside(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedService(script=broken, stream=False)) as house:
        inner = await house.ask()

    assert (inner.status, inner.code, inner.whole) == (503, "interrupted", True)


async def test_while_the_engine_thinks_there_are_heartbeats(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedService(script=slow), limits=Limits(heartbeat_s=0.05)) as house:
        inner = await house.ask()

    assert inner.words == ["late"]
    assert inner.content.startswith(b":")
    assert set(inner.content[: inner.content.index(b"data")]) <= set(b": \n")


async def test_an_answer_that_is_no_stream_has_no_heartbeats(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedService(script=slow, stream=False), limits=Limits(heartbeat_s=0.05)) as house:
        assert (await house.ask()).content == event("late")


@pytest.mark.parametrize("http2", [False, True], ids=["http/1.1", "http/2"])
async def test_a_service_that_fails_midway_gives_no_end(
    tmp_path: Path, http2: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(tmp_path, ScriptedService(script=broken), http2=http2) as house:
        inner = await house.ask(CANARY.encode())
        after = await house.ask()

    assert (inner.words, inner.whole, after.whole) == (["half"], False, False)
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text


async def test_a_service_that_raises_before_it_answers_is_an_error_inside(tmp_path: Path) -> None:
    class Raises(ScriptedService):
        async def respond(self, call: Call) -> Answer:
            raise ValueError(CANARY)

    async with served(tmp_path, Raises()) as house:
        inner = await house.ask()

    assert (inner.status, inner.code, inner.whole) == (503, "interrupted", True)
    assert CANARY.encode() not in inner.content


async def test_an_answer_that_takes_too_long_gets_no_end(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedService(script=endless), limits=Limits(answer_s=0.3)) as house:
        inner = await house.ask()
        await until(lambda: house.service.ended == ["cancelled"])

    assert inner.words
    assert not inner.whole


async def test_a_client_that_goes_away_ends_the_work(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedService(script=Gate())) as house:
        headers = {"content-type": names.REQUEST_TYPE}
        body = house.seal().body
        async with house.http.stream("POST", house.url + names.OHTTP_PATH, content=body, headers=headers) as response:
            await anext(response.aiter_raw())
        await until(lambda: house.service.ended == ["cancelled"])

        assert await house.metric('ringfence_node_requests_total{outcome="gone"}') == 1
        assert house.node.admission.running == 0


async def test_a_stream_that_is_reset_ends_its_work_and_no_other(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate)) as house, Connection.to(house) as connection:
        left, kept = await connection.post(house.seal().body), await connection.post(house.seal().body)
        await gate.holds(2)
        await connection.reset(left)
        await until(lambda: house.service.ended == ["cancelled"])
        gate.open.set()
        await connection.end_of(kept)

        assert house.service.ended == ["cancelled", "whole"]


async def test_the_load_is_told_inside(tmp_path: Path) -> None:
    gate = Gate()
    async with served(tmp_path, ScriptedService(script=gate), limits=Limits(concurrency=4)) as house:
        first = asyncio.create_task(house.ask())
        await gate.holds(1)
        second = asyncio.create_task(house.ask())
        await gate.holds(2)
        gate.open.set()
        loads = [(await task).fields[names.LOAD_FIELD] for task in (first, second)]

    assert loads == ["0.25", "0.50"]


async def test_a_tenant_is_one_callers(house: House) -> None:
    for tenant in ("a", "a", "b", None):
        await house.ask(fields=house.fields(ringfence_tenant=tenant))

    tenants = [call.tenant for call in house.service.calls]
    assert tenants[0] == tenants[1] != tenants[2]
    assert tenants[3] is None
    assert "a" not in tenants
