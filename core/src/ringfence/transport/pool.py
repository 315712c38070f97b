"""The pool of connections: one request, one connection, and a connection that is stale is found out before it is used.

aiohttp's pool with two things changed. It hands out a connection that the server has closed, as long as the event loop
has not heard of it, and a request on that one fails. And it keeps what a server sends unasked on an idle connection and
takes it for the next answer. Here an idle connection that hears anything ends, and one is probed before it is used.
"""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

IDLE_S = 15.0
"""How long a connection is kept that nobody uses."""


class Wire:
    """What one request travels on. `current` leads the pool to it."""

    __slots__ = ("_taken", "transport")

    current: ContextVar[Wire] = ContextVar("ringfence_wire")

    def __init__(self) -> None:
        self._taken = False
        self.transport: asyncio.Transport | None = None

    def take(self) -> None:
        """Stands for the one attempt that a request has.

        Raises:
            aiohttp.ClientConnectionError: this is a second one.
        """
        # INVARIANT: nothing is sent twice. aiohttp would send a GET again when a kept connection breaks.
        if self._taken:
            raise aiohttp.ClientConnectionError
        self._taken = True

    def cut(self) -> None:
        """Closes the socket now, whatever still waits to be written to it."""
        if self.transport is not None:
            self.transport.abort()


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
            transport = connection.transport
            if transport is not None and _ready(transport):
                break
            connection.close()
        wire.transport = transport
        connection.add_callback(lambda: _rest(connection))
        return connection


def _ready(transport: asyncio.Transport) -> bool:
    """Whether a request can be sent; an idle connection that has something to read was closed, or is out of step."""
    idle = transport.get_protocol()
    if not isinstance(idle, _Idle):
        return not transport.is_closing()
    if transport.is_closing() or _readable(transport):
        return False
    transport.set_protocol(idle.user)
    return True


def _rest(connection: Connection) -> None:
    """Called when the pool takes `connection` back, to keep it or to close it."""
    transport, protocol = connection.transport, connection.protocol
    if transport is not None and protocol is not None:
        transport.set_protocol(_Idle(transport, protocol))


def _readable(transport: asyncio.Transport) -> bool:
    socket = transport.get_extra_info("socket")
    number = -1 if socket is None else cast("int", socket.fileno())
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


class _Idle(asyncio.Protocol):
    """Stands in for the protocol `user` of a connection that nobody uses: whatever comes ends the connection."""

    def __init__(self, transport: asyncio.Transport, user: ResponseHandler) -> None:
        self._transport = transport
        self.user = user

    def data_received(self, data: bytes) -> None:  # noqa: ARG002  (asyncio's interface)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.user.connection_lost(exc)

    def pause_writing(self) -> None:
        self.user.pause_writing()

    def resume_writing(self) -> None:
        self.user.resume_writing()
