"""Models share one memory budget: an idle one makes room, a busy one is not disturbed, and nothing piles up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeAlias

import psutil
import pytest
import pytest_asyncio

from ringfence.errors import Overloaded, Unavailable
from ringfence.provider import NotAvailable, Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence_mlx.models.catalog import EMBEDDED_MODEL, EMBEDDING_MODEL
from ringfence_mlx.provider import MlxProvider

Kit: TypeAlias = Any
"""`conftest.Kit`, which no test module can import."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]

ROOM_FOR_ONE_BYTES = 1_100_000_000


def _on_device(model: str) -> Recipient:
    return Recipient(name="mlx", ring="device", provider="mlx", model=model)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tight(
    provider_context: Callable[..., ProviderContext],
    kit: Kit,
    embedding_model: str,
) -> AsyncIterator[Kit]:
    """A provider whose budget holds one model at a time, of the two that are here."""
    assert embedding_model == EMBEDDING_MODEL
    provider = MlxProvider()
    await provider.open(provider_context(memory_bytes=ROOM_FOR_ONE_BYTES, prefix_cache_bytes=0))
    yield type(kit)(provider=provider, card=kit.card)
    await provider.close()


async def test_an_idle_model_makes_room_and_comes_back(tight: Kit) -> None:
    await tight.answer(max_output_tokens=1)
    first = tight.worker_pid()
    await tight.provider.prewarm(_on_device(EMBEDDING_MODEL))
    assert tight.worker_pid() is None
    assert not psutil.pid_exists(first)
    assert (await tight.answer(max_output_tokens=1)).text


async def test_a_busy_model_is_not_unloaded(tight: Kit) -> None:
    running = asyncio.ensure_future(tight.answer("Count to twenty.", max_output_tokens=12))
    await asyncio.sleep(0.3)
    with pytest.raises(Overloaded, match="busy"):
        await tight.provider.prewarm(_on_device(EMBEDDING_MODEL))
    assert (await running).text


async def test_a_request_whose_keys_and_values_can_never_fit_is_refused(tight: Kit) -> None:
    with pytest.raises(Unavailable) as caught:
        await tight.answer(max_output_tokens=8000)
    assert caught.value.reason == "no_memory"


async def _embedding(tight: Kit) -> Plan[object]:
    recipient = _on_device(EMBEDDING_MODEL)
    card = await tight.provider.card(recipient)
    plan: Plan[object] = tight.provider.plan(tight.request("a sentence", task="embed"), recipient, card)
    return plan


async def test_a_model_that_is_not_loaded_is_not_connected(tight: Kit) -> None:
    plan = await _embedding(tight)
    grant = tight.grant(plan.request)
    async with aclosing(tight.run(tight.request("Count to twenty."))) as busy:
        await anext(busy)
        with pytest.raises(Overloaded) as caught:
            await tight.provider.embed(plan, grant)
    assert (grant.spent, grant.connected, caught.value.phase) == (True, False, "connect")


async def test_vectors_and_counts_are_connected_once_their_model_is_there(tight: Kit) -> None:
    plan = await _embedding(tight)
    embedding, counting = tight.grant(plan.request), tight.grant(plan.request)
    vectors = await tight.provider.embed(plan, embedding)
    assert await tight.provider.count_tokens(plan, counting) == vectors.input_tokens
    assert embedding.connected
    assert counting.connected


async def test_requests_wait_for_memory_rather_than_fail(tight: Kit) -> None:
    answers = await asyncio.gather(
        *(tight.answer("Say yes.", max_output_tokens=1500, stop=(".", "!", ",", "e")) for _ in range(3))
    )
    assert all(answer.finish.reason == "stop" for answer in answers)


async def test_a_worker_takes_no_more_than_it_was_admitted_with(tight: Kit) -> None:
    await tight.answer(max_output_tokens=4)
    assert psutil.Process(tight.worker_pid()).memory_info().rss < ROOM_FOR_ONE_BYTES


async def test_many_answers_leave_nothing_behind(tight: Kit) -> None:
    await tight.answer("one", max_output_tokens=2)
    before = (await tight.stats())["active_bytes"]
    for number in range(12):
        await tight.answer(f"number {number}", max_output_tokens=2, temperature=1.0, seed=number)
    assert (await tight.stats())["active_bytes"] <= before + 100_000


async def test_availability_says_when_memory_can_never_do(provider_context: Callable[..., ProviderContext]) -> None:
    provider = MlxProvider()
    await provider.open(provider_context(memory_bytes=300_000_000))
    state = await provider.availability(_on_device(EMBEDDED_MODEL))
    await provider.close()
    assert isinstance(state, NotAvailable)
    assert (state.reason, state.way_out) == ("no_memory", "raise the option memory_bytes, or use a smaller model")


async def test_a_recipient_with_options_is_not_available(kit: Kit) -> None:
    state = await kit.provider.availability(replace(kit.recipient, options={"adapter": "mine"}))
    assert isinstance(state, NotAvailable)
    assert state.reason == "not_configured"
    assert "'adapter'" in state.detail
