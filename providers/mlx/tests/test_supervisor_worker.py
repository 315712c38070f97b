"""A worker process on its own: what it does with bytes it should never get, and how its deaths are paced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringfence_mlx.environment import worker_environment
from ringfence_mlx.models.catalog import EMBEDDED_MODEL
from ringfence_mlx.models.store import ModelStore
from ringfence_mlx.process import WorkerFault, WorkerSpec
from ringfence_mlx.readiness import package_fault, platform_fault
from ringfence_mlx.supervisor import Supervisor, WorkerPaused
from ringfence_mlx.wire import Frame, FrameDecoder, pack
from ringfence_mlx.worker.channel import EXIT_DAMAGED_STREAM, EXIT_OK

SECRET = "the words of a user"


def worker(data: bytes) -> tuple[int, list[Frame], bytes]:
    """Exit code, frames and standard error of a worker that reads `data` and then the end."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ringfence_mlx.worker"],
        input=data,
        capture_output=True,
        timeout=30,
        check=False,
        env=worker_environment(),
    )
    return done.returncode, list(FrameDecoder().feed(done.stdout)), done.stderr


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 8, b"\0\0\0\2{]", b"\0\0\0\4null"],
    ids=["huge length", "not JSON", "not an object"],
)
def test_a_damaged_stream_ends_the_worker(data: bytes) -> None:
    assert worker(data)[0] == EXIT_DAMAGED_STREAM


@pytest.mark.parametrize("data", [b"", b"\0\0", pack({"op": "start", "mode": "generate"})[:-3]])
def test_the_end_of_the_pipe_ends_the_worker(data: bytes) -> None:
    assert worker(data)[:2] == (EXIT_OK, [])


async def spec(cache: Path, **changes: Any) -> Supervisor:
    folder = ModelStore(cache).resolve(EMBEDDED_MODEL).path
    settings: dict[str, Any] = {"mode": "tokenizer", "folder": folder, "environment": worker_environment(), **changes}
    return Supervisor(WorkerSpec(**settings))


async def test_a_folder_that_is_no_model_is_a_fault_and_not_a_death(mlx_cache_dir: Path, tmp_path: Path) -> None:
    supervisor = await spec(mlx_cache_dir, folder=tmp_path, mode="generate")
    with pytest.raises(WorkerFault) as caught:
        await supervisor.start()
    assert caught.value.kind == "no_model"
    assert str(tmp_path) not in str(caught.value)


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({}, "rejected"),
    ({"messages": [{"role": "user", "content": SECRET}], "sampling": {"speed": 1}}, "rejected"),
    ({"messages": SECRET}, "engine"),
    ({"messages": []}, "unsupported"),
    ({"messages": [{"role": "user", "content": SECRET, "tool_calls": 7}]}, "engine"),
]


async def test_what_is_malformed_is_refused_without_a_word_of_it_and_harms_nothing(mlx_cache_dir: Path) -> None:
    supervisor = await spec(mlx_cache_dir)
    try:
        for job, kind in MALFORMED:
            with pytest.raises(WorkerFault) as caught:
                await supervisor.ask("count", {"job": job})
            assert (caught.value.kind, SECRET in str(caught.value.frame)) == (kind, False), job
            good = {"messages": [{"role": "user", "content": "hello"}]}
            assert (await supervisor.ask("count", {"job": good}))["tokens"] > 1
        with pytest.raises(WorkerFault) as caught:
            await supervisor.ask("explode")
        assert caught.value.kind == "rejected"
    finally:
        await supervisor.close()


async def test_a_worker_that_keeps_dying_is_started_more_slowly(mlx_cache_dir: Path) -> None:
    supervisor = await spec(mlx_cache_dir)
    for _ in range(2):
        process = await supervisor.start()
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(Exception, match="signal 9"):
            await supervisor.ask("count", {"job": {}})
    with pytest.raises(WorkerPaused) as caught:
        await supervisor.start()
    assert 0 < caught.value.retry_after_s <= 1
    await supervisor.close()


def test_the_wrong_platform_is_a_typed_reason() -> None:
    fault = platform_fault("win32")
    assert fault is not None
    assert fault.reason == "wrong_platform"
    assert platform_fault("linux") is None


def test_a_missing_package_is_a_typed_reason() -> None:
    fault = package_fault(("a_package_that_is_not_there",))
    assert fault is not None
    assert (fault.reason, fault.way_out) == ("no_package", "pip install ringfence-mlx")
