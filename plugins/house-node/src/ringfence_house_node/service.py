"""Between the sealed endpoint and what computes: a call that was opened, and its answer before it is sealed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Call:
    """An inner request that passed the checks of the protocol. `tenant` keys caches; `None` reuses nothing."""

    path: str
    body: bytes
    tenant: str | None

    def __repr__(self) -> str:
        return f"Call({self.path}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """The inner answer. `stream` says that `body` is server-sent events, each whole; closing `body` cancels."""

    status: int
    media_type: str
    body: AsyncGenerator[bytes, None]
    stream: bool = False
    retry_after_s: float | None = None

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.media_type})"


Readiness: TypeAlias = Literal["starting", "ready", "failed"]


class Service(Protocol):
    """What answers calls. Used from one event loop."""

    async def start(self) -> None:
        """Starts what computes and keeps it alive from now on. Returns when a first try was made; see `readiness`."""
        ...

    async def close(self) -> None:
        """Ends everything, child processes too. Idempotent."""
        ...

    @property
    def readiness(self) -> Readiness:
        """`ready` only after one real token came from the engine that is alive now."""
        ...

    async def respond(self, call: Call) -> Answer:
        """Answers. Never raises for what the caller did: that is an answer 4xx in the shape of the OpenAI API."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A service that knows why it is not ready."""

    @property
    def cause(self) -> str | None:
        """A word of a closed set, without content; `None` where it is ready or does not know."""
        ...


__all__ = ["Answer", "Call", "Explains", "Readiness", "Service"]
