"""A house of three machines on loopback, honest again before every test; state folders that nothing outlives."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from providers.house.tests.client.support import WORDS, saying

from ringfence_house.testing import HouseServer, Script


@pytest.fixture(scope="module")
def running() -> Generator[HouseServer]:
    with HouseServer(machines=3) as server:
        yield server


@pytest.fixture
def house(running: HouseServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HouseServer:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    running.script = Script(inside=lambda request, machine: saying(*WORDS))
    running.received.clear()
    running.fetched.clear()
    for machine in running.fleet.machines:
        machine.renew()
    return running
