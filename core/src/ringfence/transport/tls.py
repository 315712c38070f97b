"""Whom to trust over TLS: the system's authorities, or those of a file that the app names."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import httpx2

from ringfence.errors import Unavailable

if TYPE_CHECKING:
    from ringfence.transport.network import Network


class Trust:
    """The one TLS context of an assistant. Made when a first recipient needs it: it costs some 25 ms."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The context; the same one every time.

        Raises:
            Unavailable: the CA file of `Network` cannot be read.
        """
        if self._context is None:
            self._context = _context(self._network.ca_file)
        return self._context


def _context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    # INVARIANT: neither way reads SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE, as ssl.create_default_context() would.
    if ca_file is None:
        return httpx2.create_ssl_context(trust_env=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=os.fspath(ca_file))
    except OSError:  # ssl.SSLError is one
        raise Unavailable(
            "the CA file of the network cannot be read, or holds no certificate",
            reason="not_configured",
            way_out="Network(ca_file=…), or --ca-file, names a PEM file",
        ) from None
    return context
