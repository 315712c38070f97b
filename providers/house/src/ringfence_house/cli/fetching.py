"""The public files of a house, fetched for an operator: no grant, since nothing of anybody's is sent."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx2

from ringfence.cli.failure import Misuse
from ringfence.errors import ConnectFailed, RingfenceError
from ringfence.transport.network import Network
from ringfence.transport.origins import is_loopback
from ringfence.transport.tls import Trust
from ringfence_house.client.reaching import TELL_OPERATOR, why_not_given, why_not_reached

LIMIT_S: Final = 20.0
"""For one file, from the connection to its last byte."""
_OK, _NOT_FOUND = 200, 404
_HOST = re.compile(rb"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name in ASCII, or an address: what else a URL may hold there, programs read in different ways."""
_PLACE: Final = "the URL:"
_WAY_OUT = "https://house.example, or http:// on this machine"

_WORDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ssl.SSLCertVerificationError, "the server's certificate is not trusted"),
    (ssl.SSLError, "no TLS connection"),
    (socket.gaierror, "the host's name could not be looked up"),
    (httpx2.ConnectTimeout, "no connection within the time limit"),
    (httpx2.TimeoutException, "nothing came within the time limit"),
    (httpx2.ConnectError, "no connection"),
    (httpx2.RemoteProtocolError, "the answer is no HTTP"),
    (httpx2.TransportError, "the connection broke"),
)
"""The first that fits, of all that an error came from."""


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
        except httpx2.TransportError as error:
            said, way_out = why_not_reached(_in_words_of_ours(error), _PLACE)
            raise ConnectFailed(said, way_out=way_out) from None


def _content(response: httpx2.Response, limit: int) -> bytes:
    if response.status_code != _OK:
        said, way_out = why_not_given(response.status_code, _PLACE)
        raise (NotThere if response.status_code == _NOT_FOUND else ConnectFailed)(said, way_out=way_out)
    end = time.monotonic() + LIMIT_S
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) > limit:
            raise ConnectFailed(f"a file of the house is longer than {limit:,} bytes", way_out=TELL_OPERATOR)
        if time.monotonic() > end:
            raise ConnectFailed("the directory of the house took too long", way_out="check the network, and the house")
    return bytes(data)


def _in_words_of_ours(error: httpx2.TransportError) -> httpx2.TransportError:
    """`error` in the words that the core's transport has for what it came from; without any where it has none."""
    kinds = {type(each) for each in _causes(error)}
    for kind, words in _WORDS:
        if any(issubclass(each, kind) for each in kinds):
            return httpx2.ConnectError(words)
    return httpx2.ConnectError("")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


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
