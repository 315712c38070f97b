"""Short ways to ask a house on loopback, and to make it misbehave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from ringfence import AsyncAssistant, Response, Retry
from ringfence.errors import RingfenceError
from ringfence.recipient import Recipient
from ringfence.testing.kit.bench import policy_of
from ringfence_house.provider import HouseProvider
from ringfence_house.testing import HouseServer, Inside

PROMPT = "canary-3f9c the whole prompt"
WORDS = ("Hello", " there", ", friend", ".")
TEXT = "".join(WORDS)

Pieces = AsyncIterator[bytes]


def saying(*words: str, done: bool = True) -> Inside:
    """A streamed chat completion of `words`, one event each."""
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return Inside(
        fields={"content-type": "text/event-stream"}, content=[*events, *([b"data: [DONE]\n\n"] if done else [])]
    )


def refusing(status: int, code: str = "some_code", **fields: str) -> Inside:
    """A refusal in the shape of the API, which repeats the prompt as servers do."""
    body = json.dumps({"error": {"message": PROMPT, "type": code, "code": code}}).encode()
    return Inside(status=status, fields={"content-type": "application/json", **fields}, content=[body])


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of one request."""

    response: Response[Any] | None
    error: RingfenceError | None
    partial: str = ""

    @property
    def text(self) -> str:
        assert self.error is None, f"{type(self.error).__name__}: {self.error}"
        assert self.response is not None
        return self.response.text


class Client:
    """One assistant in a house; each has a provider and kept state of its own."""

    def __init__(self, house: HouseServer, *, attempts: int = 1, tenant: str | None = None, **fields: Any) -> None:
        self.house = house
        self.recipient: Recipient = house.recipient(**fields)
        self.provider = HouseProvider()
        self._assistant = AsyncAssistant(
            policy_of([self.recipient]),
            providers={"house": self.provider},
            audit=False,
            tenant=tenant,
            retry=Retry(attempts=attempts, wait_s=0),
        )

    async def __aenter__(self) -> Self:
        await self._assistant.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._assistant.close()

    async def ask(self, text: str = PROMPT, **options: Any) -> Asked:
        """What comes of a request; an error is part of it."""
        try:
            response = cast("Response[Any]", await self._assistant.respond(text, **options))
        except RingfenceError as error:
            return Asked(response=None, error=error, partial=getattr(error, "partial_text", ""))
        return Asked(response=response, error=None)

    @property
    def assistant(self) -> AsyncAssistant:
        return self._assistant


async def ask(house: HouseServer, text: str = PROMPT, **options: Any) -> Asked:
    """What comes of one request of a new client."""
    async with Client(house, **options) as client:
        return await client.ask(text)


def nothing_left(house: HouseServer) -> bool:
    """Whether no request was sealed, and nothing of the prompt is in what was fetched."""
    return not house.received and not any("canary" in path for path in house.fetched)


def whole(change: Callable[[list[bytes]], Sequence[bytes]]) -> Callable[[Pieces], Pieces]:
    """A hostile way for an answer: all its pieces are held back, and go on as `change` wants them."""

    async def changed(pieces: Pieces) -> Pieces:
        for piece in change([piece async for piece in pieces]):
            yield piece

    return changed


__all__ = ["PROMPT", "TEXT", "WORDS", "Asked", "Client", "Pieces", "ask", "nothing_left", "refusing", "saying", "whole"]
