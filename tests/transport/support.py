"""A server on loopback that says exactly what a test tells it to, and grants as the gate would make them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

import ringfence.grant
from ringfence.grant import Grant
from ringfence.provider import Manifest
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart
from ringfence.transport import Clients, Network

CLOSES_WITHIN_S = 0.25
"""From a cancelled request to the closed socket at the backend, as the conformance kit measures it."""

PATIENCE_S = 20.0

REQUEST = Request(messages=(Message("user", (TextPart("hello"),)),))


def manifest(*hosts: str) -> Manifest:
    return Manifest(name="tiny", interface=1, summary="", capabilities=frozenset({"text"}), hosts=hosts)


def recipient(url: str | None = None, **fields: Any) -> Recipient:
    fields = {"name": "far", "ring": "partner", "provider": "tiny", "model": "m", **fields}
    return Recipient(url=url, **fields)


def grant_for(to: Recipient) -> Grant:
    mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
    return Grant(mint, REQUEST, recipient=to)


@dataclass
class Exchange:
    """One request as a server got it, and the connection to answer on."""

    head: bytes
    body: bytes
    connection: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    def header(self, name: str) -> list[str]:
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip().decode() for key, _, value in lines if key.lower() == name.lower().encode()]

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self, body: bytes = b"ok", *headers: str, status: str = "200 OK") -> None:
        lines = "".join(f"{line}\r\n" for line in (f"content-length: {len(body)}", *headers))
        await self.send(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)

    async def begin_stream(self) -> None:
        await self.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def gone(self) -> int:
        """Waits until the client has closed; how many more bytes it sent."""
        count = 0
        with suppress(ConnectionError):
            while data := await self.reader.read(1 << 16):
                count += len(data)
        return count


Answer = Callable[[Exchange], Awaitable[None]]


async def plainly(exchange: Exchange) -> None:
    await exchange.answer()


@dataclass
class Loopback:
    """What a server saw."""

    port: int
    scheme: str
    requests: list[Exchange] = field(default_factory=list[Exchange])
    connections: int = 0
    open: int = 0
    faults: list[BaseException] = field(default_factory=list[BaseException])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    async def until_open(self, count: int) -> None:
        await until(lambda: self.open == count)

    async def until_asked(self, count: int) -> None:
        await until(lambda: len(self.requests) >= count)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what no event tells."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(answer: Answer = plainly, *, context: ssl.SSLContext | None = None) -> AsyncGenerator[Loopback]:
    """A server that calls `answer` for each request it has read whole; a body without a length is none."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        seen.connections += 1
        seen.open += 1
        number = seen.connections
        try:
            while not writer.is_closing():
                exchange = await _read(reader, writer, number)
                seen.requests.append(exchange)
                await answer(exchange)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  (said when the server is closed)
            seen.faults.append(error)
        finally:
            seen.open -= 1
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=512)
    seen = Loopback(port=server.sockets[0].getsockname()[1], scheme="https" if context else "http")
    try:
        yield seen
    finally:
        server.close()
        for writer in tuple(writers):
            writer.transport.abort()
        await until(lambda: not writers)
    assert not seen.faults


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Exchange:
    head = await reader.readuntil(b"\r\n\r\n")
    exchange = Exchange(head=head, body=b"", connection=connection, reader=reader, writer=writer)
    if (length := exchange.header("content-length")) and "x-unread" not in head.decode().lower():
        exchange.body = await reader.readexactly(int(length[0]))
    return exchange


@dataclass
class Out:
    """The guarded client of one recipient, with a new grant for every request."""

    clients: Clients
    recipient: Recipient
    client: httpx2.AsyncClient

    async def post(self, path: str = "/chat", content: bytes = b"{}", **fields: Any) -> httpx2.Response:
        return await self.request("POST", path, content=content, **fields)

    async def request(self, method: str, path: str, **fields: Any) -> httpx2.Response:
        url = path if "://" in path else f"{self.recipient.url}{path}"
        with grant_for(self.recipient).spend(REQUEST):
            return await self.client.request(method, url, **fields)

    @asynccontextmanager
    async def stream(self, path: str = "/chat", **fields: Any) -> AsyncGenerator[httpx2.Response]:
        request = self.client.build_request("POST", f"{self.recipient.url}{path}", content=b"{}", **fields)
        with grant_for(self.recipient).spend(REQUEST):
            response = await self.client.send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()


@asynccontextmanager
async def reaching(server: Loopback, network: Network | None = None) -> AsyncGenerator[Out]:
    """A client that may reach `server`."""
    clients = Clients(network)
    to = recipient(server.url)
    try:
        yield Out(clients, to, clients.client(to, manifest()))
    finally:
        await clients.aclose()
