"""Whom a client trusts, and which way it goes: only as the app says."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.transport import certificates
from tests.transport.support import CLOSES_WITHIN_S, PATIENCE_S, Exchange, Out, manifest, reaching, recipient, serving

from ringfence.errors import InvalidRequest, Unavailable
from ringfence.transport import Clients, Network


async def test_a_server_that_the_ca_file_vouches_for_is_reached(tmp_path: Path) -> None:
    ca_file, context = certificates.make(tmp_path)
    async with serving(context=context) as server, reaching(server, Network(ca_file=ca_file)) as out:
        assert server.url.startswith("https")
        assert [(await out.post()).content for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 1


async def test_a_server_that_nobody_vouches_for_gets_no_request(tmp_path: Path) -> None:
    _, context = certificates.make(tmp_path)
    async with serving(context=context) as server, reaching(server) as out:
        with pytest.raises(httpx2.ConnectError, match="not trusted"):
            await out.post()
        assert not server.requests


async def test_a_certificate_of_another_host_gets_no_request(tmp_path: Path) -> None:
    ca_file, context = certificates.make(tmp_path, "other.example")
    async with serving(context=context) as server, reaching(server, Network(ca_file=ca_file)) as out:
        with pytest.raises(httpx2.ConnectError, match="not trusted"):
            await out.post()
        assert not server.requests


async def test_a_stale_or_talkative_tls_connection_costs_no_request(tmp_path: Path) -> None:
    idle = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.answer(b"own %d" % exchange.connection)
        await idle.wait()
        idle.clear()
        if exchange.connection % 2:
            exchange.writer.close()
        else:
            await exchange.answer(b"poison")

    ca_file, context = certificates.make(tmp_path)
    async with serving(answer, context=context) as server, reaching(server, Network(ca_file=ca_file)) as out:
        for number in range(1, 7):
            assert (await out.post()).content == b"own %d" % number
            idle.set()
            await asyncio.sleep(0.03)


@pytest.mark.parametrize("streaming", [True, False])
async def test_cancelling_over_tls_closes_the_socket(tmp_path: Path, *, streaming: bool) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if streaming:
            await exchange.begin_stream()
            await exchange.chunk(b"data: 1\n\n")
        began.set()
        await exchange.gone()
        gone.set()

    ca_file, context = certificates.make(tmp_path)
    async with serving(answer, context=context) as server, reaching(server, Network(ca_file=ca_file)) as out:
        task = asyncio.create_task(out.post())
        async with asyncio.timeout(PATIENCE_S):
            await began.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await gone.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_read_is_said_when_it_is_needed(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    clients = Clients(Network(ca_file=file))
    with pytest.raises(Unavailable, match="CA file"):
        clients.client(recipient("https://a.example"), manifest())
    clients.client(recipient("http://127.0.0.1:1"), manifest())
    await clients.aclose()


async def test_one_context_is_made_for_all_and_none_for_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    counts: list[int] = []
    create = httpx2.create_ssl_context

    def counting(*, trust_env: bool) -> ssl.SSLContext:
        assert trust_env is False
        made.append(create(trust_env=False))
        return made[-1]

    monkeypatch.setattr(httpx2, "create_ssl_context", counting)
    clients = Clients()
    clients.client(recipient("http://127.0.0.1:1", name="plain"), manifest())
    counts.append(len(made))
    clients.client(recipient("https://a.example", name="one"), manifest())
    clients.client(recipient(None, name="two"), manifest("b.example"))
    counts.append(len(made))
    assert counts == [0, 1]
    assert made[0].verify_mode is ssl.CERT_REQUIRED
    assert made[0].check_hostname
    assert not made[0].keylog_filename
    await clients.aclose()


# ---------------------------------------------------------------- proxy
@asynccontextmanager
async def _proxy(*, refuse: bool = False) -> AsyncGenerator[tuple[int, list[bytes]]]:
    """An HTTP proxy that connects to this machine whatever name it is given."""
    heads: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        method, target, _ = head.split(b" ", 2)
        port = int(target.rpartition(b":")[2].partition(b"/")[0])
        if refuse:
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        onward = await asyncio.open_connection("127.0.0.1", port)
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            onward[1].write(head)
        for ends in ((reader, onward[1]), (onward[0], writer)):
            tasks.add(asyncio.create_task(pipe(*ends)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_proxy_of_the_app_is_used_and_looks_the_name_up(tmp_path: Path) -> None:
    """The name exists nowhere: had the client looked it up, it would have failed."""
    ca_file, context = certificates.make(tmp_path, "api.partner.invalid")
    async with _proxy() as (port, heads), serving(context=context) as server:
        network = Network(proxy=f"http://user:pass%20word@127.0.0.1:{port}", ca_file=ca_file)
        clients, to = Clients(network), recipient(f"https://api.partner.invalid:{server.port}/v1")
        out = Out(clients, to, clients.client(to, manifest()))
        assert (await out.post()).content == b"ok"
        assert (await out.post()).content == b"ok"
        await clients.aclose()
    assert len(heads) == 1
    assert heads[0].startswith(b"CONNECT api.partner.invalid:%d " % server.port)
    assert base64.b64encode(b"user:pass word") in heads[0]
    assert all(not seen.header("proxy-authorization") for seen in server.requests)


async def test_a_proxy_carries_plain_http_too() -> None:
    async with (
        _proxy() as (port, heads),
        serving() as server,
        reaching(server, Network(proxy=f"http://127.0.0.1:{port}")) as out,
    ):
        assert (await out.request("GET", "/x")).content == b"ok"
    assert heads[0].startswith(b"GET http://127.0.0.1:%d/v1/x HTTP/1.1" % server.port)


async def test_a_proxy_that_refuses_is_an_error_and_nothing_goes_round_it() -> None:
    async with _proxy(refuse=True) as (port, _), serving() as server:
        to = recipient(f"https://127.0.0.1:{server.port}/v1")
        clients = Clients(Network(proxy=f"http://u:secret-word@127.0.0.1:{port}"))
        with pytest.raises(httpx2.ProxyError) as failure:
            await Out(clients, to, clients.client(to, manifest())).post()
        assert "secret-word" not in f"{failure.value} {failure.value!r} {failure.value.__context__!r}"
        await clients.aclose()
        assert server.connections == 0


def test_a_network_does_not_show_its_proxy() -> None:
    assert "secret-word" not in repr(Network(proxy="http://u:secret-word@proxy.example:3128"))


@pytest.mark.parametrize(
    "proxy",
    ["proxy.example:3128", "socks5://h", "http://", "http://h:99999", "http://h:x", "http://[::1", 7, b"http://h"],
)
def test_a_proxy_that_is_none_is_refused_at_once(proxy: Any) -> None:
    with pytest.raises(InvalidRequest, match="proxy"):
        Network(proxy=proxy)


@pytest.mark.parametrize("ca_file", [7, b"ca.pem", object()])
def test_a_ca_file_that_is_no_path_is_refused_at_once(ca_file: Any) -> None:
    with pytest.raises(InvalidRequest, match="ca_file"):
        Network(ca_file=ca_file)
