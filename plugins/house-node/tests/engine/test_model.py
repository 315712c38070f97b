"""The real model in our worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from ringfence_house_node.engine import EngineSettings, build_service
from ringfence_house_node.service import Service

EMBEDDED = "smollm2-135m-instruct"
SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


@asynccontextmanager
async def _started(settings: EngineSettings) -> AsyncGenerator[Service]:
    service = build_service(settings)
    try:
        await service.start()
        yield service
    finally:
        await service.close()


@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")
async def test_our_worker_answers_to_a_schema_dies_and_comes_back(ask: Any, until: Any, below: Any) -> None:
    async with _started(EngineSettings(kind="mlx", model=EMBEDDED)) as service:
        assert str(service.readiness) == "ready"
        fields = {"model": EMBEDDED, "max_tokens": 12, "response_format": FORMAT}
        status, body = await ask(service, "The capital of France?", **fields)
        assert status == 200
        answer = ChatCompletion.model_validate_json(body, strict=True).choices[0].message.content
        assert json.loads(answer or "")["city"] in ("Paris", "Rome")
        (worker,) = below("ringfence_mlx.worker")[-1:]
        os.kill(worker, signal.SIGKILL)
        await until(lambda: str(service.readiness) != "ready")
        assert (await ask(service, model=EMBEDDED))[0] == 503
        await until(lambda: str(service.readiness) == "ready", 120)
        assert (await ask(service, model=EMBEDDED, max_tokens=1))[0] == 200
    assert below("ringfence_mlx.worker") == []
