"""`HouseServer`: directory, repository and nodes of a fleet on one loopback port, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ringfence.recipient import Recipient
from ringfence.testing.partners.wire import BadHttp, ClientGone, HttpRequest, Wire, read_request
from ringfence.testing.scenes import Backend, Scene, Seen
from ringfence_house.protocol.bhttp import BinaryRequest, decode_request
from ringfence_house.protocol.chunked import RequestOpener, ResponseSealer
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.names import (
    EVIDENCE_PATH,
    KEY_PROBLEM,
    NODE_HEADER,
    OHTTP_PATH,
    RELEASES_PATH,
    RESPONSE_TYPE,
)
from ringfence_house.testing.engine import Broken, Engine
from ringfence_house.testing.fleet import Fleet, Machine
from ringfence_house.testing.script import RESET, Inside, Outside, Reset, Script
from ringfence_house.testing.sealing import sealed_pieces

HOST = "127.0.0.1"
_KEY_PROBLEM = b'{"type":"%b","title":"key not found"}' % KEY_PROBLEM.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came from outside: `opened` is what stood in it, where a machine could open it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    opened: BinaryRequest | None = None


class HouseServer:
    """A development house on loopback. `backend` computes: what is opened goes there, as Chat Completions.

    It runs inside its `with` block, and begins and ends `backend` with it. `script` may be set at any time, and holds
    from the next request on. As a `Backend` of the conformance kit it shows what `backend` was sent.
    """

    def __init__(self, backend: Backend | None = None, *, fleet: Fleet | None = None, **fleet_options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ringfence-house-")
        self.fleet = fleet or Fleet(Path(self._folder.name), **fleet_options)
        self.backend = backend
        self.script = Script()
        self.received: list[Received] = []
        """The sealed requests so far."""
        self.fetched: list[str] = []
        """The paths of the directory that were read so far."""
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ for a test

    def recipient(self, **fields: Any) -> Recipient:
        """A recipient in this house, as a policy would declare it."""
        declared: dict[str, Any] = {
            "name": "house",
            "provider": "house",
            "model": self.fleet.releases[0].model,
            **self.recipient_fields(),
            **fields,
        }
        return Recipient(**declared)

    def recipient_fields(self) -> dict[str, Any]:
        """The fields of a recipient that lead here."""
        return {
            "ring": "house",
            "url": None,
            "directory": self.url,
            "trust": str(self.fleet.trust),
            "trust_digest": self.fleet.trust_digest,
            "min_tier": "software-dev",
        }

    def play(self, *scenes: Scene) -> None:
        """As `Backend.play`; forgets what came, too."""
        self.received.clear()
        if self.backend is not None:
            self.backend.play(*scenes)

    def seen(self) -> Sequence[Seen]:
        """As `Backend.seen`: what was inside of the encryption, as the engine got it."""
        return () if self.backend is None else self.backend.seen()

    def wire_events(self, scene: Scene) -> int:
        """As `Backend.wire_events`; what is inside is always streamed."""
        counted: Any = self.backend
        return int(counted.wire_events(scene))

    # ------------------------------------------------------------ life

    def __enter__(self) -> Self:
        if self.backend is not None:
            self.backend.__enter__()
        begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(begun)), daemon=True)
        self._thread.start()
        if not begun.wait(30):
            raise RuntimeError("the house did not begin")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._over is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(30)
        if self.backend is not None:
            self.backend.__exit__(kind, error, trace)
        self._folder.cleanup()

    async def _serve(self, begun: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            self._engine = await stack.enter_async_context(Engine(None if self.backend is None else self.backend.url))
            server = await asyncio.start_server(self._connection, HOST, 0, backlog=1024)
            self.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
            begun.set()
            await self._over.wait()
            server.close()

    # ------------------------------------------------------------ one connection

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        try:
            while await self._one(wire):
                pass
        except (ClientGone, BadHttp, asyncio.CancelledError):
            # Cancelled: the house ends, and with it every connection.
            pass
        finally:
            await wire.close()

    async def _one(self, wire: Wire) -> bool:
        request = await read_request(wire)
        if request.method == "POST" and request.path == OHTTP_PATH:
            return await _until_gone(wire, self._sealed(wire, request))
        return await _say(wire, self._public(request))

    def _public(self, request: HttpRequest) -> Outside | Reset:
        self.fetched.append(request.path)
        body: bytes | Reset | None = None
        if request.path == EVIDENCE_PATH:
            body = (self.script.directory or Fleet.directory)(self.fleet)
        elif request.path.startswith(RELEASES_PATH):
            path = request.path.removeprefix(RELEASES_PATH)
            body = self.script.release_file(path) if self.script.release_file else None
            body = self.fleet.release_file(path) if body is None else body
        if body == RESET:
            return RESET
        return Outside(status=404) if body is None else Outside(media_type="application/json", body=bytes(body))

    async def _sealed(self, wire: Wire, request: HttpRequest) -> bool:
        machine = self.fleet.machine(request.headers.get(NODE_HEADER, ""))
        opened, sealer = _open(machine, request.body)
        self.received.append(
            Received(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
                opened=opened,
            )
        )
        outside = self.script.outside(machine) if self.script.outside else None
        if outside is not None:
            return await _say(wire, outside)
        if machine is None or opened is None or sealer is None:
            return await _say(wire, Outside(status=400, media_type="application/problem+json", body=_KEY_PROBLEM))
        return await self._answered(wire, machine, opened, sealer)

    async def _answered(self, wire: Wire, machine: Machine, opened: BinaryRequest, sealer: ResponseSealer) -> bool:
        inside: Inside | None = self.script.inside(opened, machine) if self.script.inside else None
        load = self.script.load(machine) if self.script.load else None
        pieces = sealed_pieces(self._engine.answer(opened, inside), sealer, load)
        if self.script.sealed is not None:
            pieces = self.script.sealed(pieces)
        return await _stream(wire, pieces)


def _open(machine: Machine | None, body: bytes) -> tuple[BinaryRequest | None, ResponseSealer | None]:
    if machine is None:
        return None, None
    opener = RequestOpener({machine.config.key_id: machine.key}.get)
    try:
        opened = decode_request(b"".join([*opener.feed(body), *opener.end()]))
    except ProtocolFault:
        return None, None
    return opened, opener.sealer()


async def _until_gone(wire: Wire, work: Any) -> bool:
    """What comes of `work`, which ends as soon as the client is gone.

    Raises:
        ClientGone: it is.
    """
    answering = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(wire.pause(None))
    try:
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientGone
        done: bool = answering.result()
        return done
    finally:
        for task in (answering, watching):
            task.cancel()
        await asyncio.gather(answering, watching, return_exceptions=True)


async def _say(wire: Wire, outside: Outside | Reset) -> bool:
    if isinstance(outside, str):
        await wire.reset()
        return False
    head = f"HTTP/1.1 {outside.status} said\r\ncontent-type: {outside.media_type}\r\n"
    await wire.write(f"{head}content-length: {len(outside.body)}\r\n\r\n".encode("latin-1") + outside.body)
    return True


async def _stream(wire: Wire, pieces: AsyncIterator[bytes]) -> bool:
    """Writes the sealed answer as it comes; the head goes out with the first piece."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {RESPONSE_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    try:
        async for piece in pieces:
            await wire.write(head + (b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""))
            head = b""
    except Broken:
        await wire.reset()
        return False
    await wire.write(head + b"0\r\n\r\n")
    return True


__all__ = ["HOST", "HouseServer", "Received"]
