"""How an app reaches the network: a proxy and a CA file, each only if the app says so."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from ringfence.checks import require


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Network:
    """What every guarded client uses. Nothing of it is ever taken from the environment.

    `proxy` is the URL of an HTTP proxy; a host name is then looked up by the proxy. `ca_file` is a PEM file of the
    authorities to trust instead of the system's.

    Raises:
        InvalidRequest: the proxy is no http(s) URL with a host.
    """

    proxy: str | None = None
    ca_file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        require(
            self.proxy is None or _is_proxy(self.proxy),
            "a proxy is the URL of an HTTP proxy",
            'Network(proxy="http://proxy.example:3128")',
        )
        ca_file: object = self.ca_file
        require(
            ca_file is None or isinstance(ca_file, str | os.PathLike), "ca_file is a path", 'Network(ca_file="ca.pem")'
        )

    def __repr__(self) -> str:
        # A proxy's URL may hold a password.
        return f"Network(proxy={'given' if self.proxy else None}, ca_file={'given' if self.ca_file else None})"


def _is_proxy(address: object) -> bool:
    try:
        parts = urlsplit(address) if isinstance(address, str) else None
        return parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket that does not close
        return False
