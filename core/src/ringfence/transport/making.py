"""Puts a guarded client together: guard, engine, trust."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ringfence.transport.engine import Engine
from ringfence.transport.guard import Guard, guarded_client
from ringfence.transport.origins import Origin, directory_origin, is_loopback, origins_of
from ringfence.transport.public import PublicGuard
from ringfence.transport.tls import Trust

if TYPE_CHECKING:
    import httpx2

    from ringfence.provider import Manifest
    from ringfence.recipient import Recipient
    from ringfence.transport.network import Network


class Making:
    """Makes the clients of one assistant, which share what is costly."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._trust = Trust(network)
        proxy = network.proxy and urlsplit(network.proxy).hostname
        self._proxied_beyond = bool(proxy) and not is_loopback(str(proxy).encode())

    def make(self, recipient: Recipient, manifest: Manifest) -> tuple[httpx2.AsyncClient, Guard]:
        """A new client of `recipient`, and the guard that closes it.

        Raises:
            GateError: its address cannot be used.
            Unavailable: the CA file cannot be read.
        """
        origins = origins_of(recipient, manifest)
        guard = Guard(recipient, origins, self._engine(origins), proxied_beyond=self._proxied_beyond)
        return guarded_client(guard), guard

    def make_directory(self, recipient: Recipient) -> tuple[httpx2.AsyncClient, PublicGuard]:
        """A new client of what `recipient` publishes of itself, and the guard that closes it.

        Raises:
            GateError: it has no directory, or its address cannot be used.
            Unavailable: the CA file cannot be read.
        """
        origin = directory_origin(recipient)
        guard = PublicGuard(recipient, origin, self._engine(frozenset({origin})), proxied_beyond=self._proxied_beyond)
        return guarded_client(guard), guard

    def _engine(self, origins: frozenset[Origin]) -> Engine:
        # Plain http needs no context; an https proxy does, whatever lies behind it.
        secure = any(scheme == b"https" for scheme, _, _ in origins) or (self._network.proxy or "").startswith("https:")
        return Engine(context=self._trust.context() if secure else None, proxy=self._network.proxy)
