"""The body of a request as it comes: bounded, and read to its end whatever the answer will be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Self

from starlette.types import Receive

from ringfence_house_node.server.limits import Limits


class Gone(Exception):
    """The client went away."""


class BodyRefused(Exception):
    """A body that the node does not take: too long, too slow, or no room for it now."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Room:
    """So much of something, of which each takes a part and gives it back."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int) -> bool:
        """Whether there was room for `size` more, which is held from now on."""
        if self.held + size > self._limit:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """Ends the holding of `size`."""
        self.held -= size


class Rooms:
    """The memory that bodies may hold: short ones together, long ones together.

    INVARIANT: long bodies, however many are begun and never ended, take nothing of the room for short ones.
    """

    def __init__(self, limits: Limits) -> None:
        self.short = Room(limits.short_bodies_bytes)
        self.long = Room(limits.long_bodies_bytes)
        self.coming = Room(limits.long_bodies_coming)
        """Long bodies that have begun and not ended."""


class Body:
    """One request's body. Use as a context: what it held of the rooms is given back at its end."""

    def __init__(self, receive: Receive, *, rooms: Rooms, limits: Limits) -> None:
        self._receive = receive
        self._rooms = rooms
        self._room = rooms.short
        self._limits = limits
        self._held = 0
        self._coming = 0
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece.

        Raises:
            BodyRefused: it is too long, or there is no room for it.
            Gone: the client went away.
        """
        while not self._ended:
            piece = await self._next()
            if self._held + len(piece) > self._limits.body_bytes:
                raise BodyRefused(413, "the request is too long")
            if not self._hold(len(piece)):
                raise BodyRefused(503, "there is no room for the request now")
            yield piece
        self._arrived()

    async def drop(self, within_s: float) -> bool:
        """Reads what is still to come and keeps none of it, nor room for it; whether its end came in time.

        Over HTTP/2 the server closes the whole connection, and with it the other requests on it, when a body goes on
        after its answer (hypercorn 0.18: `KeyError` in `H2Protocol._handle_events`); over HTTP/1.1 its reader would
        wait for ever for the queue to have room. So an answer waits for the end of the body.
        """
        self._give_back()
        try:
            async with asyncio.timeout(within_s):
                while not self._ended:
                    await self._next()
        except TimeoutError:
            return False
        return True

    async def gone(self) -> None:
        """Returns when the client has gone away; more of the body, which the protocol does not allow, is dropped."""
        while True:
            if (await self._receive())["type"] == "http.disconnect":
                return

    def _hold(self, size: int) -> bool:
        """Whether there was room for so much more; past the length of a short body, in the room for long ones."""
        if self._room is self._rooms.short and self._held + size > self._limits.short_body_bytes:
            if not self._rooms.coming.take(1):
                return False
            self._coming = 1
            size += self._held
            self._room.give_back(self._held)
            self._room, self._held = self._rooms.long, 0
        if not self._room.take(size):
            return False
        self._held += size
        return True

    def _arrived(self) -> None:
        self._rooms.coming.give_back(self._coming)
        self._coming = 0

    def _give_back(self) -> None:
        self._arrived()
        self._room.give_back(self._held)
        self._held = 0

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        self._ended = not message.get("more_body", False)
        return bytes(message.get("body", b""))


__all__ = ["Body", "BodyRefused", "Gone", "Rooms"]
