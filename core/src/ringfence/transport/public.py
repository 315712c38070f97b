"""The guard of what a recipient publishes of itself: GETs that can carry nothing of any request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2

from ringfence.errors import GateError
from ringfence.transport.guard import Fence

if TYPE_CHECKING:
    from ringfence.recipient import Recipient
    from ringfence.transport.origins import Origin

_PATHS = re.compile(
    rb"/\.well-known/ringfence/[a-z]+/[a-z]+"
    rb"|/house/v1/nodes/[A-Za-z0-9_-]{43}/evidence"
    rb"|/house/releases/(?:metadata|targets)/[A-Za-z0-9._-]{1,128}"
)
"""What is published, below the path of the directory (house protocol 1)."""

_QUERY = re.compile(rb"(?:nonce=[A-Za-z0-9_-]{16,64})?")
_FIELDS = frozenset({b"host", b"accept", b"accept-encoding", b"user-agent", b"connection"})


class PublicGuard(Fence):
    """Lets through only GETs of published paths below the directory of `recipient`, without a body, and needs no grant.

    INVARIANT: nothing of a request is in them: the path is one of a few, the query a random value at most.
    """

    def __init__(
        self, recipient: Recipient, origin: Origin, engine: httpx2.AsyncBaseTransport, *, proxied_beyond: bool = False
    ) -> None:
        super().__init__(recipient, frozenset({origin}), engine, proxied_beyond=proxied_beyond)
        self._base = httpx2.URL(recipient.directory or "").raw_path.rstrip(b"/")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends.

        Raises:
            GateError: it is no GET of what a directory publishes; no name was looked up.
            Closed: the assistant was closed.
            httpx2.TransportError: what the network made of it.
        """
        self.check(request)
        await self._check_public(request)
        return await self._engine.handle_async_request(request)

    async def _check_public(self, request: httpx2.Request) -> None:
        path, _, query = bytes(request.url.raw_path).partition(b"?")
        names = {name.lower() for name, _ in request.headers.raw}
        published = path.startswith(self._base) and _PATHS.fullmatch(path[len(self._base) :]) is not None
        if (
            request.method != "GET"
            or await request.aread()
            or not published
            or not _QUERY.fullmatch(query)
            or not names <= _FIELDS
        ):
            raise GateError(
                f"a request to the directory of recipient '{self._recipient.name}' that reads nothing it publishes",
                way_out="a GET of a published path, without a body; all else needs a grant",
            )


__all__ = ["PublicGuard"]
