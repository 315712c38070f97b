"""The public files of a house, fetched for an operator: no grant, since nothing of anybody's is sent."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2

from ringfence.cli.failure import Misuse
from ringfence.errors import ConnectFailed, RingfenceError
from ringfence.transport.network import Network
from ringfence.transport.origins import is_loopback
from ringfence.transport.tls import Trust

LIMIT_S: Final = 20.0
"""For one file, from the connection to its last byte."""
_OK, _NOT_FOUND = 200, 404
_HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name in ASCII, or an address: what else a URL may hold there, programs read in different ways."""
_WAY_OUT = "https://house.example, or http:// on this machine"


class NotThere(RingfenceError):
    """The directory has no such file."""


class Source:
    """Reads files below one URL, each within limits; follows no redirect, and takes nothing from the environment."""

    def __init__(self, url: str, *, ca_file: Path | None = None) -> None:
        """Raises `Misuse` where the URL is none that evidence may be asked of."""
        self._base = _checked(url)
        context = Trust(Network(ca_file=ca_file)).context()
        self._client = httpx2.Client(verify=context, trust_env=False, follow_redirects=False, timeout=LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, *, limit: int) -> bytes:
        """The file at `path`, of at most `limit` bytes.

        Raises:
            NotThere: there is none.
            ConnectFailed: it did not come, not whole, or not in time.
        """
        try:
            with self._client.stream("GET", self._base + path, headers={"accept-encoding": "identity"}) as response:
                return _content(response, limit)
        except httpx2.TransportError:
            raise ConnectFailed("the directory of the house cannot be reached", way_out="look at the URL") from None


def _content(response: httpx2.Response, limit: int) -> bytes:
    if response.status_code == _NOT_FOUND:
        raise NotThere("the directory of the house has no such file", way_out="look at the URL")
    if response.status_code != _OK:
        raise ConnectFailed(f"the directory of the house answered HTTP {response.status_code}")
    end = time.monotonic() + LIMIT_S
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) > limit:
            raise ConnectFailed(f"a file of the house is longer than {limit:,} bytes")
        if time.monotonic() > end:
            raise ConnectFailed("the directory of the house took too long")
    return bytes(data)


def _checked(url: str) -> str:
    try:
        found = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise Misuse("the URL is none", way_out=_WAY_OUT) from None
    if not _HOST.fullmatch(found.raw_host) or found.userinfo or found.query or found.fragment:
        raise Misuse("the URL must be a scheme, a host and at most a path", way_out=_WAY_OUT)
    if found.scheme != "https" and not (found.scheme == "http" and is_loopback(found.raw_host)):
        raise Misuse("the URL is neither https nor on this machine", way_out=_WAY_OUT)
    return str(found).rstrip("/")


__all__ = ["NotThere", "Source"]
