"""Where a recipient may be reached: origins, compared exactly as they would be connected to."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, TypeAlias

import httpx2

from ringfence.errors import GateError

if TYPE_CHECKING:
    from ringfence.provider import Manifest
    from ringfence.recipient import Recipient

Origin: TypeAlias = tuple[bytes, bytes, int]
"""Scheme, host in ASCII and lower case (punycode; no brackets around IPv6), port."""

_PORTS = {b"http": 80, b"https": 443}
_HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name in ASCII, or an address. What else a URL may hold there, programs read in different ways."""


def origins_of(recipient: Recipient, manifest: Manifest) -> frozenset[Origin]:
    """The origin of the recipient's own `url`, else of its `directory`, else the manifest's hosts over TLS, port 443.

    Raises:
        GateError: the address is none that a request could be held to.
    """
    if recipient.url is not None:
        return frozenset({_declared(recipient, recipient.url)})
    if recipient.directory is not None:
        return frozenset({_declared(recipient, recipient.directory)})
    for host in manifest.hosts:
        origin = _declared(recipient, f"https://{host}")
        if origin != (b"https", host.lower().encode("ascii", "replace"), 443):
            raise GateError(
                f"the manifest of provider '{manifest.name}' names a host that is none", way_out="tell its author"
            )
    return frozenset(_declared(recipient, f"https://{host}") for host in manifest.hosts)


def directory_origin(recipient: Recipient) -> Origin:
    """The origin of the directory of `recipient`.

    Raises:
        GateError: it has none, or its address is none that a request could be held to.
    """
    if recipient.directory is None:
        raise GateError(
            f"recipient '{recipient.name}' has no directory", way_out="directory: https://… beside its ring"
        )
    return _declared(recipient, recipient.directory)


def _declared(recipient: Recipient, address: str) -> Origin:
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, TypeError, ValueError):
        url = httpx2.URL("")
    if url.raw_scheme not in _PORTS or not _HOST.fullmatch(url.raw_host) or url.userinfo:
        # An address may hold a password, so it is not repeated.
        raise GateError(
            f"the address of recipient '{recipient.name}' cannot be used",
            way_out="url: https://host/path, without a user name in it",
        )
    return origin_of(url)


def origin_of(url: httpx2.URL) -> Origin:
    """The origin that a request to `url` would be sent to; port 0 where there is none."""
    scheme = url.raw_scheme
    return scheme, url.raw_host, url.port or _PORTS.get(scheme, 0)


def host_headers(origin: Origin) -> frozenset[bytes]:
    """What a `Host` header to `origin` may say."""
    scheme, host, port = origin
    name = b"[%b]" % host if b":" in host else host
    with_port = b"%b:%d" % (name, port)
    return frozenset({name, with_port} if port == _PORTS[scheme] else {with_port})


def is_loopback(host: bytes) -> bool:
    """Whether `host` is this machine: `localhost` or a loopback address in its usual form. Looks nothing up."""
    if host == b"localhost":
        return True
    try:
        return ipaddress.ip_address(host.decode("ascii")).is_loopback
    except ValueError:
        return False
