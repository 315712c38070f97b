"""A node with a scripted service on the real server, and a client that speaks the real protocol to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx2

from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import ResponseDecoder, ResponseHead, encode_request
from ringfence_house.protocol.chunked import RequestSealer, ResponseOpener
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.keyconfig import KeyConfig
from ringfence_house_node.attestors.development import DevelopmentAttestor
from ringfence_house_node.server.app import admin_app, public_app
from ringfence_house_node.server.callers import Callers
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.server.node import Node
from ringfence_house_node.server.serving import Address, Server, bind
from ringfence_house_node.service import Answer, Call, Readiness

MODEL = "test-model"
_CODE, _MODEL, _CONFIG = (sha256(name.encode()).hexdigest() for name in ("code", "model", "config"))
RELEASE: ReleaseClaim = {"id": "r1", "code": _CODE, "model": _MODEL, "config": _CONFIG}
CANARY = "canary-7f3a prompt nobody may see"

Script = Callable[[Call], AsyncGenerator[bytes, None]]


def event(text: str) -> bytes:
    return f"data: {json.dumps({'text': text})}\n\n".encode()


async def hello(call: Call) -> AsyncGenerator[bytes, None]:
    """Two words and the end mark."""
    del call
    for word in ("hello", "world"):
        yield event(word)
    yield b"data: [DONE]\n\n"


@dataclass
class ScriptedService:
    """A service whose answers are a script; it records what it was asked and how its answers ended."""

    script: Script = hello
    stream: bool = True
    status: int = 200
    readiness: Readiness = "ready"
    calls: list[Call] = field(default_factory=list[Call])
    ended: list[str] = field(default_factory=list[str])
    closed: bool = False

    async def start(self) -> None:
        self.readiness = "ready"

    async def close(self) -> None:
        self.closed = True

    async def respond(self, call: Call) -> Answer:
        self.calls.append(call)
        media_type = "text/event-stream" if self.stream else "application/json"
        return Answer(status=self.status, media_type=media_type, body=self._body(call), stream=self.stream)

    async def _body(self, call: Call) -> AsyncGenerator[bytes, None]:
        how = "cancelled"
        try:
            async for piece in self.script(call):
                yield piece
            how = "whole"
        except RuntimeError:
            how = "failed"
            raise
        finally:
            self.ended.append(how)


class Gate:
    """A script that says a word, waits to be let go, and says another."""

    def __init__(self) -> None:
        self.entered = 0
        self.open = asyncio.Event()
        self.order: list[str | None] = []

    async def __call__(self, call: Call) -> AsyncGenerator[bytes, None]:
        self.entered += 1
        self.order.append(call.tenant)
        yield event("begun")
        await self.open.wait()
        yield event("done")

    async def holds(self, count: int) -> None:
        await until(lambda: self.entered >= count)


async def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds; a test that waits in vain fails."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  (most of what is waited for is no event)
            await asyncio.sleep(0.005)


@dataclass(frozen=True, kw_only=True)
class Inner:
    """What came out of the encryption. `whole` says that a verified end did, too."""

    status: int
    fields: Mapping[str, str]
    content: bytes
    whole: bool
    chunks: tuple[int, ...] = ()

    @property
    def code(self) -> str:
        return str(json.loads(self.content)["error"]["code"])

    @property
    def words(self) -> list[str]:
        found = [line.removeprefix(b"data: ") for line in self.content.splitlines() if line.startswith(b"data: {")]
        return [json.loads(line)["text"] for line in found]


@dataclass(kw_only=True)
class Sealed:
    """A sealed request, and what opens its answer."""

    body: bytes
    opener: ResponseOpener
    again: ResponseOpener
    """For a second answer."""
    edges: tuple[int, ...] = ()
    """Where its chunks end."""


@dataclass(frozen=True, kw_only=True)
class House:
    """A node that is served, and a client of it."""

    node: Node
    attestor: DevelopmentAttestor
    service: ScriptedService
    url: str
    admin_url: str
    http: httpx2.AsyncClient

    @property
    def kid(self) -> str:
        key = self.node.ring.current
        assert key is not None
        return key.config.kid

    def fields(self, **changes: str | None) -> list[tuple[bytes, bytes]]:
        """The fields of a good request with changes by name, `_` for `-`; `None` leaves one out."""
        key = self.node.ring.current
        assert key is not None
        fields: dict[str, str | None] = {
            "content-type": "application/json",
            "date": formatdate(usegmt=True),
            names.EVIDENCE_FIELD: key.evidence.digest,
            names.EXPECT_FIELD: f"{RELEASE['id']} {MODEL}",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return [(name.encode(), value.encode()) for name, value in fields.items() if value is not None]

    def seal(
        self,
        content: bytes = b'{"messages":[]}',
        *,
        fields: Sequence[tuple[bytes, bytes]] | None = None,
        method: str = "POST",
        scheme: str = "https",
        authority: str = names.AUTHORITY,
        path: str = names.CHAT_PATH,
        plain: bytes | None = None,
        config: KeyConfig | None = None,
        chunk: int = 512,
    ) -> Sealed:
        key = self.node.ring.current
        assert key is not None
        sealer = RequestSealer(config or key.config)
        if plain is None:
            given = self.fields() if fields is None else fields
            plain = encode_request(method, scheme, authority, path, given, content, names.PAD_REQUEST_BYTES)
        body, edges = b"", list[int]()
        for start in range(0, len(plain), chunk):
            body += sealer.seal(plain[start : start + chunk])
            edges.append(len(body))
        return Sealed(body=body + sealer.finish(), opener=sealer.opener(), again=sealer.opener(), edges=tuple(edges))

    async def post(self, body: bytes, **headers: str | None) -> httpx2.Response:
        """Posts what may be no sealed request at all."""
        given: dict[str, str | None] = {
            "content-type": names.REQUEST_TYPE,
            names.NODE_HEADER: self.kid if self.node.ring.current else None,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kept = {name: value for name, value in given.items() if value is not None}
        return await self.http.post(self.url + names.OHTTP_PATH, content=body, headers=kept)

    async def ask(self, content: bytes = b'{"messages":[]}', **how: Any) -> Inner:
        sealed = self.seal(content, **how)
        return opened(await self.post(sealed.body), sealed.opener)

    async def metric(self, name: str) -> float:
        text = (await self.http.get(self.admin_url + "/metrics")).text
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name)))


class Connection:
    """A connection that speaks HTTP/2 from the first byte, stream by stream: httpx2 cannot reset one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._ended: set[int] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, house: House) -> AsyncGenerator[Connection, None]:
        host, _, port = house.url.removeprefix("http://").partition(":")
        connection = cls(*await asyncio.open_connection(host, int(port)))
        connection._h2.initiate_connection()
        try:
            yield connection
        finally:
            connection._writer.close()
            await connection._writer.wait_closed()

    async def post(self, body: bytes, *, end: bool = True) -> int:
        """Sends a request, of which `end` says whether it is all; returns its stream."""
        stream = self._h2.get_next_available_stream_id()
        pseudo = {":method": "POST", ":path": names.OHTTP_PATH, ":scheme": "http", ":authority": "localhost"}
        self._h2.send_headers(stream, [*pseudo.items(), ("content-type", names.REQUEST_TYPE)])
        self._h2.send_data(stream, body, end_stream=end)
        await self._flush()
        return stream

    async def reset(self, stream: int) -> None:
        self._h2.reset_stream(stream, 8)
        await self._flush()

    async def end_of(self, stream: int) -> None:
        """Returns when the answer to a stream has ended."""
        async with asyncio.timeout(20):
            while stream not in self._ended:
                data = await self._reader.read(65_536)
                assert data, "the connection was closed"
                for event in self._h2.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded):
                        self._ended.add(event.stream_id)
                await self._flush()

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()


def opened(response: httpx2.Response, opener: ResponseOpener) -> Inner:
    """Opens an answer that came over the wire."""
    assert response.status_code == 200, (response.status_code, response.text)
    assert response.headers["content-type"] == names.RESPONSE_TYPE
    return open_bytes(response.content, opener)


def open_bytes(data: bytes, opener: ResponseOpener) -> Inner:
    decoder, content, whole = ResponseDecoder(), b"", True
    heads, sizes = list[ResponseHead](), list[int]()
    chunks = list(opener.feed(data))
    try:
        chunks += opener.end()
    except ProtocolFault:
        whole = False
    for chunk in chunks:
        sizes.append(len(chunk))
        for part in decoder.feed(chunk):
            if isinstance(part, ResponseHead):
                heads.append(part)
            else:
                content += part
    if whole:
        decoder.end()
    fields = {name.decode(): value.decode() for name, value in heads[0].fields}
    return Inner(status=heads[0].status, fields=fields, content=content, whole=whole, chunks=tuple(sizes))


@asynccontextmanager
async def served(
    folder: Path,
    service: ScriptedService | None = None,
    *,
    limits: Limits | None = None,
    callers: Callers | None = None,
    http2: bool = False,
    clock: Callable[[], float] = time.time,
    releases: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> AsyncGenerator[House, None]:
    """A node on free ports of loopback."""
    scripted = service or ScriptedService()
    attestor = DevelopmentAttestor.open(folder / "ca", folder / "ak.key", serial="DEVTEST0001", ueid="dev-ueid")
    node = Node(
        service=scripted,
        attestor=attestor,
        release=RELEASE,
        model=MODEL,
        limits=limits,
        callers=callers,
        clock=clock,
    )
    node.ring.rotate()
    public = bind(Address(host="127.0.0.1", port=0, certificate=certificate, key=key))
    admin = bind(Address(host="127.0.0.1", port=0))
    url, admin_url = public.url, admin.url
    servers = [Server(public_app(node, releases=releases), public), Server(admin_app(node), admin)]
    try:
        async with httpx2.AsyncClient(http1=not http2, http2=http2, trust_env=False, timeout=30) as http:
            yield House(node=node, attestor=attestor, service=scripted, url=url, admin_url=admin_url, http=http)
    finally:
        node.cut()
        await asyncio.gather(*(server.close() for server in servers))
