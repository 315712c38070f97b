"""The pool of connections: one request, one connection, and a connection that is stale is found out before it is used.

aiohttp's pool with three things changed. It hands out a connection that the server has closed, as long as the event
loop has not heard of it, and a request on that one fails. It keeps what a server sends unasked on an idle connection
and takes it for the next answer. And a reader is not told when an answer turns malformed in the middle: it waits for
ever (aiohttp 3.14, C parser). So each connection has a `_Line` before aiohttp's protocol.
"""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast

import aiohttp

from ringfence.errors import GateError
from ringfence.grant import sending_grant

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

IDLE_S = 15.0
"""How long a connection is kept that nobody uses."""

_FIRST_PIECE_BYTES = 2**14
_LARGEST_PIECE_BYTES = 2**18
_NOTHING = memoryview(b"")


class Wire:
    """What one request travels on. `current` leads the pool to it."""

    __slots__ = ("__weakref__", "_content", "_lost", "_taken", "_transport")

    current: ContextVar[Wire] = ContextVar("ringfence_wire")

    def __init__(self) -> None:
        self._content: aiohttp.StreamReader | None = None
        self._lost = False
        self._taken = False
        self._transport: asyncio.Transport | None = None

    def take(self) -> None:
        """Stands for the one attempt that a request has.

        Raises:
            aiohttp.ClientConnectionError: this is a second one.
        """
        # INVARIANT: nothing is sent twice. aiohttp would send a GET again when a kept connection breaks.
        if self._taken:
            raise aiohttp.ClientConnectionError
        self._taken = True

    def run_over(self, transport: asyncio.Transport) -> None:
        """The request is sent on `transport`."""
        self._transport = transport

    def follow(self, content: aiohttp.StreamReader) -> None:
        """Whoever reads `content` is told when the connection ends before it does."""
        self._content = content
        if self._lost:
            self.lost()

    def lost(self) -> None:
        """The connection has ended."""
        self._lost = True
        content = self._content
        if content is not None and not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError())

    def cut(self) -> None:
        """Closes the socket now, whatever still waits to be written to it."""
        if self._transport is not None:
            self._transport.abort()


class Pool(aiohttp.TCPConnector):
    """Keeps connections for one recipient."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's interface)
    ) -> Connection:
        """A connection to send on: new, or idle and found alive."""
        wire = Wire.current.get()
        wire.take()
        while True:
            connection = await super().connect(req, traces, timeout)
            line = _line_of(connection)
            if line is not None and line.take(wire):
                connection.add_callback(line.rest)
                try:
                    _note_connected()
                except GateError:
                    connection.close()
                    raise
                return connection
            connection.close()


def _note_connected() -> None:
    """From here on the backend takes its time, and no longer the network.

    Raises:
        GateError: the run has ended while the connection was made.
    """
    grant = sending_grant()
    if grant is None:
        return
    # INVARIANT: nothing is written after the end of the run, also where connecting took longer than that.
    if grant.over:
        raise GateError(f"the run under the grant for recipient '{grant.recipient.name}' has ended")
    grant.connected = True


class _Line(asyncio.BufferedProtocol):
    """One connection for its whole life. It is `wire`'s, or idle: then whatever comes ends it.

    An answer is read in pieces that grow: the first event of a long one need not wait until the rest is parsed.
    """

    def __init__(self, transport: asyncio.Transport, user: ResponseHandler) -> None:
        self._buffer = _NOTHING
        self._piece_bytes = _FIRST_PIECE_BYTES
        self._transport = transport
        self._user = user
        self._wire: Wire | None = None
        self._used = False

    def take(self, wire: Wire) -> bool:
        """Whether `wire` may run over it: an idle one that has something to read was closed, or is out of step."""
        if self._used and (self._transport.is_closing() or _readable(self._transport)):
            return False
        self._used = True
        self._piece_bytes = _FIRST_PIECE_BYTES
        self._wire = wire
        wire.run_over(self._transport)
        return True

    def rest(self) -> None:
        """Called when the pool takes the connection back, to keep it or to close it."""
        self._wire = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (the loop's interface)
        # A new one each time, so that an idle connection holds none.
        self._buffer = memoryview(bytearray(self._piece_bytes))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        self._buffer = _NOTHING
        if self._wire is None:
            self._transport.abort()
            return
        if nbytes == self._piece_bytes < _LARGEST_PIECE_BYTES:
            self._piece_bytes *= 4
        self._user.data_received(data)
        if self._transport.is_closing():
            # What came is malformed. A mere close would wait until the request is written.
            self._transport.abort()

    def eof_received(self) -> None:
        self._user.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._user.connection_lost(exc)
        if self._wire is not None:
            self._wire.lost()

    def pause_writing(self) -> None:
        self._user.pause_writing()

    def resume_writing(self) -> None:
        self._user.resume_writing()


def _line_of(connection: Connection) -> _Line | None:
    transport, user = connection.transport, connection.protocol
    if transport is None or user is None:
        return None
    line = transport.get_protocol()
    if not isinstance(line, _Line):
        line = _Line(transport, user)
        transport.set_protocol(line)
    return line


def _readable(transport: asyncio.Transport) -> bool:
    socket = transport.get_extra_info("socket")
    number = -1 if socket is None else cast("int", socket.fileno())
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
