"""Requests whose length is said in two ways: a proxy in front may have believed the other one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_LENGTHS = ("content-length", "transfer-encoding")
_ANSWERING_S = 10.0


class OneLength:
    """Refuses a request with both `content-length` and `transfer-encoding`, and closes its connection.

    hypercorn reads by the second (RFC 9112, section 6.3). What stands behind the first is then a request that the
    proxy never saw, on a connection that it shares among its clients.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, lifespan or websocket."""
        if scope["type"] != "http" or not all(name in Headers(scope=scope) for name in _LENGTHS):
            await self._app(scope, receive, send)
            return
        refusal = Response("a request has one length\n", 400, {"connection": "close"}, media_type="text/plain")
        # Whatever still comes is read while the answer goes out; see `Body.drop`.
        rest = asyncio.create_task(_dropped(receive))
        try:
            async with asyncio.timeout(_ANSWERING_S):
                await refusal(scope, receive, send)
        finally:
            rest.cancel()
            with suppress(asyncio.CancelledError):
                await rest


async def _dropped(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


__all__ = ["OneLength"]
