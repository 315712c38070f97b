"""What went wrong below, in httpx2's words and without what was sent or received."""

from __future__ import annotations

import os

import aiohttp
import httpx2

_FAULTS: tuple[tuple[type[BaseException], type[httpx2.TransportError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout, "no connection within the time limit"),
    (TimeoutError, httpx2.ReadTimeout, "nothing came within the time limit"),
    (aiohttp.ClientProxyConnectionError, httpx2.ProxyError, "no connection to the proxy"),
    (aiohttp.ClientHttpProxyError, httpx2.ProxyError, "the proxy refused to connect"),
    (aiohttp.ClientConnectorCertificateError, httpx2.ConnectError, "the server's certificate is not trusted"),
    (aiohttp.ClientConnectorDNSError, httpx2.ConnectError, "the host's name could not be looked up"),
    (aiohttp.ClientSSLError, httpx2.ConnectError, "no TLS connection"),
    (aiohttp.ClientConnectorError, httpx2.ConnectError, "no connection"),
    (aiohttp.ServerDisconnectedError, httpx2.RemoteProtocolError, "the server closed the connection without an answer"),
    (aiohttp.ClientPayloadError, httpx2.RemoteProtocolError, "the answer ended early, or is malformed"),
    (aiohttp.ClientResponseError, httpx2.RemoteProtocolError, "the answer is no HTTP"),
    (aiohttp.InvalidURL, httpx2.LocalProtocolError, "the address of the request cannot be sent"),
    (aiohttp.ClientError, httpx2.ReadError, "the connection broke"),
    (OSError, httpx2.ReadError, "the connection broke"),
    (ValueError, httpx2.LocalProtocolError, "the head of the request cannot be sent"),
)
"""The first that fits. Every `aiohttp.ClientError` fits one."""


_TEXTS = frozenset(text for _, _, text in _FAULTS)
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def why_not_connected(error: BaseException | None) -> tuple[str, str]:
    """What a provider can tell of a failed connection, and the way out; nothing of a foreign exception is in it."""
    text = str(error) if isinstance(error, httpx2.TransportError) else ""
    said = f": {text}" if text in _TEXTS else ""
    if "certificate" in said:
        return said, "an authority of your own counts only as Assistant(network=Network(ca_file=…))"
    proxy = next((name for name in _PROXIES if os.environ.get(name)), None)
    if proxy is not None:
        return said, f"{proxy} is set and ignored; Assistant(network=Network(proxy=…)) uses a proxy"
    return said, "check the network, and url: of the recipient"


def fault(error: Exception) -> httpx2.TransportError | None:
    """`error` in httpx2's words; `None` where it is no fault of the network. Raise it outside of the `except` block.

    INVARIANT: nothing of `error` is in it: its message may hold bytes of the answer, and its attributes the request.
    """
    return next((kind(text) for type_, kind, text in _FAULTS if isinstance(error, type_)), None)
