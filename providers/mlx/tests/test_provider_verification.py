"""A worker that is ready before the hashes of its model are checked serves nobody yet, whoever asks or gives up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from ringfence.errors import Unavailable
from ringfence.provider import ProviderContext
from ringfence_mlx.models.folder import damaged
from ringfence_mlx.provider import MlxProvider

Kit: TypeAlias = Any
"""`conftest.Kit`, which no test module can import."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]


class Check:
    """Stands in for the hashing of a large model: ends when it is let go, and finds the model damaged if told so."""

    def __init__(self) -> None:
        self.begun = 0
        self.finds_damage = True
        self.let_go = threading.Event()

    def __call__(self, model: str) -> None:
        self.begun += 1
        self.let_go.wait(timeout=60)
        if self.finds_damage:
            raise damaged(model, "model.safetensors does not have the recorded SHA-256")


@pytest.fixture
def check() -> Check:
    return Check()


@pytest_asyncio.fixture(loop_scope="module")
async def checked(
    check: Check, small_kit: Kit, provider_context: Callable[..., ProviderContext], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Kit]:
    """A provider whose first request was cancelled after its worker was ready and before the check had ended."""

    def verify(_store: object, model: str) -> None:
        check(model)

    monkeypatch.setattr("ringfence_mlx.provider.ModelStore.verify", verify)
    provider = MlxProvider()
    await provider.open(provider_context())
    made = type(small_kit)(provider=provider, card=small_kit.card)
    first = asyncio.ensure_future(made.answer(max_output_tokens=1))
    while made.worker_pid() is None:  # noqa: ASYNC110  (nobody is told of it)
        await asyncio.sleep(0.02)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    yield made
    check.let_go.set()
    await provider.close()


async def test_a_later_request_waits_for_the_check_and_is_refused_if_it_fails(checked: Kit, check: Check) -> None:
    second = asyncio.ensure_future(checked.answer(max_output_tokens=1))
    assert not (await asyncio.wait([second], timeout=0.5))[0]
    check.let_go.set()
    with pytest.raises(Unavailable, match="does not have the recorded SHA-256"):
        await second
    assert checked.worker_pid() is None
    assert check.begun == 1


async def test_the_worker_is_dropped_even_if_nobody_waits_any_more(checked: Kit, check: Check) -> None:
    assert checked.worker_pid() is not None
    check.let_go.set()
    async with asyncio.timeout(10):
        while checked.worker_pid() is not None:  # noqa: ASYNC110  (nobody is told of it)
            await asyncio.sleep(0.02)
    assert check.begun == 1


async def test_a_later_request_is_answered_once_the_check_holds(checked: Kit, check: Check) -> None:
    check.finds_damage = False
    check.let_go.set()
    assert (await checked.answer(max_output_tokens=1)).finish
    assert check.begun == 1
