from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from providers.house.tests.releases.support import House, begin


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository and its keys, to be copied."""
    folder = tmp_path_factory.mktemp("house")
    begin(folder)
    return folder


@pytest.fixture
def house(begun: Path, tmp_path: Path) -> House:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    return House(tmp_path)


@pytest.fixture
def other_house(tmp_path: Path) -> House:
    """Another house, with keys of its own."""
    begin(tmp_path / "other")
    return House(tmp_path / "other")


@pytest.fixture(autouse=True)
def _disk_at_ease(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here cuts the power, and a busy disk makes every publication slow."""

    def fsync(_: int) -> None:
        return

    monkeypatch.setattr(os, "fsync", fsync)
