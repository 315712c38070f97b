"""The two examples of the house run as they stand, and leave nothing running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from examples.house.cluster import INSTALL, haproxy

ROOT = Path(__file__).parents[2]


def started(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "RINGFENCE_STATE_DIR": str(tmp_path / "state")}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def left_running(tmp_path: Path) -> list[str]:
    """Command lines of processes that were started in the example's folder."""
    shown = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if f"{tmp_path}/" in line]


def assert_nothing_runs_soon(tmp_path: Path) -> None:
    """What is killed with its group is there for a moment still."""
    until = time.monotonic() + 30
    while found := left_running(tmp_path):
        assert time.monotonic() < until, found
        time.sleep(0.2)


def test_the_example_says_what_it_takes_and_starts_nothing(tmp_path: Path) -> None:
    with started(tmp_path, "examples.house.run", "--help") as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "usage: python -m examples.house.run [-h] [QUESTION ...]" in out
    assert left_running(tmp_path) == []


@pytest.mark.system
@pytest.mark.model
def test_one_command_brings_a_house_up_asks_it_and_takes_it_down(tmp_path: Path) -> None:
    if haproxy() is None:
        pytest.skip(f"haproxy is not installed ({INSTALL})")
    with started(tmp_path, "examples.house.run") as running:
        out, err = running.communicate(timeout=280)
    assert running.returncode == 0, err
    assert "Paris" in out
    assert "DEVELOPMENT (software-dev)" in err
    assert re.search(r"sha256:[0-9a-f]{12}…\s", err)
    assert_nothing_runs_soon(tmp_path)


@pytest.mark.system
@pytest.mark.parametrize(("ends", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_what_was_started_goes_with_what_started_it(tmp_path: Path, ends: signal.Signals, code: int) -> None:
    if haproxy() is None:
        pytest.skip(f"haproxy is not installed ({INSTALL})")
    with started(tmp_path, "examples.house.run") as running:
        until = time.monotonic() + 60
        while not left_running(tmp_path):
            assert time.monotonic() < until, "no node was ever started"
            time.sleep(0.1)
        running.send_signal(ends)
        _, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert_nothing_runs_soon(tmp_path)


def test_the_hostile_balancer_tells_what_became_of_each_attack(tmp_path: Path) -> None:
    with started(tmp_path, "examples.house.hostile", "swaps", "itself", "no node") as running:
        out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    rows = [re.split(r"  +", line.strip()) for line in out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["passes everything on", "sealed", "answered"],
        ["shows no node at all", "never left", "AttestationFailed"],
        ["swaps two chunks", "sealed", mock.ANY],
        ["answers itself, in plain JSON", "sealed", "HouseProtocolError"],
    ]
    assert rows[1][3] == "the directory names no node"
    assert rows[2][2] != "answered"
    assert "try:" not in out
    assert_nothing_runs_soon(tmp_path)
