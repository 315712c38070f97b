"""Cancelling, dying, hanging, forking: the caller always learns of it, and the next request is answered."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from ringfence.errors import BackendDied, Closed, InvalidRequest, RingfenceError, Unavailable
from ringfence.provider import ProviderContext
from ringfence.response import TextDelta
from ringfence_mlx.models.catalog import EMBEDDED_MODEL
from ringfence_mlx.provider import MlxProvider

Kit: TypeAlias = Any
"""`conftest.Kit`, which no test module can import."""

Record: TypeAlias = Callable[[str, object], None]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.model]

CANCEL_LIMIT_S = 2.0
"""Far above the 250 ms that hold on an idle machine: a loaded one must not fail. What it took is recorded."""
LONG = "word " * 2500
"""Takes many times `CANCEL_LIMIT_S` to read."""


async def idle(kit: Kit, within_s: float = 3.0) -> dict[str, Any]:
    """The engine's counts once it has nothing to do."""
    stats: dict[str, Any] = await kit.stats()
    for _ in range(int(within_s / 0.02)):
        if not stats["running"] + stats["waiting"]:
            break
        await asyncio.sleep(0.02)
        stats = await kit.stats()
    return stats


def namespace(process: int | str) -> Path:
    return Path(f"/proc/{process}/ns/net").readlink()


async def test_closing_in_the_middle_of_an_answer_frees_the_engine(kit: Kit, record_property: Record) -> None:
    await kit.answer(max_output_tokens=1)
    before = await idle(kit)
    events = kit.run(kit.request("Count to a hundred.", max_output_tokens=500))
    async for event in events:
        if isinstance(event, TextDelta):
            break
    began = time.monotonic()
    await events.aclose()
    record_property("cancel_s", took_s := time.monotonic() - began)
    assert took_s < CANCEL_LIMIT_S
    after = await idle(kit)
    assert (after["running"], after["waiting"]) == (0, 0)
    assert after["active_bytes"] <= before["active_bytes"] + 1_000_000


async def test_closing_while_the_prompt_is_read_frees_the_engine(kit: Kit, record_property: Record) -> None:
    await kit.answer(max_output_tokens=1)
    before = await idle(kit)
    task = asyncio.ensure_future(kit.answer(LONG))
    await asyncio.sleep(0.4)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record_property("cancel_s", took_s := time.monotonic() - began)
    assert took_s < CANCEL_LIMIT_S
    after = await idle(kit)
    record_property("idle_s", time.monotonic() - began)
    assert (after["running"], after["waiting"]) == (0, 0), "the prompt is read on"
    assert after["active_bytes"] <= before["active_bytes"] + 1_000_000


async def test_a_cancel_harms_no_neighbour(kit: Kit) -> None:
    alone = await kit.answer()
    neighbour = asyncio.ensure_future(kit.answer())
    cancelled = asyncio.ensure_future(kit.answer("Count to a hundred.", max_output_tokens=300))
    await asyncio.sleep(0.5)
    cancelled.cancel()
    assert (await neighbour).text == alone.text


async def test_a_killed_worker_is_an_error_and_the_next_request_is_answered(kit: Kit) -> None:
    await kit.answer(max_output_tokens=1)

    async def kill_it_on_the_first_word() -> None:
        async for event in kit.run(kit.request("Count to a hundred.", max_output_tokens=300)):
            if isinstance(event, TextDelta) and (pid := kit.worker_pid()) is not None:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(BackendDied, match="signal 9") as caught:
        await kill_it_on_the_first_word()
    assert (caught.value.phase, caught.value.retryable) == ("mid_stream", True)
    assert "Paris" in (await kit.answer()).text


async def test_an_idle_worker_that_was_killed_is_replaced(small_kit: Kit) -> None:
    await small_kit.answer(max_output_tokens=1)
    pid = small_kit.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while small_kit.worker_pid() == pid:  # noqa: ASYNC110  (no event tells that the death was noticed)
            await asyncio.sleep(0.02)
    assert (await small_kit.answer(max_output_tokens=1)).text
    assert small_kit.worker_pid() != pid


async def test_a_worker_runs_without_network_and_without_core_dumps(kit: Kit) -> None:
    await kit.answer(max_output_tokens=1)
    pid = kit.worker_pid()
    assert pid is not None
    if sys.platform == "linux":
        assert namespace(pid) != namespace("self")
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE) == (0, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
async def test_a_forked_child_neither_uses_nor_ends_the_worker(kit: Kit) -> None:
    await kit.answer(max_output_tokens=1)
    pid = kit.worker_pid()
    request = kit.request()
    plan, grant = kit.plan(request), kit.grant(request)
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        code = 1
        try:
            steps = kit.provider.run(plan, grant)
            steps.asend(None).send(None)
        except Closed:
            code = 0
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (await kit.answer()).text
    assert kit.worker_pid() == pid


async def test_a_hung_worker_is_killed(provider_context: Callable[..., ProviderContext], small_kit: Kit) -> None:
    provider = MlxProvider()
    await provider.open(provider_context(hang_timeout_s=1.0, prefix_cache_bytes=0))
    own = type(small_kit)(provider=provider, card=small_kit.card)
    try:
        await own.answer(max_output_tokens=1)
        pid = own.worker_pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(BackendDied, match="no progress"):
            await own.answer()
    finally:
        await provider.close()
    assert not psutil.pid_exists(pid)


async def test_closing_the_provider_ends_requests_and_workers(
    provider_context: Callable[..., ProviderContext], small_kit: Kit
) -> None:
    provider = MlxProvider()
    await provider.open(provider_context())
    own = type(small_kit)(provider=provider, card=small_kit.card)
    await own.answer(max_output_tokens=1)
    pid = own.worker_pid()
    assert pid is not None
    running = asyncio.ensure_future(own.answer("Count to a hundred.", max_output_tokens=8000))
    await asyncio.sleep(0.3)
    await provider.close()
    await provider.close()
    with pytest.raises(Closed):
        await running
    with pytest.raises(Closed):
        await own.answer()
    assert not psutil.pid_exists(pid)


async def test_an_idle_model_is_unloaded_in_time(
    provider_context: Callable[..., ProviderContext], small_kit: Kit
) -> None:
    provider = MlxProvider()
    await provider.open(provider_context(idle_unload_s=0.2))
    own = type(small_kit)(provider=provider, card=small_kit.card)
    try:
        await own.answer(max_output_tokens=1)
        for _ in range(100):
            if own.worker_pid() is None:
                break
            await asyncio.sleep(0.05)
        assert own.worker_pid() is None
    finally:
        await provider.close()


async def test_a_model_beyond_the_memory_budget_is_not_loaded(
    provider_context: Callable[..., ProviderContext], kit: Kit
) -> None:
    provider = MlxProvider()
    await provider.open(provider_context(memory_bytes=200 * 1024 * 1024))
    own = type(kit)(provider=provider, card=kit.card)
    with pytest.raises(Unavailable) as caught:
        await own.answer()
    await provider.close()
    assert (caught.value.reason, caught.value.way_out) == (
        "no_memory",
        "raise the option memory_bytes, or use a smaller model",
    )


async def test_a_folder_that_is_no_model_is_a_clear_error(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(RingfenceError) as caught:
        await kit.provider.prewarm(kit.on_device(str(tmp_path)))
    assert not isinstance(caught.value, BackendDied)


async def test_another_loop_is_refused(kit: Kit) -> None:
    def use() -> None:
        asyncio.run(kit.provider.availability(kit.on_device(EMBEDDED_MODEL)))

    with pytest.raises(InvalidRequest, match="event loop"):
        await asyncio.to_thread(use)


async def test_a_worker_never_outlives_the_app(tmp_path: Path, mlx_cache_dir: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        f"""
import asyncio, logging, os, pathlib, sys, time
import ringfence.grant
from ringfence.grant import Grant
from ringfence.provider import ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart
from ringfence_mlx.provider import MlxProvider

def no_network(recipient):
    raise AssertionError("the device ring has no network")

async def main():
    provider = MlxProvider()
    folder = pathlib.Path({str(mlx_cache_dir)!r})
    await provider.open(ProviderContext(
        cache_dir=folder, state_dir=folder, logger=logging.getLogger(), monotonic_s=time.monotonic, http=no_network))
    mlx = Recipient(name="mlx", ring="device", provider="mlx", model={EMBEDDED_MODEL!r})
    await provider.prewarm(mlx)
    if os.fork() == 0:  # holds the pipe open after the app is gone
        time.sleep(8)
        os._exit(0)
    print(provider._opened.fleet.running({EMBEDDED_MODEL!r}, "generate").pid, flush=True)
    card = await provider.card(mlx)
    request = Request(messages=(Message("user", (TextPart({LONG!r}),)),))
    grant = Grant(ringfence.grant._MINT, request, recipient=mlx)
    async for _ in provider.run(provider.plan(request, mlx, card), grant):
        pass

asyncio.run(main())
""",
        encoding="utf-8",
    )
    app = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=subprocess.PIPE)
    assert app.stdout is not None
    worker = psutil.Process(int(await app.stdout.readline()))
    await asyncio.sleep(0.5)  # in the middle of reading the prompt
    app.kill()
    await app.wait()
    await asyncio.sleep(1.0)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


async def test_events_are_not_lost_on_a_slow_reader(kit: Kit) -> None:
    whole = await kit.answer()
    text = ""
    async with aclosing(kit.run(kit.request())) as events:
        async for event in events:
            await asyncio.sleep(0.05)
            text += event.text if isinstance(event, TextDelta) else ""
    assert text == whole.text
