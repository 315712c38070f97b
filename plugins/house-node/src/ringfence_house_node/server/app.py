"""The two ASGI apps of a node: what clients and balancers reach, and what its operator reaches on loopback."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence_house.protocol import names
from ringfence_house_node.server.endpoint import OUTCOME, SealedEndpoint
from ringfence_house_node.server.evidence import EvidencePages
from ringfence_house_node.server.framing import OneLength
from ringfence_house_node.server.node import Node
from ringfence_house_node.server.releases import releases_route

LOG = logging.getLogger("ringfence_house_node")
ACCESS = logging.getLogger("ringfence_house_node.access")
_METHODS = frozenset({"GET", "HEAD", "POST"})
"""Those that have a name in the log."""


def public_app(node: Node, *, releases: Path | None = None) -> ASGIApp:
    """What clients reach. `releases` is a folder to serve as the release repository, in development."""
    pages = EvidencePages(node)
    sealed = SealedEndpoint(node)
    routes = [
        Route(names.OHTTP_PATH, sealed, methods=["POST"]),
        Route(names.EVIDENCE_PATH, pages.directory),
        Route(names.NODE_EVIDENCE_PATH, pages.node),
    ]
    if releases is not None:
        routes.append(releases_route(releases))
    return Quiet(OneLength(Starlette(routes=routes)))


def admin_app(node: Node) -> ASGIApp:
    """What the operator reaches: alive, ready, metrics."""

    async def healthz(_: Request) -> Response:
        return Response("alive\n", media_type="text/plain")

    async def readyz(_: Request) -> Response:
        obstacles = node.obstacles()
        document = {"ready": not obstacles, "obstacles": obstacles}
        return Response(json.dumps(document), 503 if obstacles else 200, media_type="application/json")

    async def metrics(_: Request) -> Response:
        return Response(node.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    return Quiet(OneLength(Starlette(routes=routes)))


class Quiet:
    """Logs a request by the path that the node has for it, never by what was asked, and an exception by its type.

    INVARIANT: nothing that a client chooses reaches a log: not its method, path, query, fields or body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, lifespan or websocket."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001  (the server would log the words of any of them)
            LOG.error("a request failed: %s", type(error).__name__)  # noqa: TRY400
        method = scope["method"] if scope["method"] in _METHODS else "other"
        outcome = f" {scope[OUTCOME]}" if OUTCOME in scope else ""
        ACCESS.info("%s %s %d%s %.3fs", method, _shown(scope), status, outcome, time.monotonic() - began)


def _shown(scope: Scope) -> str:
    """The path as the node has it; what it does not have is not repeated."""
    path = scope["path"]
    if path in (names.OHTTP_PATH, names.EVIDENCE_PATH, "/healthz", "/readyz", "/metrics"):
        return str(path)
    known = "endpoint" in scope
    return "other" if not known else names.RELEASES_PATH if path.startswith(names.RELEASES_PATH) else "node evidence"


__all__ = ["Quiet", "admin_app", "public_app"]
