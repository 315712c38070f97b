"""A backend for a provider whose wire is its own: the author says what is answered, and the kit does the rest."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

from ringfence.testing.scenes import Scene, Seen

_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reply:
    """One answer as the wire says it.

    `events` are the pieces that the backend writes one after the other, each complete with what separates it from the
    next; an answer that is not streamed is one. `malformed` is what stands in the place of an event that is none, by
    default the first half of it and a byte that is no text; `error_event` is how the wire says, inside a stream, that
    the backend failed: `None` if it has no such word, and then the stream just ends.
    """

    events: Sequence[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    malformed: bytes | None = None
    error_event: bytes | None = None


Author: TypeAlias = Callable[[Scene, Seen], Reply]
"""What a backend answers to a request: the scene in the words of the wire. The message of a refusal is the scene's
text, so that no provider maps an error by its text or passes it on."""


class _Broken(Exception):
    """The answer ends here."""


class WireBackend:
    """Plays scenes over HTTP on loopback, in a thread of its own; `reply` puts each into the words of the wire."""

    def __init__(self, reply: Author, *, path: str = "") -> None:
        self._reply = reply
        self._path = path
        self._lock = threading.Lock()
        self._scenes: tuple[Scene, ...] = (Scene(),)
        self._seen: list[Seen] = []
        self._server: ThreadingHTTPServer | None = None
        self._stopping = threading.Event()
        self.url = ""

    def play(self, *scenes: Scene) -> None:
        """What it does with the next requests, in order; the last again and again. Forgets what it has seen."""
        with self._lock:
            self._scenes = scenes or (Scene(),)
            self._seen = []

    def seen(self) -> Sequence[Seen]:
        """The requests so far, oldest first."""
        with self._lock:
            return tuple(self._seen)

    def wire_events(self, scene: Scene) -> int:
        """How many pieces `scene` has in answer to a request like the last one seen: a fault can be put at each."""
        with self._lock:
            last = self._seen[-1]
        return len(self._reply(scene, last).events)

    def __enter__(self) -> Self:
        self._stopping.clear()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.backend = self
        self.url = f"http://127.0.0.1:{self._server.server_port}{self._path}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    # ------------------------------------------------------------------ for the handler
    def arrived(self, seen: Seen) -> tuple[Scene, list[Seen], int]:
        """Takes a request; the scene to play, and where it is kept."""
        with self._lock:
            kept = self._seen
            kept.append(seen)
            return self._scenes[min(len(kept), len(self._scenes)) - 1], kept, len(kept) - 1

    def left(self, kept: list[Seen], place: int, after_s: float) -> None:
        """Notes that the client of a request went away."""
        with self._lock:
            kept[place] = replace(kept[place], disconnected_s=after_s)

    def reply(self, scene: Scene, seen: Seen) -> Reply:
        """What the author answers."""
        return self._reply(scene, seen)

    @property
    def stopping(self) -> bool:
        """Whether the backend is being closed."""
        return self._stopping.is_set()


class _Server(ThreadingHTTPServer):
    backend: WireBackend
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what half of the rules are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name in the standard library)
        """Quiet."""

    def do_POST(self) -> None:
        began = time.monotonic()
        backend = cast("_Server", self.server).backend
        path, _, query = self.path.partition("?")
        seen = Seen(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._body(),
        )
        scene, kept, place = backend.arrived(seen)
        try:
            self._play(backend.reply(scene, seen), scene)
        except _Broken:
            self.close_connection = True
        except OSError:
            backend.left(kept, place, time.monotonic() - began)
            self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815  (the standard library's names)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _play(self, reply: Reply, scene: Scene) -> None:
        self._wait(scene.first_byte_delay_s)
        if scene.fault == "stall" and scene.fault_at == 0:
            self._wait(None)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for place, event in enumerate(reply.events):
            self._wait(scene.chunk_delay_s if place else 0)
            self._chunk(self._faulty(reply, scene, event) if place == scene.fault_at else event)
        self.wfile.write(b"0\r\n\r\n")

    def _faulty(self, reply: Reply, scene: Scene, event: bytes) -> bytes:
        """What stands in the place of `event`, where the scene has its fault."""
        match scene.fault:
            case None:
                return event
            case "stall":
                self._wait(None)
            case "reset":
                self._reset()
            case "end":
                # HTTP itself says that this is all: only the wire's own end tells the difference.
                self.wfile.write(b"0\r\n\r\n")
            case "error_event":
                if reply.error_event is not None:
                    self._chunk(reply.error_event)
                self.wfile.write(b"0\r\n\r\n")
            case "malformed":
                return event[: len(event) // 2] + b"\xff\n\n" if reply.malformed is None else reply.malformed
        raise _Broken

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Closed as a file, since a socket stays open while its reader does; lingering for no time sends a reset.
        os.close(self.connection.detach())

    def _chunk(self, data: bytes) -> None:
        self._wait(0)
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _wait(self, seconds: float | None) -> None:
        """Waits, for ever where `seconds` is `None`.

        Raises:
            OSError: the client went away.
            _Broken: the backend is being closed.
        """
        until = time.monotonic() + (seconds or 0)
        backend = cast("_Server", self.server).backend
        while True:
            left_s = _POLL_S if seconds is None else max(0.0, min(_POLL_S, until - time.monotonic()))
            if select.select([self.connection], [], [], left_s)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError
            if backend.stopping:
                raise _Broken
            if seconds is not None and time.monotonic() >= until:
                return


__all__ = ["Reply", "WireBackend"]
