"""The guarded clients of one assistant, one for each recipient, made on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.errors import GateError, Unavailable
from ringfence.transport.network import Network

if TYPE_CHECKING:
    import httpx2

    from ringfence.provider import Manifest
    from ringfence.recipient import Recipient


class Clients:
    """Makes and closes the network clients that providers get."""

    def __init__(self, network: Network | None = None) -> None:
        self._network = network or Network()
        self._clients: dict[str, tuple[Recipient, httpx2.AsyncClient]] = {}

    def client(self, recipient: Recipient, manifest: Manifest) -> httpx2.AsyncClient:
        """The client of `recipient`; the same one every time.

        Raises:
            GateError: it is on the device ring, where there is no network.
            Unavailable: the package for the network is not installed.
        """
        if recipient.ring == "device":
            # INVARIANT: on the device ring there is no network client at all.
            raise GateError(f"recipient '{recipient.name}' is on the device ring, where there is no network")
        known = self._clients.get(recipient.name)
        if known is not None and known[0] == recipient:
            return known[1]
        try:
            from ringfence.transport.guard import guarded_client  # noqa: PLC0415  (brings httpx2, on first use)
        except ImportError:
            raise Unavailable(
                "a recipient beyond the device needs a network client",
                reason="no_package",
                way_out="pip install 'ringfence[network]'",
            ) from None
        client = guarded_client(recipient, manifest, self._network)
        self._clients[recipient.name] = (recipient, client)
        return client

    async def aclose(self) -> None:
        """Closes every connection. Idempotent."""
        while self._clients:
            _, (_, client) = self._clients.popitem()
            await client.aclose()
