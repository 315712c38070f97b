"""The directory of several nodes: the union of what they say, and nothing that it would vouch for."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router
from support import served, until

from ringfence_house.attestation.evidence import make_directory, parse_directory
from ringfence_house.protocol import names
from ringfence_house_node import directory as directory_module
from ringfence_house_node.directory import (
    MISSES,
    Directory,
    _Known,  # pyright: ignore[reportPrivateUsage]
    _of_one_node,  # pyright: ignore[reportPrivateUsage]
    directory_app,
)
from ringfence_house_node.server.serving import Address, Server, bind


@asynccontextmanager
async def directory_of(
    nodes: Sequence[str], releases: Path | None = None
) -> AsyncGenerator[tuple[Directory, str], None]:
    directory = Directory(nodes=nodes, every_s=0.02)
    bound = bind(Address(host="127.0.0.1", port=0))
    url = bound.url
    server, keeping = Server(directory_app(directory, releases), bound), asyncio.create_task(directory.keep())
    try:
        yield directory, url
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, server.close(), return_exceptions=True)


@asynccontextmanager
async def answering(answer: Callable[[Request], Awaitable[Response]]) -> AsyncGenerator[str, None]:
    """A node in whose place `answer` speaks."""
    bound = bind(Address(host="127.0.0.1", port=0))
    server = Server(Router([Route(names.EVIDENCE_PATH, answer)]), bound)
    try:
        yield bound.url
    finally:
        await server.close()


def saying(make: Callable[[], Response]) -> AbstractAsyncContextManager[str]:
    """One that says the same to everybody."""

    async def answer(_: Request) -> Response:
        return make()

    return answering(answer)


def missed(directory: Directory, url: str) -> int:
    known = directory._known.get(url)  # pyright: ignore[reportPrivateUsage]
    return 0 if known is None else known.missed


def said(directory: Directory) -> set[bytes]:
    document = directory.document()
    return set() if document is None else set(parse_directory(document))


async def test_a_directory_holds_what_all_nodes_say_now(tmp_path: Path) -> None:
    async with (
        served(tmp_path / "a") as first,
        served(tmp_path / "b") as second,
        directory_of([first.url, second.url]) as (directory, url),
    ):
        await until(lambda: len(said(directory)) == 2)
        before = await first.http.get(url + names.EVIDENCE_PATH)
        key = second.node.ring.rotate()
        await until(lambda: key.evidence.encoded in said(directory))
        after = await first.http.get(url + names.EVIDENCE_PATH)

    assert len(parse_directory(before.content)) == len(parse_directory(after.content)) == 2
    assert before.headers["content-type"] == "application/json"
    assert first.node.ring.current.evidence.encoded in parse_directory(after.content)  # type: ignore[union-attr]


async def test_a_node_that_drains_leaves_the_directory(tmp_path: Path) -> None:
    async with served(tmp_path) as house, directory_of([house.url]) as (directory, url):
        await until(lambda: len(said(directory)) == 1)
        house.node.draining = True
        await until(lambda: not said(directory))

        assert (await house.http.get(url + names.EVIDENCE_PATH)).status_code == 503


async def test_a_node_that_hangs_delays_no_other(tmp_path: Path) -> None:
    # Its port takes connections, as one that starts does, and nobody answers.
    hanging = bind(Address(host="127.0.0.1", port=0))
    async with served(tmp_path) as house, directory_of([hanging.url, house.url]) as (directory, _):
        await until(lambda: len(said(directory)) == 1)
        for _ in range(3):
            key = house.node.ring.rotate()
            async with asyncio.timeout(3):
                await until(lambda key=key: key.evidence.encoded in said(directory))  # type: ignore[misc]
    hanging.socket.close()


async def test_a_node_that_drips_counts_as_one_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and all of them never do."""
    monkeypatch.setattr(directory_module, "_LIMIT_S", 0.2)

    async def dripping() -> AsyncGenerator[bytes, None]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async with saying(lambda: StreamingResponse(dripping())) as url, directory_of([url]) as (directory, _):
        await until(lambda: missed(directory, url) > 1)


@pytest.mark.parametrize("much", ["three pieces", "one long piece", "one that is long as it is served"])
async def test_a_node_that_says_too_much_is_ignored_with_a_warning(
    tmp_path: Path, much: str, caplog: pytest.LogCaptureFixture
) -> None:
    content = {
        "three pieces": json.dumps({"v": 1, "nodes": [{"a": str(number)} for number in range(3)]}),
        "one long piece": json.dumps({"v": 1, "nodes": [{"a": "x" * names.MAX_EVIDENCE_BYTES}]}),
        "one that is long as it is served": json.dumps(
            {"v": 1, "nodes": [{"a": "\u00e9" * (names.MAX_EVIDENCE_BYTES // 4)}]}, ensure_ascii=False
        ),
    }[much]
    async with (
        served(tmp_path) as house,
        saying(lambda: Response(content)) as url,
        directory_of([url, house.url]) as (directory, _),
    ):
        await until(lambda: missed(directory, url) > MISSES and bool(said(directory)))
        key = house.node.ring.current
        assert key is not None
        assert said(directory) == {key.evidence.encoded}
    assert "node 1 gives no evidence" in caplog.text
    assert "more than one node has to say" in caplog.text


@pytest.mark.parametrize(
    "content", [gzip.compress(make_directory([b"{}"])), make_directory([b"{}"])], ids=["packed", "plain"]
)
async def test_nothing_is_unpacked_or_taken_for_what_it_does_not_say_it_is(content: bytes) -> None:
    asked: list[str | None] = []

    async def packed(request: Request) -> Response:
        asked.append(request.headers.get("accept-encoding"))
        return Response(content, headers={"content-encoding": "gzip"})

    async with answering(packed) as url, directory_of([url]) as (directory, _):
        await until(lambda: missed(directory, url) > 1)
        assert directory.document() is None
    assert set(asked) == {"identity"}


async def test_many_nodes_with_two_pieces_each_push_none_out_and_stay_readable() -> None:
    """At the most that each may say, all of it together can be read."""
    urls = [f"http://127.0.0.1:9/{number}" for number in range(names.MAX_NODES)]
    directory = Directory(nodes=urls, every_s=60)
    share = directory._share_bytes  # pyright: ignore[reportPrivateUsage]
    for number, url in enumerate(urls):
        pieces = [b'{"n":"%03d%d%b"}' % (number, piece, b"x" * (share // 2 - 20)) for piece in range(2)]
        evidence = _of_one_node(make_directory(pieces), share)
        directory._known[url] = _Known(evidence=evidence)  # pyright: ignore[reportPrivateUsage]
    found = said(directory)
    assert {json.loads(each)["n"][:4] for each in found} == {f"{number:03d}0" for number in range(names.MAX_NODES)}


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b'{"nodes":[],"v":1}', b'{"v":1,"v":1,"nodes":[{}]}', b"[" * 100_000, b"x" * 5_000_000],
    ids=["empty", "html", "no nodes", "twice", "deep", "long"],
)
async def test_a_node_that_says_nonsense_spoils_nothing(tmp_path: Path, content: bytes) -> None:
    async with (
        saying(lambda: Response(content)) as url,
        served(tmp_path) as house,
        directory_of([url, house.url]) as (directory, _),
    ):
        await until(lambda: len(said(directory)) == 1)
        key = house.node.ring.current
        assert key is not None
        assert directory.document() == make_directory([key.evidence.encoded])


async def test_a_directory_serves_releases_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "timestamp.json").write_text("{}")
    async with directory_of(["http://127.0.0.1:9"], tmp_path) as (_, url), httpx2.AsyncClient(trust_env=False) as http:
        found = await http.get(url + names.RELEASES_PATH + "metadata/timestamp.json")
        others = [(await http.get(url + path)).status_code for path in ("/", "/metrics", names.OHTTP_PATH)]

    assert (found.status_code, found.text, others) == (200, "{}", [404, 404, 404])
