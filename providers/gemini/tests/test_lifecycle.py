"""Opened, used, cut off and closed: on a real socket, with the real SDK, through the guarded transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.gemini.tests.conftest import Wire, asking, grant, recipient

from ringfence.errors import Closed, InvalidRequest
from ringfence.provider import ProviderContext
from ringfence.recipient import Secret
from ringfence.response import TextDelta
from ringfence.testing.partners import PartnerServer
from ringfence.testing.scenes import Scene
from ringfence.transport import Clients
from ringfence_gemini.provider import GeminiProvider
from ringfence_gemini.sse import Events

if TYPE_CHECKING:
    import httpx2

    from ringfence.recipient import Recipient
    from ringfence.request import Request


@pytest.fixture(scope="module")
def server() -> Iterator[PartnerServer]:
    with PartnerServer(api="gemini") as running:
        yield running


@pytest.fixture
async def real(
    server: PartnerServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[GeminiProvider, Recipient]]:
    monkeypatch.setenv("SOME_KEY", "k")
    clients = Clients()
    provider = GeminiProvider()

    def http(to: Recipient) -> httpx2.AsyncClient:
        return clients.client(to, provider.manifest)

    await provider.open(_context(http))
    yield provider, recipient(url=server.url, secret=Secret("env:SOME_KEY"))
    await provider.close()
    await clients.aclose()


def _context(http: Any, **options: object) -> ProviderContext:
    import logging
    from pathlib import Path

    return ProviderContext(
        cache_dir=Path("/nowhere"),
        state_dir=Path("/nowhere"),
        logger=logging.getLogger("test"),
        options=options,
        monotonic_s=time.monotonic,
        http=http,
    )


async def _run(provider: GeminiProvider, request: Request, to: Recipient) -> list[Any]:
    plan = provider.plan(request, to, await provider.card(to))
    async with aclosing(provider.run(plan, grant(request, to))) as run:
        return [event async for event in run]


async def _until_seen(server: PartnerServer) -> None:
    """Waits for the request: another process has it, so there is nothing to be told by."""
    while not server.seen():  # noqa: ASYNC110  (as above)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_over_a_real_socket(
    server: PartnerServer, real: tuple[GeminiProvider, Recipient], stream: bool
) -> None:
    provider, to = real
    server.play(Scene(text=("Grüße", " aus", " Oslo")))
    events = await _run(provider, asking(stream=stream), to)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Grüße aus Oslo"
    (seen,) = server.seen()
    assert seen.headers["x-goog-api-key"] == "k"
    assert "k" not in seen.query.split("=")


async def test_leaving_a_stream_cuts_the_connection_at_once(
    server: PartnerServer, real: tuple[GeminiProvider, Recipient]
) -> None:
    provider, to = real
    server.play(Scene(text=("a", "b"), fault="stall", fault_at=1))
    request = asking()
    plan = provider.plan(request, to, await provider.card(to))
    run = provider.run(plan, grant(request, to))
    await anext(run)
    began = time.perf_counter()
    await run.aclose()
    assert time.perf_counter() - began < 0.25
    for _ in range(200):
        if server.seen()[0].disconnected_s is not None:
            break
        await asyncio.sleep(0.01)
    assert server.seen()[0].disconnected_s is not None


@pytest.mark.parametrize("place", [0, 1])
async def test_closing_the_provider_ends_what_runs_with_closed(
    server: PartnerServer, real: tuple[GeminiProvider, Recipient], place: int
) -> None:
    provider, to = real
    server.play(Scene(text=("a", "b"), fault="stall", fault_at=place))
    running = asyncio.ensure_future(_run(provider, asking(), to))
    await _until_seen(server)
    await asyncio.sleep(0.05)
    await provider.close()
    with pytest.raises(Closed):
        await asyncio.wait_for(running, 10)
    with pytest.raises(Closed):
        await _run(provider, asking(), to)


async def test_cancelling_while_waiting_for_the_head_is_a_cancellation(
    server: PartnerServer, real: tuple[GeminiProvider, Recipient]
) -> None:
    provider, to = real
    server.play(Scene(fault="stall", fault_at=0))
    running = asyncio.ensure_future(_run(provider, asking(), to))
    await _until_seen(server)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_connected_is_set_when_the_head_has_come(
    server: PartnerServer, real: tuple[GeminiProvider, Recipient]
) -> None:
    provider, to = real
    server.play(Scene())
    request = asking()
    given_grant = grant(request, to)
    plan = provider.plan(request, to, await provider.card(to))
    async with aclosing(provider.run(plan, given_grant)) as run:
        assert not given_grant.connected
        await anext(run)
        assert given_grant.connected


async def test_an_option_of_the_app_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        await GeminiProvider().open(_context(None, retries=3))


async def test_doctor_is_told_whether_there_is_the_sdk(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(one.subject, one.level) for one in await wire.provider.diagnose()] == [("google-genai", "ok")]

    def nowhere(name: str) -> None:
        """Finds no module."""

    monkeypatch.setattr("importlib.util.find_spec", nowhere)
    assert [one.level for one in await wire.provider.diagnose()] == ["fault"]


DATA = st.lists(st.binary(min_size=1, max_size=8).filter(lambda data: not {10, 13} & set(data)), max_size=5)


@given(DATA, st.sampled_from([b"\n", b"\r\n"]), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_events_are_the_same_however_the_bytes_are_cut(
    data: list[bytes], newline: bytes, cuts: list[int], ended: bool
) -> None:
    body = b": hello" + newline + b"".join(b"data:" + one + newline + newline for one in data)
    if not ended and data:
        body = body[: -len(newline) * 2]
    events = Events()
    found: list[bytes] = []
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in pairwise(places):
        found += events.feed(body[start:end])
    last = events.end()
    found += [] if last is None else [last]
    assert [one.rstrip(b"\r") for one in found] == data
    assert events.stray == b""


def fed(body: bytes, size: int) -> tuple[Events, list[bytes]]:
    events = Events()
    found = [one for start in range(0, len(body), size) for one in events.feed(body[start : start + size])]
    return events, found


def test_a_long_line_in_small_pieces_takes_time_in_proportion() -> None:
    line = b"A" * 32 * 2**20
    began = time.process_time()
    _, found = fed(b"data:" + line + b"\n\n", 16_384)
    # Copying what is there for every piece would move 32 GiB.
    assert time.process_time() - began < 3
    assert found == [line]


def test_of_what_is_no_event_only_the_beginning_is_kept() -> None:
    began = time.process_time()
    events, found = fed(b"x" * 999 + b"\n" + b"y\n" * 2**19, 16_384)
    assert time.process_time() - began < 3
    assert found == []
    assert events.end() is None
    assert len(events.stray) == 65_536
    assert events.stray.startswith(b"x" * 999 + b"\ny\n")
