"""A real node that is asked more than it takes on: callers take turns, and who has no place is told when to come."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from tests.house.real_node import real_node, until

from ringfence.errors import Overloaded, RateLimited
from ringfence_house_node.server.limits import Limits

CALLERS = ("greedy", "modest")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


async def test_fifty_requests_of_one_caller_delay_another_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with real_node(folder, Limits(concurrency=1), CALLERS, monkeypatch) as running:
        async with running.app("greedy", attempts=1) as greedy, running.app("modest", attempts=1) as modest:
            many = [asyncio.ensure_future(greedy.respond("many")) for _ in range(50)]
            # One runs, and of the 64 places of the queue one caller gets the half.
            await until(lambda: running.node.admission.waiting == 32 and sum(one.done() for one in many) == 17)
            one = asyncio.ensure_future(modest.respond("one"))
            await until(lambda: running.node.admission.waiting == 33)
            running.service.open.set()
            assert (await one).text == "here"
            ended = await asyncio.gather(*many, return_exceptions=True)

        # One request for each of the 51 grants.
        assert (running.ended("answered"), running.ended("over_share")) == (34, 17)
    refused = [error for error in ended if isinstance(error, RateLimited)]
    assert len(refused) == 17
    assert {error.retry_after_s for error in refused} == {Limits().queue_s}
    assert Counter(running.service.order) == {"many": 33, "one": 1}
    assert running.service.order.index("one") <= 2


async def test_a_queue_without_a_place_refuses_inside_and_the_client_comes_when_it_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(concurrency=1, queue=1, queue_s=1.2, share=1.0)
    async with (
        real_node(folder, limits, CALLERS, monkeypatch) as running,
        running.app("greedy", attempts=1) as greedy,
        running.app("modest", wait_s=0) as modest,
    ):
        held = asyncio.ensure_future(greedy.respond("held"))
        await until(lambda: running.node.admission.running == 1)
        waiting = asyncio.ensure_future(greedy.respond("waiting"))
        await until(lambda: running.node.admission.waiting == 1)
        late = asyncio.ensure_future(modest.respond("late"))
        await until(lambda: running.ended("full") == 1)
        running.service.open.set()
        response = await late
        await asyncio.gather(held, waiting, return_exceptions=True)

    attempts = response.receipt.attempts
    assert [one.error for one in attempts] == ["Overloaded", None]
    assert {one.recipient for one in attempts} == {"own"}
    # A header says whole seconds.
    assert response.receipt.duration_s >= 1
    assert running.service.order[-1] == "late"


async def test_a_wait_that_the_app_does_not_want_is_an_error_that_says_how_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(concurrency=1, queue=0, queue_s=9)
    async with (
        real_node(folder, limits, CALLERS, monkeypatch) as running,
        running.app("greedy", attempts=1) as greedy,
        running.app("modest", max_wait_s=5) as modest,
    ):
        held = asyncio.ensure_future(greedy.respond("held"))
        await until(lambda: running.node.admission.running == 1)
        with pytest.raises(Overloaded) as failed:
            await modest.respond("late")
        running.service.open.set()
        await held

    assert failed.value.retry_after_s == 9
    assert running.service.order == ["held"]
