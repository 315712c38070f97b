"""HTTP/1.1 on the server's side: connections that notice at once when their client is gone, and requests on them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from urllib.parse import unquote

_MAX_HEAD_BYTES = 65_536
_MAX_BODY_BYTES = 64 * 1024 * 1024
_NO_LINGER = struct.pack("ii", 1, 0)


class ClientGone(Exception):
    """The client closed the connection, or it is broken."""


class BadHttp(Exception):
    """What came is no request that can be read; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(f"http {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request; header names in lower case, `path` decoded, `arrived_s` on the loop's clock."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    arrived_s: float

    @property
    def stays(self) -> bool:
        """Whether the client keeps the connection."""
        return self.headers.get("connection", "").lower() != "close"


class Wire:
    """One connection. It reads all the time, so that the end is noticed while an answer is written.

    A client that only closes its sending side counts as gone.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._gone = asyncio.Event()
        self.gone_s = 0.0
        """When the client went away, on the loop's clock."""
        self._pump = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._buffer) <= 2 * _MAX_BODY_BYTES and (data := await self._reader.read(262_144)):
                self._buffer += data
                self._more.set()
        self.gone_s = asyncio.get_running_loop().time()
        self._gone.set()
        self._more.set()
        # What waits for room to write ends here.
        self._writer.transport.abort()

    async def _grow(self) -> None:
        size = len(self._buffer)
        while len(self._buffer) == size:
            if self._gone.is_set():
                raise ClientGone
            self._more.clear()
            await self._more.wait()

    async def line_end(self, mark: bytes, most: int) -> bytes:
        """What comes before `mark`, which is taken too.

        Raises:
            BadHttp: it is longer than `most`.
            ClientGone: the connection ended first.
        """
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > most:
                raise BadHttp(431)
            await self._grow()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return found

    async def exactly(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            BadHttp: that is too much.
            ClientGone: the connection ended first.
        """
        if size > _MAX_BODY_BYTES:
            raise BadHttp(413)
        while len(self._buffer) < size:
            await self._grow()
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    async def write(self, data: bytes) -> None:
        """Sends; returns once there is room for more.

        Raises:
            ClientGone: there is nobody to send to.
        """
        if self._gone.is_set():
            raise ClientGone
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise ClientGone from None

    async def pause(self, seconds: float | None) -> None:
        """Waits, for ever if `seconds` is `None`.

        Raises:
            ClientGone: the client went away meanwhile.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        if self._gone.is_set():
            raise ClientGone

    async def reset(self) -> None:
        """Breaks the connection: the client gets a TCP reset, after it could read what was sent."""
        await asyncio.sleep(0.02)
        sock = self._writer.get_extra_info("socket")
        if sock is not None and not self._gone.is_set():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()

    async def close(self) -> None:
        """Ends the connection in order, and everything that reads from it."""
        with contextlib.suppress(OSError, asyncio.CancelledError):
            self._writer.close()
            await self._writer.wait_closed()
        self._pump.cancel()


async def read_request(wire: Wire) -> HttpRequest:
    """The next request on the connection.

    Raises:
        BadHttp: it cannot be read.
        ClientGone: there is none.
    """
    head = (await wire.line_end(b"\r\n\r\n", _MAX_HEAD_BYTES)).decode("latin-1")
    first, *lines = head.lstrip("\r\n").split("\r\n")
    try:
        method, target, version = first.split(" ")
        headers = dict(_header(line) for line in lines)
    except ValueError:
        raise BadHttp(400) from None
    if version != "HTTP/1.1":
        raise BadHttp(505)
    if headers.get("expect", "").lower() == "100-continue":
        await wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _body(wire, headers)
    path, _, query = target.partition("?")
    return HttpRequest(
        method=method,
        path=unquote(path),
        query=query,
        headers=headers,
        body=body,
        arrived_s=asyncio.get_running_loop().time(),
    )


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError
    return name.lower(), value.strip()


async def _body(wire: Wire, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(wire)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadHttp(400)
    return await wire.exactly(int(length))


async def _chunks(wire: Wire) -> bytes:
    body = bytearray()
    while True:
        line = await wire.line_end(b"\r\n", 1024)
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BadHttp(400) from None
        if size == 0:
            break
        if len(body) + size > _MAX_BODY_BYTES:
            raise BadHttp(413)
        body += await wire.exactly(size)
        await wire.line_end(b"\r\n", 2)
    while await wire.line_end(b"\r\n", _MAX_HEAD_BYTES):
        pass
    return bytes(body)
