"""Models of a hub, brought by huggingface_hub itself from a hub process on loopback."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import huggingface_hub.constants
import pytest

from ringfence.errors import DownloadFailed
from ringfence.provider import Available, Downloadable
from ringfence_mlx.models.store import ModelStore

NAME = "some-org/some-model-4bit"


@pytest.fixture
def hub_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    """A hub, the only one that this process and its children know, with a cache of its own; gives its log."""
    files = tmp_path / "files"
    files.mkdir()
    header = b'{"w":{"dtype":"F16","shape":[2,4],"data_offsets":[0,16]}}'
    (files / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    (files / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 64}))
    (files / "tokenizer.json").write_text("{}")
    (files / "model.py").write_text("raise SystemExit")
    (files / "model.bin").write_bytes(b"a pickle")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    log = tmp_path / "log"
    script = Path(__file__).with_name("models_hub.py")
    command = [sys.executable, str(script), str(files), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{int(process.stdout.readline())}")
        yield log
        process.kill()


def asked_for(log: Path) -> set[str]:
    """The last part of every path that the hub was asked for."""
    return {line.rpartition("/")[2] for line in log.read_text().splitlines()}


async def test_a_hub_model_comes_and_is_here_without_the_hub(
    hub_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "cache")
    assert isinstance(store.availability(NAME), Downloadable)
    steps = [step async for step in store.download(NAME)]
    assert [steps[0].step, steps[-1].step] == ["download", "done"]
    assert steps[-1].path == store.resolve(NAME).path
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert store.availability(NAME) == Available()
    assert store.resolve(NAME).card.context_tokens == 64
    assert asked_for(hub_log)


async def test_nothing_that_runs_is_fetched(hub_log: Path, tmp_path: Path) -> None:
    steps = [step async for step in ModelStore(tmp_path / "cache").download(NAME)]
    assert steps[-1].path is not None
    assert {path.name for path in steps[-1].path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    assert not asked_for(hub_log) & {"model.py", "model.bin"}


async def test_a_name_that_the_hub_does_not_know_is_a_clear_error(hub_log: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="the hub has no model of this name, or it is private"):
        _ = [step async for step in ModelStore(tmp_path / "cache").download("absent/model")]
    assert asked_for(hub_log)
