"""The directory of several nodes: the union of what they say, and nothing that it would vouch for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.responses import Response
from starlette.routing import Route, Router
from support import served, until

from ringfence_house.attestation.evidence import make_directory, parse_directory
from ringfence_house.protocol import names
from ringfence_house_node.directory import Directory, directory_app
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


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b'{"nodes":[],"v":1}', b'{"v":1,"v":1,"nodes":[{}]}', b"[" * 100_000, b"x" * 5_000_000],
    ids=["empty", "html", "no nodes", "twice", "deep", "long"],
)
async def test_a_node_that_says_nonsense_spoils_nothing(tmp_path: Path, content: bytes) -> None:
    async def nonsense(_: object) -> Response:
        return Response(content)

    bound = bind(Address(host="127.0.0.1", port=0))
    url = bound.url
    broken = Server(Router([Route(names.EVIDENCE_PATH, nonsense)]), bound)
    async with served(tmp_path) as house, directory_of([url, house.url]) as (directory, _):
        await until(lambda: len(said(directory)) == 1)
        key = house.node.ring.current
        assert key is not None
        assert directory.document() == make_directory([key.evidence.encoded])
    await broken.close()


async def test_a_directory_serves_releases_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "timestamp.json").write_text("{}")
    async with directory_of(["http://127.0.0.1:9"], tmp_path) as (_, url), httpx2.AsyncClient(trust_env=False) as http:
        found = await http.get(url + names.RELEASES_PATH + "metadata/timestamp.json")
        others = [(await http.get(url + path)).status_code for path in ("/", "/metrics", names.OHTTP_PATH)]

    assert (found.status_code, found.text, others) == (200, "{}", [404, 404, 404])
