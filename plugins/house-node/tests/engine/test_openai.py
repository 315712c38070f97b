"""A node in front of an OpenAI-compatible server that somebody else runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringfence_house_node.engine import EngineSettings, build_service


@contextmanager
def _serving(fake: Any) -> Generator[None]:
    script = str(Path(__file__).with_name("fake_server.py"))
    server = subprocess.Popen(
        [sys.executable, "-S", script, str(fake.port), str(fake.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        server.kill()
        server.wait()


async def test_it_is_ready_while_the_server_gives_tokens(fake: Any, ask: Any, until: Any) -> None:
    settings = EngineSettings(
        kind="openai", model="m", served_model="theirs", url=fake.url, probe_every_s=0.2, probe_timeout_s=2.0
    )
    service = build_service(settings)
    try:
        await service.start()
        assert str(service.readiness) != "ready"
        with _serving(fake):
            await until(lambda: str(service.readiness) == "ready")
            assert (await ask(service, stop=["x"]))[0] == 200
            assert (fake.asked["model"], fake.asked["stop"]) == ("theirs", ["x"])
            # What leaves is a stream whatever the caller wants: hanging up is the one way to stop every server.
            assert fake.asked["stream"] is True
        await until(lambda: str(service.readiness) != "ready")
        assert (await ask(service))[0] == 503
        with _serving(fake):
            await until(lambda: str(service.readiness) == "ready")
        await until(lambda: str(service.readiness) == "failed")
    finally:
        await service.close()
