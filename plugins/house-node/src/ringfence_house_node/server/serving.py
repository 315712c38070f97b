"""One process: two listening sockets on hypercorn, signals, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hypercorn.asyncio import serve as hypercorn_serve  # pyright: ignore[reportUnknownVariableType]
from hypercorn.config import Config
from starlette.types import ASGIApp

from ringfence.errors import InvalidRequest

SERVER_LOG = logging.getLogger("ringfence_house_node.hypercorn")

_KEEP_ALIVE_S = 30
"""Longer than clients and balancers keep a connection, so that it is they who close it."""
_CLOSING_S = 5.0
_UNTAKEN_MS = 60_000
_BACKLOG = 512
_PLACEHOLDER = "YOUR-HOST"
_ANY_HOST = frozenset({"0.0.0.0", "::"})  # noqa: S104  (to tell that it was asked for)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; port 0 is any free one. `certificate` and `key` are PEM files.

    `behind_proxy`: who connects is a proxy, which has the TLS and the name.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    @property
    def scheme(self) -> str:
        """How it is reached."""
        return "https" if self.certificate is not None else "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A socket that is bound, and how it is reached."""

    address: Address
    socket: socket.socket

    @property
    def url(self) -> str:
        """Its base URL; a name is shown as it was given, a port as it was found."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return self._of(host)

    @property
    def client_url(self) -> str:
        """Its base URL for clients, with `YOUR-HOST` in place of a name that is not known here."""
        if self.address.behind_proxy:
            return f"https://{_PLACEHOLDER}"
        return self._of(_PLACEHOLDER) if self.address.host in _ANY_HOST else self.url

    def _of(self, host: str) -> str:
        return f"{self.address.scheme}://{host}:{self.socket.getsockname()[1]}"


def bind(address: Address) -> Bound:
    """Binds the address.

    Raises:
        InvalidRequest: it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Who takes nothing of its answer is not waited for when the connection is closed.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)
    try:
        bound.bind((address.host, address.port))
        # From here on whoever connects waits for the app, and is not refused.
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        reason = (error.strerror or "unknown reason").lower()
        raise InvalidRequest(
            f"cannot listen on {address.host}:{address.port}: {reason}", way_out="another --port; 0 takes a free one"
        ) from None
    return Bound(address=address, socket=bound)


class Server:
    """One app on one bound socket. Closing lets what runs end within a few seconds."""

    def __init__(self, app: ASGIApp, bound: Bound) -> None:
        self._app = app
        self._bound = bound
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        # hypercorn's types know no app of Starlette's, which is the same callable.
        await hypercorn_serve(self._app, _config(self._bound), shutdown_trigger=self._stop.wait)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Stops listening and ends. A connection that does not end by itself is dropped."""
        self._stop.set()
        await asyncio.wait({self.task}, timeout=2 * _CLOSING_S)
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def _config(bound: Bound) -> Config:
    config = Config()
    config.bind = [f"fd://{bound.socket.detach()}"]
    config.errorlog = SERVER_LOG
    SERVER_LOG.setLevel(logging.WARNING)
    config.accesslog = None
    config.backlog = _BACKLOG
    config.include_server_header = False
    config.graceful_timeout = _CLOSING_S
    config.keep_alive_timeout = _KEEP_ALIVE_S
    # hypercorn 0.18 ends an HTTP/2 connection after so many requests, and cuts those that still run on it.
    config.keep_alive_max_requests = sys.maxsize
    if bound.address.certificate is not None and bound.address.key is not None:
        config.certfile, config.keyfile = str(bound.address.certificate), str(bound.address.key)
    return config


class Signals:
    """SIGTERM and SIGINT: the first asks for an orderly end, the second for the end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.again = asyncio.Event()
        self.exit_code = 0
        """130 after Ctrl-C, 1 after a failure."""

    def fail(self) -> None:
        """Asks for the end because something failed."""
        self.exit_code = 1
        self.asked.set()

    def _receive(self, number: int) -> None:
        if not self.asked.is_set() and number == signal.SIGINT:
            self.exit_code = 128 + number
        (self.again if self.asked.is_set() else self.asked).set()

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[None, None]:
        """Within it, the two signals come here."""
        loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._receive, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


async def first_of(*waiting: asyncio.Event | asyncio.Task[None]) -> None:
    """Returns when an event is set or a task has ended; raises what the task raised. Cancels no task."""
    events = [asyncio.create_task(each.wait()) for each in waiting if isinstance(each, asyncio.Event)]
    tasks = [each for each in waiting if isinstance(each, asyncio.Task)]
    try:
        await asyncio.wait([*events, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for event in events:
            event.cancel()
    for task in tasks:
        if task.done():
            task.result()


def leave_no_core() -> None:
    """A crash writes no memory to the disk, and neither does what is started from here.

    INVARIANT: what is asked of a node and the keys that open it are in RAM only.
    """
    import resource  # noqa: PLC0415  (not every system has it)

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


__all__ = ["Address", "Bound", "Server", "Signals", "bind", "first_of", "leave_no_core"]
