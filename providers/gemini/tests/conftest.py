"""A provider on a network that the test plays, and the vendor's SDK on the same: what one sends, the other is asked."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest

from ringfence.grant import _MINT, Grant  # pyright: ignore[reportPrivateUsage]  (a test is its own gate)
from ringfence.provider import Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart
from ringfence.response import ProviderEvent
from ringfence.routing.assemble import Assembler
from ringfence_gemini.provider import GeminiProvider

KEY = "key-7f3a91"
MODEL = "gemini-3.8-flash"
Json: TypeAlias = dict[str, Any]


class Pieces(httpx2.AsyncByteStream):
    """A body in pieces; an exception among them breaks it off."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def streamed(*chunks: Json) -> httpx2.Response:
    """A streamed answer, as the API writes it."""
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
    return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})


def chunk(*parts: Json, finish: str | None = None, **more: Any) -> Json:
    """One event of a streamed answer, or a whole one."""
    candidate: Json = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


@dataclass
class Wire:
    """A provider whose requests the test answers. `replies` are used in order, the last again and again."""

    replies: list[httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]] = field(
        default_factory=lambda: [streamed(chunk({"text": "hi"}, finish="STOP"))]
    )
    requests: list[httpx2.Request] = field(default_factory=list[httpx2.Request])
    provider: GeminiProvider = field(default_factory=GeminiProvider)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, httpx2.Response):
            return httpx2.Response(reply.status_code, headers=reply.headers, stream=reply.stream)
        return reply(request)

    def client(self, recipient: Recipient) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer), trust_env=False, timeout=None)

    async def open(self) -> None:
        await self.provider.open(
            ProviderContext(
                cache_dir=Path("/nowhere"),
                state_dir=Path("/nowhere"),
                logger=logging.getLogger("test"),
                monotonic_s=time.monotonic,
                http=self.client,
            )
        )

    async def plan(self, request: Request, recipient: Recipient) -> Plan[object]:
        return self.provider.plan(request, recipient, await self.provider.card(recipient))

    async def events(self, request: Request, recipient: Recipient) -> list[ProviderEvent]:
        plan = await self.plan(request, recipient)
        async with aclosing(self.provider.run(plan, grant(request, recipient))) as run:
            return [event async for event in run]

    async def message(self, request: Request, recipient: Recipient) -> Message:
        """The answer, put together as the core does."""
        assembler = Assembler("gemini", frozenset())
        for event in await self.events(request, recipient):
            assembler.add(event)
        return assembler.message()

    @property
    def body(self) -> Json:
        """The one body that was sent."""
        (request,) = self.requests
        body: Json = json.loads(request.content)
        return body


def grant(request: Request, recipient: Recipient) -> Grant:
    return Grant(_MINT, request, recipient=recipient)


def asking(text: str = "Hello", **changes: Any) -> Request:
    return Request(messages=changes.pop("messages", (Message("user", (TextPart(text),)),)), **changes)


def recipient(model: str = MODEL, **changes: Any) -> Recipient:
    return Recipient(name="gemini", ring="partner", provider="gemini", model=model, **changes)


@pytest.fixture
async def wire(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wire]:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    made = Wire()
    await made.open()
    yield made
    await made.provider.close()
