"""The engine: httpx2's transport interface on aiohttp, whose parser and pool take a third of the time (0071)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from io import BytesIO
from itertools import chain
from typing import cast
from weakref import WeakSet

import aiohttp
import httpx2
from yarl import URL

from ringfence.errors import Closed, InvalidRequest
from ringfence.transport.faults import fault
from ringfence.transport.pool import IDLE_S, Pool, Wire

MAX_ANSWER_BYTES = 256 * 2**20
"""The longest answer: ten times the largest pictures, so that a server without end does not fill the memory."""

CONNECT_S = 15.0
"""How long one connection may take to be made, TLS included: a port that does not speak it says nothing for ever."""

_LARGE_BYTES = 2**20

_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp would add."""


class Engine(httpx2.AsyncBaseTransport):
    """Sends requests, each once and as it is. Knows nothing of grants: that is the guard's part.

    Bound to the event loop of its first request. It has no limit of connections: how many requests are under way at
    once is decided before they get here, and one that waited for a connection would hold a grant meanwhile. Of the time
    limits that a caller sets, `connect` and `read` hold; there is no pool to wait for, and writing ends with reading.
    """

    def __init__(self, *, context: ssl.SSLContext | None, proxy: str | None) -> None:
        self._context = context
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._wires: WeakSet[Wire] = WeakSet()
        """Of the requests under way, and of answers that somebody still holds."""

    def _begin(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Closed("the network client is closed", way_out="make a new assistant")
        loop = asyncio.get_running_loop()
        if self._session is None:
            self._loop = loop
            self._session = self._new_session()
        elif self._loop is not loop:
            # After a fork, too: the child has another loop, and must leave its parent's connections alone.
            raise InvalidRequest(
                "this network client began on another event loop", way_out="make an assistant per loop"
            )
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        pool = Pool(
            limit=0,
            keepalive_timeout=IDLE_S,
            # The system's own look-up, which Python's audit events show; another would be taken where it is installed.
            resolver=aiohttp.ThreadedResolver(),
            ssl=True if self._context is None else self._context,
        )
        return aiohttp.ClientSession(
            connector=pool,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
            skip_auto_headers=_OWN_HEADERS,
            auto_decompress=False,
            trust_env=False,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends, and returns when the head of the answer is there.

        Raises:
            httpx2.TransportError: what went wrong, without content.
        """
        session = self._begin()
        headers, body = await _outgoing(request)
        wire = Wire()
        self._wires.add(wire)
        token = Wire.current.set(wire)
        try:
            response = await session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=_limits(request),
            )
        except Exception as error:
            failure = fault(error)
            if failure is None:
                raise
        except BaseException:
            wire.cut()
            raise
        else:
            return _incoming(response, wire)
        finally:
            Wire.current.reset(token)
        wire.cut()
        raise failure

    async def aclose(self) -> None:
        """Closes every connection, also those in use. Idempotent."""
        self._closed = True
        # A mere close would wait for a server that takes nothing.
        for wire in tuple(self._wires):
            wire.cut()
        if self._session is not None:
            await self._session.close()


async def _outgoing(request: httpx2.Request) -> tuple[list[tuple[str, str]], bytes | BytesIO | None]:
    """Headers and body. The body is sent whole and with its length, also where httpx2 would send it piece by piece."""
    body = await request.aread()
    headers = [item for item in request.headers.multi_items() if item[0] != "transfer-encoding"]
    # aiohttp writes a file piece by piece and lets the loop turn, so that a large picture holds nothing else up.
    return headers, BytesIO(body) if len(body) >= _LARGE_BYTES else body or None


def _incoming(response: aiohttp.ClientResponse, wire: Wire) -> httpx2.Response:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        wire.cut()
        response.close()
        raise httpx2.RemoteProtocolError("the answer is compressed, which was not asked for")
    wire.follow(response.content)
    answer = httpx2.Response(
        response.status,
        headers=list(response.raw_headers),
        stream=_Answer(response, wire),
        extensions={"http_version": b"HTTP/1.1", "reason_phrase": (response.reason or "").encode("latin-1", "replace")},
    )
    if b"".join(chain.from_iterable(response.raw_headers)).isascii():
        # What httpx2 would find out by decoding every field, at the first look at one.
        answer.headers.encoding = "ascii"
    return answer


class _Answer(httpx2.AsyncByteStream):
    """The body as it comes, each piece when it is there."""

    __slots__ = ("_response", "_wire")

    def __init__(self, response: aiohttp.ClientResponse, wire: Wire) -> None:
        self._response = response
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = self._response.content.readany
        left = MAX_ANSWER_BYTES
        failure: httpx2.TransportError | None = None
        while True:
            try:
                piece = await read()
            except Exception as error:
                failure = fault(error)
                if failure is None:
                    raise
                break
            if not piece:
                return
            left -= len(piece)
            if left < 0:
                failure = httpx2.RemoteProtocolError("the answer is longer than any that is taken")
                break
            yield piece
        await self.aclose()
        raise failure

    async def aclose(self) -> None:
        if not self._response.closed:
            # INVARIANT: an answer that was not read to its end closes its connection, at once.
            self._wire.cut()
            self._response.close()


def _limits(request: httpx2.Request) -> aiohttp.ClientTimeout:
    limits = cast("dict[str, float | None]", request.extensions.get("timeout") or {})
    return _timeout(limits.get("connect") or CONNECT_S, limits.get("read"))


@lru_cache(maxsize=16)
def _timeout(connect_s: float | None, read_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)
