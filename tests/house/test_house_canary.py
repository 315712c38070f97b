"""A canary in the prompt is nowhere afterwards: no log, no file, no crash output, of whichever process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.house.asking import policy_text
from examples.house.cluster import INSTALL, Cluster, Engine, haproxy
from tests.canary.support import found_in

from ringfence.testing import PartnerServer
from ringfence.testing.scenes import Scene

CANARY = "canary-8812-quokka-aches"
ANSWER_CANARY = "canary-9923-wombat-sings"
_APP = """\
import asyncio, faulthandler, os, sys
from ringfence import AsyncAssistant
from ringfence.policy import read_policy

faulthandler.enable()

async def main():
    policy, question, death = sys.stdin.read().split("\\0")
    async with AsyncAssistant(read_policy(policy)) as assistant:
        async with assistant.stream(question) as stream:
            async for text in stream.text():
                if text and death == "abort":
                    os.abort()
        assert (await stream.response()).text

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("canary")
    for name in ("state", "cache", "tmp", "home"):
        (found / name).mkdir()
    return found


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """Everything that a process keeps is kept below `folder`."""
    return {
        "RINGFENCE_STATE_DIR": str(folder / "state"),
        "RINGFENCE_CACHE_DIR": str(folder / "cache"),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="module")
def house(engine: PartnerServer, folder: Path, environment: dict[str, str]) -> Iterator[Cluster]:
    if haproxy() is None:
        pytest.skip(f"haproxy is not installed ({INSTALL})")
    behind = Engine(model="scripted", url=engine.url)
    with Cluster(folder, engine=behind, environment=environment) as running:
        yield running


def app(
    house: Cluster, environment: dict[str, str], question: str, death: str = ""
) -> subprocess.CompletedProcess[str]:
    policy = policy_text(model="scripted", url=house.url, trust=house.trust)
    return subprocess.run(
        [sys.executable, "-c", _APP],
        input=f"{policy}\0{question}\0{death}",
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=environment["HOME"],
        timeout=120,
        check=False,
    )


def leaks(folder: Path, *told: str) -> list[str]:
    """Where a canary is, in what was told or left behind."""
    sought = (CANARY, ANSWER_CANARY)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.stat().st_size for path in files), "nothing was kept at all, so nothing was looked at"
    found = [f"{path.name}" for path in files if list(found_in(path.read_bytes(), sought)) or CANARY in path.name]
    return found + [f"output {number}" for number, text in enumerate(told) if list(found_in(text, sought))]


@pytest.mark.system
def test_a_prompt_leaves_no_trace_where_all_goes_well(
    house: Cluster, folder: Path, environment: dict[str, str], engine: PartnerServer
) -> None:
    engine.play(Scene(text=(ANSWER_CANARY, " and more")))
    done = app(house, environment, CANARY)
    assert done.returncode == 0, done.stderr
    assert any(CANARY.encode() in seen.body for seen in engine.seen())
    assert leaks(folder, done.stdout, done.stderr) == []


@pytest.mark.system
def test_nor_where_the_engine_fails_in_the_middle(
    house: Cluster, folder: Path, environment: dict[str, str], engine: PartnerServer
) -> None:
    for fault in ("malformed", "end"):
        engine.play(Scene(text=(ANSWER_CANARY, *["and", "more"]), fault=fault, fault_at=2))
        done = app(house, environment, CANARY)
        assert done.returncode == 1
        assert "ringfence.errors." in done.stderr or "ringfence_house.errors." in done.stderr
        assert leaks(folder, done.stdout, done.stderr) == []


@pytest.mark.system
def test_nor_where_the_client_crashes(
    house: Cluster, folder: Path, environment: dict[str, str], engine: PartnerServer
) -> None:
    engine.play(Scene(text=(ANSWER_CANARY, *["and", "much", "more"]), chunk_delay_s=0.2))
    done = app(house, environment, CANARY, "abort")
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error" in done.stderr
    assert leaks(folder, done.stdout, done.stderr) == []


@pytest.mark.system
def test_nor_where_the_nodes_crash(
    house: Cluster, folder: Path, environment: dict[str, str], engine: PartnerServer
) -> None:
    # Last, since it leaves the house in ruins.
    engine.play(Scene(text=(ANSWER_CANARY, *["and", "much", "more"]), chunk_delay_s=1.0))
    policy = policy_text(model="scripted", url=house.url, trust=house.trust)
    with subprocess.Popen(
        [sys.executable, "-c", _APP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as asking:
        assert asking.stdin is not None
        asking.stdin.write(f"{policy}\0{CANARY}\0")
        asking.stdin.close()
        asking.stdin = None
        wait_until_asked(engine)
        for node in house.nodes:
            os.kill(node.pid, signal.SIGABRT)
        out, err = asking.communicate(timeout=120)
        assert asking.returncode == 1
    assert all("Fatal Python error" in node.log.read_text() for node in house.nodes)
    assert leaks(folder, out, err) == []


def wait_until_asked(engine: PartnerServer) -> None:
    import time

    until = time.monotonic() + 60
    while not any(CANARY.encode() in seen.body for seen in engine.seen()):
        assert time.monotonic() < until, "the question never reached the engine"
        time.sleep(0.05)
