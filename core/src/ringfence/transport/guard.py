"""The guard: an httpx2 transport that asks for a host that may be reached and a live grant, before anything is done."""

from __future__ import annotations

import ssl
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import httpx2

from ringfence.errors import GateError
from ringfence.grant import sending_grant

if TYPE_CHECKING:
    from ringfence.provider import Manifest
    from ringfence.recipient import Recipient
    from ringfence.transport.network import Network

Origin: TypeAlias = tuple[str, str, int]
"""Scheme, host in lower case, port."""

_PORTS = {"http": 80, "https": 443}


def origins_of(recipient: Recipient, manifest: Manifest) -> frozenset[Origin]:
    """Where `recipient` may be reached: its own `url`, else the hosts of the manifest over TLS."""
    if recipient.url is None:
        return frozenset(("https", host.lower(), 443) for host in manifest.hosts)
    parts = urlsplit(recipient.url)
    return frozenset({(parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme])})


class Guard(httpx2.AsyncBaseTransport):
    """Lets a request through to `engine` only to an allowed origin and under a live grant."""

    def __init__(self, recipient: Recipient, origins: frozenset[Origin], engine: httpx2.AsyncBaseTransport) -> None:
        self._recipient = recipient
        self._origins = origins
        self._engine = engine

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends.

        Raises:
            GateError: another host, or no live grant; no name was looked up.
            httpx2.TransportError: what the network made of it.
        """
        url = request.url
        # INVARIANT: both are asked before the engine, so before any look-up or connection.
        if (url.scheme, url.host.lower(), url.port or _PORTS.get(url.scheme, 0)) not in self._origins:
            raise GateError(
                f"recipient '{self._recipient.name}' may not be reached at the host of this request",
                way_out="declare the host as url: of the recipient, if bytes may go there",
            )
        grant = sending_grant()
        if grant is None:
            raise GateError(f"a request to recipient '{self._recipient.name}' without a grant")
        grant.claim(self._recipient)
        return await self._engine.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._engine.aclose()


def guarded_client(recipient: Recipient, manifest: Manifest, network: Network) -> httpx2.AsyncClient:
    """The client of one recipient: guarded, without redirects, cookies, time limits or anything of the environment."""
    context = ssl.create_default_context(cafile=network.ca_file)
    engine = httpx2.AsyncHTTPTransport(verify=context, trust_env=False, proxy=network.proxy)
    client = httpx2.AsyncClient(
        transport=Guard(recipient, origins_of(recipient, manifest), engine),
        base_url=recipient.url or "",
        follow_redirects=False,
        timeout=None,
        trust_env=False,
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client
