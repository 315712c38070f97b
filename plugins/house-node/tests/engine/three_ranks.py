"""The real model as three ranks of `mlx.launch`. More than a minute, so it is run by its name: see the task `ranks`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from ringfence_house_node.engine import EngineSettings, build_service

EMBEDDED = "smollm2-135m-instruct"


@pytest.mark.model
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
async def test_three_ranks_are_one_model_and_one_that_is_killed_brings_all_back(
    ask: Any, until: Any, below: Any, free_port: Any
) -> None:
    port = free_port()
    settings = EngineSettings(
        kind="command",
        model=EMBEDDED,
        server="mlx_lm",
        url=f"http://127.0.0.1:{port}/v1",
        command=_three_ranks(port),
        probe_every_s=1.0,
        probe_timeout_s=300.0,
    )
    service = build_service(settings)
    try:
        await service.start()
        assert str(service.readiness) == "ready"
        ranks = _ranks(below)
        assert len(ranks) == 3
        os.kill(ranks[-1], signal.SIGKILL)
        await until(lambda: str(service.readiness) != "ready", 60)
        assert (await ask(service, model=EMBEDDED))[0] == 503
        await until(lambda: str(service.readiness) == "ready", 600)
        status, body = await ask(service, "Say hi.", model=EMBEDDED, max_tokens=1, temperature=0)
        assert status == 200
        assert ChatCompletion.model_validate_json(body, strict=True).choices[0].message.content
        assert len(_ranks(below)) == 3
        assert not set(ranks) & set(_ranks(below))
    finally:
        await service.close()
    assert _ranks(below) == []


def _ranks(below: Any) -> list[int]:
    """The interpreters of `mlx_lm.server`, without what launched them."""
    return sorted(set(below("mlx_lm.server")) - set(below("mlx.launch")) - set(below("keeper.py")))


def _three_ranks(port: int) -> tuple[str, ...]:
    from ringfence.paths import cache_dir
    from ringfence_mlx.machine import blas

    models = cache_dir() / "mlx"
    environment = blas.worker_environment(blas.best_blas(models), {})
    programs = Path(sys.executable).parent
    given = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    ranks = ("-n", "3", "--backend", "ring", "--starting-port", str(port + 1), *given)
    serve = (str(programs / "mlx_lm.server"), "--model", str(models / "models" / EMBEDDED), "--port", str(port))
    return (str(programs / "mlx.launch"), *ranks, "--", *serve, "--prompt-cache-size", "0", "--log-level", "ERROR")
