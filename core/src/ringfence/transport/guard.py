"""The guard: an httpx2 transport that asks for an allowed origin and a live grant, before anything is done."""

from __future__ import annotations

import asyncio
import os
import re
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx2

from ringfence.errors import Closed, GateError
from ringfence.grant import sending_grant
from ringfence.transport.origins import Origin, host_headers, is_loopback, origin_of

if TYPE_CHECKING:
    from ringfence.grant import Grant
    from ringfence.recipient import Recipient

FORBID_VARIABLE = "RINGFENCE_FORBID_NETWORK"
"""Set to 1, it forbids every request beyond this machine; read at each request, so that a test run can set it."""

_NAMES = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-z]+(?:,[-!#$%&'*+.^_`|~0-9a-z]+)*")
"""Names of headers in lower case, with commas between: tokens (RFC 9110, 5.6.2), so no `:authority` and no `host `."""

_LARGE_BYTES = 100_000
"""A body of more than this, some milliseconds of searching, is searched in a thread."""

_EXTENSIONS = frozenset({"timeout"})
"""Others can change where a request goes, such as `target` and `sni_hostname`."""


class Fence(httpx2.AsyncBaseTransport):
    """What every guard asks: an allowed origin, and a form that no server reads as another request.

    `proxied_beyond` says that even a request to this machine leaves it, through a proxy elsewhere.
    """

    def __init__(
        self,
        recipient: Recipient,
        origins: frozenset[Origin],
        engine: httpx2.AsyncBaseTransport,
        *,
        proxied_beyond: bool = False,
    ) -> None:
        self._recipient = recipient
        self._hosts = {origin: host_headers(origin) for origin in origins}
        self._here = frozenset(origin for origin in origins if is_loopback(origin[1]) and not proxied_beyond)
        self._engine = engine
        self._closed = False

    def check(self, request: httpx2.Request) -> None:
        """Does nothing for a request that may leave as far as its address and its form go.

        Raises:
            GateError: another origin, or a form that is never sent.
            Closed: the assistant was closed.
        """
        if self._closed:
            raise Closed("the network client is closed", way_out="make a new assistant")
        fields = [(name.lower(), value) for name, value in request.headers.raw]
        self._check_origin(request.url, [value for name, value in fields if name == b"host"])
        self._check_form(request, [name for name, _ in fields])

    def _check_origin(self, url: httpx2.URL, hosts: list[bytes]) -> None:
        origin = origin_of(url)
        allowed = self._hosts.get(origin)
        # A Host header that says otherwise could reach another tenant behind the same address.
        if allowed is None or url.userinfo or len(hosts) != 1 or hosts[0].lower() not in allowed:
            raise GateError(
                f"recipient '{self._recipient.name}' may not be reached at the host of this request",
                way_out="declare the host as url: of the recipient, if bytes may go there",
            )
        if os.environ.get(FORBID_VARIABLE) == "1" and origin not in self._here:
            raise GateError(
                f"recipient '{self._recipient.name}' is beyond this machine, and {FORBID_VARIABLE}=1 forbids that",
                way_out=f"unset {FORBID_VARIABLE}, or use a scripted provider or a server on loopback",
            )

    def _check_form(self, request: httpx2.Request, names: list[bytes]) -> None:
        """Refuses what a server could read as another request, and what is kept from one request to another."""
        if (
            request.method == "CONNECT"
            or not request.extensions.keys() <= _EXTENSIONS
            or not _NAMES.fullmatch(b",".join(names))
        ):
            raise GateError(
                f"a request to recipient '{self._recipient.name}' of a form that is never sent",
                way_out="no CONNECT, no extension but timeout, and headers with names as in RFC 9110",
            )
        if b"cookie" in names:
            raise GateError(f"a request to recipient '{self._recipient.name}' with a cookie; none is kept or sent")

    async def aclose(self) -> None:
        """Closes the connections, also those in use. Idempotent."""
        self._closed = True
        await self._engine.aclose()


class Guard(Fence):
    """Lets a request through to `engine` only to one of `origins` and under a live grant of `recipient`."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends.

        Raises:
            GateError: another origin, no live grant, or a redacted value in what would leave; no name was looked up.
            Closed: the assistant was closed.
            httpx2.TransportError: what the network made of it.
        """
        # INVARIANT: everything is asked before the engine, so before any look-up or connection.
        self.check(request)
        grant = self._grant()
        if grant.hidden:
            await self._check_content(request, grant)
        # Last, since what a person takes back before this is not sent.
        grant.claim(self._recipient)
        return await self._engine.handle_async_request(request)

    async def _check_content(self, request: httpx2.Request, grant: Grant) -> None:
        """INVARIANT: a redacted value never leaves; a body that is streamed is read first."""
        body = await request.aread()
        outgoing = (body, bytes(request.url.raw_path), *(value for _, value in request.headers.raw))
        if len(body) > _LARGE_BYTES:
            await asyncio.to_thread(grant.inspect, *outgoing)
        else:
            grant.inspect(*outgoing)

    def _grant(self) -> Grant:
        grant = sending_grant()
        if grant is None:
            raise GateError(
                f"a request to recipient '{self._recipient.name}' without a grant",
                way_out="send inside: with grant.spend(plan.request)",
            )
        return grant


def guarded_client(guard: Fence) -> httpx2.AsyncClient:
    """A client on `guard`: without redirects, cookies, time limits of its own or anything of the environment."""
    client = httpx2.AsyncClient(
        transport=guard,
        # Not asked for compressed, an answer takes the memory that was sent, and a streamed one is never held back.
        headers={"accept-encoding": "identity"},
        follow_redirects=False,
        timeout=None,
        trust_env=False,
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client
