"""A balancer that the operator lost: it sees every byte between client and nodes, and does with them what it likes.

It has no key. In front of development nodes it shows that this is not enough: see `attacks.py` for what it tries.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, TypeAlias

from examples.house.sealed import Sealed, parts
from examples.house.wire import LIMIT_BYTES, Address, Message, Reply, fetch, read_request, reply, write_reply

OHTTP = "/house/v1/ohttp"
NODES = "/house/v1/nodes/"
EVIDENCE = "/.well-known/ringfence/house/evidence"
RELEASES = "/house/releases/"
_NOT_HERE = (404, 421)


@dataclass(slots=True, kw_only=True, repr=False)
class Exchange:
    """A request and what was answered, as far as it was."""

    request: Message
    answer: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Turn:
    """One request that came, and what can be done with it. `earlier` are the exchanges before it."""

    request: Message
    earlier: Sequence[Exchange]
    balancer: HostileBalancer

    async def forward(self, body: bytes | None = None) -> Reply:
        """What the right server answers, streamed."""
        asked = self.request if body is None else replace(self.request, body=body)
        return await self.balancer.forward(asked)

    async def elsewhere(self) -> Reply:
        """What a node answers that the request is not for, told that it is."""
        return await self.balancer.misdirect(self.request)

    async def whole(self) -> bytes:
        """The body that the right server answers."""
        return await (await self.forward()).whole()

    async def sealed(self) -> Sealed:
        """The sealed answer of the right node, in its parts."""
        return parts(await self.whole())


Hook: TypeAlias = Callable[[Turn], Awaitable[Reply]]


async def faithfully(turn: Turn) -> Reply:
    """As a balancer should."""
    return await turn.forward()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What is done with sealed requests, with the directory of evidence and with the releases.

    `remembered`: it is against a client that asked before, and keeps what it saw then; every other is so too the first
    time that it asks.
    """

    name: str
    sealed: Hook = faithfully
    evidence: Hook = faithfully
    releases: Hook = faithfully
    remembered: bool = False


FAITHFUL = Attack(name="passes everything on")


class HostileBalancer:
    """Serves on a free port of loopback, in a thread of its own, while it is entered.

    `attack` may be changed at any time. `exchanges` is all that came and went since it was last cleared, in order.
    """

    def __init__(self, *, directory: Address, nodes: Sequence[Address], record: bool = True) -> None:
        self.attack = FAITHFUL
        self.exchanges: list[Exchange] = []
        self.port = 0
        self._directory = directory
        self._nodes = tuple(nodes)
        self._owners: dict[str, Address] = {}
        self._record = record
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="balancer", daemon=True)
        self._started = threading.Event()
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def seen(self, path: str = "") -> list[Exchange]:
        """The exchanges whose path begins so."""
        return [exchange for exchange in self.exchanges if exchange.request.path.startswith(path)]

    def recorded(self) -> bytes:
        """Every byte that clients sent: lines, fields and bodies."""
        sent = [exchange.request for exchange in self.exchanges]
        return b"\n".join(f"{one.line}{dict(one.fields)}".encode() + one.body for one in sent)

    def reset(self) -> None:
        """Breaks every connection there is now."""
        self._loop.call_soon_threadsafe(self._abort)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    # ------------------------------------------------------------------ as a balancer should
    async def forward(self, asked: Message) -> Reply:
        """Sends to the server that it is for: evidence and releases to the directory, else to the node of the key."""
        if not asked.path.startswith((OHTTP, NODES)):
            return await self._ask(self._directory, asked)
        kid = asked.path.split("/")[4] if asked.path.startswith(NODES) else asked.fields.get("ringfence-node", "")
        last = reply(b"no node", status=503, media_type="text/plain")
        for address in sorted(self._nodes, key=lambda node: node != self._owners.get(kid)):
            last = await self._ask(address, asked)
            if last.status not in (*_NOT_HERE, 502, 503):
                self._owners[kid] = address
                break
            last = reply(await last.whole(), status=last.status, media_type=last.media_type)
        return last

    async def misdirect(self, asked: Message) -> Reply:
        """Sends to a node that it is not for, under the name of a key of that node."""
        owner = self._owners.get(asked.fields["ringfence-node"])
        for kid, address in self._owners.items():
            if address != owner:
                return await self._ask(address, replace(asked, fields={**asked.fields, "ringfence-node": kid}))
        raise LookupError("no other node has answered yet")

    async def _ask(self, address: Address, asked: Message) -> Reply:
        try:
            head, pieces = await fetch(address, asked)
        except (OSError, asyncio.IncompleteReadError):
            return reply(b"<html>502 Bad Gateway</html>", status=502, media_type="text/html")
        return Reply(status=head.status, media_type=head.fields.get("content-type", "text/plain"), pieces=pieces)

    # ------------------------------------------------------------------ serving
    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=LIMIT_BYTES, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._over.wait()
        server.close()
        self._abort()
        # A connection that was accepted last has no task before the loop went round.
        await asyncio.sleep(0.05)
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(await read_request(reader), writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        exchange = Exchange(request=request)
        turn = Turn(request=request, earlier=tuple(self.exchanges), balancer=self)
        if self._record:
            self.exchanges.append(exchange)
        answer = await self._hook(request.path)(turn)
        # A client may leave in the middle: what the answer comes from is closed then too.
        async with aclosing(answer.pieces), aclosing(_noted(answer.pieces, exchange)) as noted:
            return await write_reply(writer, replace(answer, pieces=noted) if self._record else answer)

    def _hook(self, path: str) -> Hook:
        if path.startswith(OHTTP):
            return self.attack.sealed
        return self.attack.releases if path.startswith(RELEASES) else self.attack.evidence


async def _noted(pieces: AsyncGenerator[bytes, None], exchange: Exchange) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        exchange.answer += piece
        yield piece


__all__ = [
    "EVIDENCE",
    "FAITHFUL",
    "NODES",
    "OHTTP",
    "RELEASES",
    "Attack",
    "Exchange",
    "Hook",
    "HostileBalancer",
    "Turn",
]
