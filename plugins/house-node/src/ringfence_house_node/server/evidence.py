"""What a node says of itself: one document for everybody, and one made for whoever asks with a nonce."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from ringfence_house.attestation.claims import NONCE
from ringfence_house.attestation.evidence import make_directory
from ringfence_house_node.server.node import Node

_FRESH_PER_S = 2.0
_FRESH_BURST = 10.0


class Allowance:
    """So many at once, and so many a second from then on."""

    def __init__(self, *, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class EvidencePages:
    """The two pages that speak of the node's keys."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._fresh = Allowance(per_s=_FRESH_PER_S, burst=_FRESH_BURST)

    async def directory(self, _: Request) -> Response:
        """A directory of this node alone: the same bytes for every caller until the key is followed by another."""
        key = self._node.ring.current
        # A node that takes nothing leaves the directory, and a balancer elsewhere can tell by this page.
        if key is None or self._node.obstacles():
            return _sentence(503, "there is no evidence now", retry_after_s=1)
        return _json(make_directory([key.evidence.encoded]))

    async def node(self, request: Request) -> Response:
        """The evidence of the key that the path names; with a nonce, issued now."""
        key = self._node.ring.of_kid(request.path_params["kid"])
        nonce = request.query_params.get("nonce")
        if key is None:
            return _sentence(404, "there is no such key here")
        if nonce is None:
            return _json(key.evidence.encoded)
        if not NONCE.fullmatch(nonce):
            return _sentence(400, "a nonce is 16 to 64 characters of base64url")
        # It costs a signature, in the Secure Enclave of a Mac.
        if not self._fresh.take():
            return _sentence(429, "too many nonces were asked for", retry_after_s=1)
        issue = self._node.ring.evidence_of
        fresh = await asyncio.to_thread(issue, key.config, now=self._node.clock(), nonce=nonce)
        return _json(fresh.encoded)


def _json(content: bytes) -> Response:
    return Response(content, headers={"cache-control": "no-cache"}, media_type="application/json")


def _sentence(status: int, sentence: str, *, retry_after_s: int | None = None) -> Response:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return Response(f"{sentence}\n", status, headers, media_type="text/plain")


__all__ = ["Allowance", "EvidencePages"]
