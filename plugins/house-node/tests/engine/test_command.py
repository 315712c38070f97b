"""A node that runs a command: started, proven, lost and brought back."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ringfence.testing import ScriptedProvider
from ringfence_house_node.engine import EngineSettings, build_service
from ringfence_house_node.engine.assistant import engine_assistant
from ringfence_house_node.engine.service import EngineService
from ringfence_house_node.service import Service


@asynccontextmanager
async def _started(settings: EngineSettings) -> AsyncGenerator[Service]:
    service = build_service(settings)
    try:
        await service.start()
        yield service
    finally:
        await service.close()


async def test_it_is_ready_when_a_token_came_and_it_answers(fake: Any, ask: Any, lives: Any) -> None:
    service = build_service(fake.settings())
    assert str(service.readiness) == "starting"
    assert (await ask(service))[0] == 503
    await service.start()
    assert str(service.readiness) == "ready"
    status, body = await ask(service, temperature=0.5)
    assert (status, "Hi" in body) == (200, True)
    # A model's name, to mlx_lm.server, is a path that it loads.
    assert (fake.asked["model"], fake.asked["temperature"]) == ("default_model", 0.5)
    await service.close()
    assert str(service.readiness) == "failed"
    assert not any(map(lives, fake.pids))
    await service.close()


async def test_nothing_reaches_an_engine_that_is_not_proven(fake: Any, ask: Any) -> None:
    engine = ScriptedProvider()
    service = EngineService(fake.settings(), engine_assistant(fake.settings(), providers={"openai": engine}))
    assert (await ask(service))[0] == 503
    assert engine.requests == []
    await service.close()


async def test_a_rank_that_is_killed_makes_it_unready_and_it_comes_back(
    fake: Any, ask: Any, lives: Any, until: Any
) -> None:
    async with _started(fake.settings()) as service:
        os.kill(fake.pids[1], signal.SIGKILL)
        await until(lambda: str(service.readiness) != "ready")
        assert (await ask(service))[0] == 503
        await until(lambda: str(service.readiness) == "ready")
        assert (await ask(service))[0] == 200
        assert len(fake.pids) == 4
        assert [lives(pid) for pid in fake.pids] == [False, False, True, True]


async def test_one_that_stops_answering_is_started_again(fake: Any, lives: Any, until: Any) -> None:
    async with _started(fake.settings(probe_timeout_s=0.5)) as service:
        fake.mode("mute")
        await until(lambda: str(service.readiness) != "ready")
        await until(lambda: not lives(fake.pids[0]))
        fake.mode("")
        await until(lambda: str(service.readiness) == "ready")
        assert len(fake.pids) > 2


async def test_one_that_refuses_for_a_moment_is_not_started_again(fake: Any, until: Any) -> None:
    async with _started(fake.settings()) as service:
        fake.mode("refuse")
        await until(lambda: str(service.readiness) != "ready")
        fake.mode("")
        await until(lambda: str(service.readiness) == "ready")
        assert len(fake.pids) == 2


async def test_one_that_dies_with_a_call_is_brought_back_and_the_caller_is_told(
    fake: Any, ask: Any, until: Any
) -> None:
    async with _started(fake.settings(probe_every_s=60.0)) as service:
        fake.mode("exit")
        status, body = await ask(service)
        assert (status, "server_error" in body) == (503, True)
        # One caller's dropped connection proves nothing; that the command has ended does.
        await until(lambda: str(service.readiness) != "ready")
        fake.mode("")
        await until(lambda: str(service.readiness) == "ready")


async def test_one_that_never_starts_has_failed_and_is_tried_more_and_more_slowly() -> None:
    settings = EngineSettings(kind="command", model="m", url="http://127.0.0.1:9/v1", command=("/no/such/command",))
    async with _started(settings) as service:
        # A first try was made.
        assert str(service.readiness) in ("starting", "failed")
        assert await _becomes_failed(service)


async def _becomes_failed(service: Service) -> bool:
    import asyncio

    for _ in range(1000):
        if service.readiness == "failed":
            return True
        await asyncio.sleep(0.02)
    return False


async def test_nothing_that_was_asked_is_logged(
    fake: Any, ask: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], until: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    async with _started(fake.settings()) as service:
        assert (await ask(service, "canary-7Q"))[0] == 200
        os.kill(fake.pids[0], signal.SIGKILL)
        await until(lambda: "the engine died" in caplog.text)
    assert "ended with code 137; it is started again" in caplog.text
    assert "canary-7Q" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("command", "says"),
    [(("false",), "the engine's command ended with code 1"), (("/nowhere",), "the engine's command cannot be started")],
)
async def test_a_command_that_ends_at_once_is_said_once(
    command: tuple[str, ...], says: str, free_port: Any, until: Any, said: list[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    service = build_service(EngineSettings(kind="command", model="m", url=url, command=command))
    try:
        await service.start()
        await until(lambda: str(service.readiness) == "failed")
        assert (service.cause, len(said)) == ("ended", 1)  # type: ignore[attr-defined]
        assert says in said[0]
    finally:
        await service.close()
