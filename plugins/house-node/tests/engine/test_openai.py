"""A node in front of an OpenAI-compatible server that somebody else runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from ringfence_house_node.engine import EngineSettings, build_service
from ringfence_house_node.server.serving import Address, Server, bind


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


async def test_an_engine_that_wants_a_key_says_so_and_gets_it_from_its_place(
    monkeypatch: pytest.MonkeyPatch, until: Any, said: list[str]
) -> None:
    monkeypatch.setenv("ENGINE_KEY", "wrong")

    async def answer(request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer right":
            return JSONResponse({"error": {"message": "canary"}}, 401)
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

    bound = bind(Address(host="127.0.0.1", port=0))
    url = f"{bound.url}/v1"
    server = Server(Router([Route("/v1/chat/completions", answer, methods=["POST"])]), bound)
    service = build_service(EngineSettings(kind="openai", model="m", url=url, key="env:ENGINE_KEY"))
    starting = asyncio.create_task(service.start())
    try:
        await until(lambda: said)
        assert (service.cause, len(said)) == ("key_refused", 1)  # type: ignore[attr-defined]
        assert "canary" not in said[0]
        monkeypatch.setenv("ENGINE_KEY", "right")
        await until(lambda: str(service.readiness) == "ready")
        await starting
        assert "right" not in "".join(said)
    finally:
        await service.close()
        await server.close()
