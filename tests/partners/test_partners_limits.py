"""A slow first byte and a stall against each time limit: the right limit, and the backend is freed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.partners.support import APIS, ONCE, Api, assistant, at, backend, policy_text

from ringfence import AsyncAssistant, Timeouts
from ringfence.errors import StreamBroken, TimedOut
from ringfence.testing import PartnerServer, Scene
from ringfence.testing.partners.backend import PartnerBackend

LONG_S = 30.0


async def warm(asked: AsyncAssistant, double: PartnerBackend) -> None:
    """Imports the vendor's SDK, which takes longer than the limits of these tests."""
    double.play(Scene())
    await asked.respond("Hello", labels=["public"])


async def ends_in(asked: AsyncAssistant, *, streamed: bool) -> tuple[BaseException | None, float]:
    began_s = time.monotonic()
    error: BaseException | None = None
    try:
        if streamed:
            async with asked.stream("Hello", labels=["public"]) as stream:
                await stream.response()
        else:
            await asked.respond("Hello", labels=["public"])
    except (TimedOut, StreamBroken) as raised:
        error = raised
    return error, time.monotonic() - began_s


async def freed(double: PartnerBackend, ended_s: float) -> bool:
    for _ in range(50):
        gone_s = double.seen()[-1].disconnected_s
        if gone_s is not None:
            return gone_s <= ended_s + 0.25
        await asyncio.sleep(0.01)
    return False


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "first_event": ({"connect_s": LONG_S, "first_event_s": 0.4}, "first_event"),
    "total": ({"connect_s": LONG_S, "first_event_s": LONG_S, "total_s": 0.4}, "total"),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("api", APIS)
async def test_a_backend_that_says_nothing(server: PartnerServer, api: Api, limit: str, streamed: bool) -> None:
    double = backend(api, server)
    limits, name = LIMITS[limit]
    policy = policy_text({"first": at(api, server)})
    async with assistant(policy, audit=False, retry=ONCE) as first:
        await warm(first, double)
    async with assistant(policy, audit=False, retry=ONCE, timeouts=Timeouts(**limits)) as asked:
        double.play(Scene(fault="stall"))
        error, ended_s = await ends_in(asked, streamed=streamed)
        assert isinstance(error, TimedOut)
        assert error.limit == name
        assert error.phase == "before_first_event"
        assert 0.39 <= ended_s < 5
        assert error.receipt is not None
        assert [one.error for one in error.receipt.attempts] == ["TimedOut"]
        assert await freed(double, ended_s)


@pytest.mark.parametrize("api", APIS)
async def test_a_stall_after_the_head_is_not_one_of_connecting(server: PartnerServer, api: Api) -> None:
    """The backend has begun to answer; what is missing is the first event."""
    double = backend(api, server)
    policy = policy_text({"first": at(api, server)})
    limits = Timeouts(connect_s=0.7, first_event_s=1.2)
    async with assistant(policy, audit=False, retry=ONCE) as first:
        await warm(first, double)
    async with assistant(policy, audit=False, retry=ONCE, timeouts=limits) as asked:
        # The first wire event of Responses and Chat holds no part of an answer yet; that of Gemini does.
        double.play(Scene(fault="stall", fault_at=0 if api == "gemini" else 1))
        error, ended_s = await ends_in(asked, streamed=True)
    assert isinstance(error, TimedOut)
    assert error.limit == "first_event"
    assert await freed(double, ended_s)


@pytest.mark.parametrize("api", APIS)
async def test_a_stall_between_events(server: PartnerServer, api: Api) -> None:
    double = backend(api, server)
    scene = Scene(text=("One", " two", " three"), fault="stall")
    places = {"responses": 5, "chat": 2, "gemini": 1}
    limits = Timeouts(connect_s=LONG_S, first_event_s=LONG_S, between_events_s=0.3)
    async with assistant(policy_text({"first": at(api, server)}), audit=False, retry=ONCE, timeouts=limits) as asked:
        double.play(replace(scene, fault_at=places[api]))
        error, ended_s = await ends_in(asked, streamed=True)
        assert isinstance(error, StreamBroken)
        assert error.partial_text == "One"
        assert isinstance(error.__cause__, TimedOut)
        assert error.__cause__.limit == "between_events"
        assert await freed(double, ended_s)


@pytest.mark.parametrize("api", APIS)
async def test_a_slow_stream_within_its_limits_is_whole(server: PartnerServer, api: Api) -> None:
    """Each event counts anew, so an answer may take longer than any one limit."""
    double = backend(api, server)
    policy = policy_text({"first": at(api, server)})
    limits = Timeouts(connect_s=LONG_S, first_event_s=LONG_S, between_events_s=0.6)
    async with assistant(policy, audit=False, retry=ONCE, timeouts=limits) as asked:
        double.play(Scene(text=("a",) * 8, chunk_delay_s=0.1))
        error, ended_s = await ends_in(asked, streamed=True)
    assert error is None
    assert ended_s > 0.6


@pytest.mark.parametrize("api", APIS)
async def test_a_whole_answer_may_take_longer_than_connecting_may(server: PartnerServer, api: Api) -> None:
    """The head of a whole answer comes when it is complete: it counts as the first event, not as connecting."""
    double = backend(api, server)
    policy = policy_text({"first": at(api, server)})
    async with assistant(policy, audit=False, retry=ONCE) as first:
        await warm(first, double)
    limits = Timeouts(connect_s=0.5, first_event_s=LONG_S)
    async with assistant(policy, audit=False, retry=ONCE, timeouts=limits) as asked:
        double.play(Scene(first_byte_delay_s=1.0))
        error, _ = await ends_in(asked, streamed=False)
    assert error is None
