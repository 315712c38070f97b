"""The guarded clients of one assistant, one for each recipient, made on first use."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.errors import Closed, GateError, Unavailable
from ringfence.transport.network import Network

if TYPE_CHECKING:
    import httpx2

    from ringfence.provider import Manifest
    from ringfence.recipient import Recipient
    from ringfence.transport.guard import Fence
    from ringfence.transport.making import Making

_log = logging.getLogger("ringfence")


@dataclass(frozen=True, slots=True)
class _Made:
    recipient: Recipient
    client: httpx2.AsyncClient
    guard: Fence


class Clients:
    """Makes and closes the network clients that providers get."""

    def __init__(self, network: Network | None = None) -> None:
        self._network = network or Network()
        self._making: Making | None = None
        self._made: dict[str, _Made] = {}
        self._replaced: list[Fence] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def client(self, recipient: Recipient, manifest: Manifest) -> httpx2.AsyncClient:
        """The client of `recipient`; the same one every time, until the recipient changes: then the old one is closed.

        Raises:
            GateError: it is on the device ring, where there is no network, or its address cannot be used.
            Unavailable: the package for the network is not installed, or the CA file cannot be read.
            Closed: the assistant was closed.
        """
        if (known := self._known(recipient.name, recipient)) is not None:
            return known
        return self._keep(recipient.name, recipient, *self._maker().make(recipient, manifest))

    def directory(self, recipient: Recipient) -> httpx2.AsyncClient:
        """The client of what `recipient` publishes of itself, which needs no grant; otherwise as `client`.

        Raises:
            GateError: it is on the device ring, or has no directory that can be used.
            Unavailable: the package for the network is not installed, or the CA file cannot be read.
            Closed: the assistant was closed.
        """
        if (known := self._known(name := f"directory of {recipient.name}", recipient)) is not None:
            return known
        return self._keep(name, recipient, *self._maker().make_directory(recipient))

    def _known(self, name: str, recipient: Recipient) -> httpx2.AsyncClient | None:
        """The client of that name, if it is made already and still `recipient`'s."""
        if self._closed:
            raise Closed("the assistant is closed", way_out="make a new one")
        if recipient.ring == "device":
            # INVARIANT: on the device ring there is no network client at all.
            raise GateError(f"recipient '{recipient.name}' is on the device ring, where there is no network")
        known = self._made.get(name)
        # A vendor's SDK may have closed it; that ends its use of it, not the recipient's.
        if known is None or known.recipient != recipient or known.client.is_closed:
            return None
        return known.client

    def _keep(self, name: str, recipient: Recipient, client: httpx2.AsyncClient, guard: Fence) -> httpx2.AsyncClient:
        earlier = self._made.get(name)
        self._made[name] = _Made(recipient, client, guard)
        if earlier is not None:
            self._retire(earlier.guard)
        return client

    def _maker(self) -> Making:
        if self._making is None:
            self._making = _making()(self._network)
        return self._making

    def _retire(self, guard: Fence) -> None:
        self._replaced.append(guard)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # `aclose` closes it
        task = loop.create_task(self._close_replaced())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_replaced(self) -> None:
        while self._replaced:
            guard = self._replaced[-1]
            await _close(guard)
            # Another task may have closed it too.
            if guard in self._replaced:
                self._replaced.remove(guard)

    async def aclose(self) -> None:
        """Closes every connection; one that fails to close does not keep the others open. Idempotent."""
        self._closed = True
        while self._made:
            name, made = next(reversed(self._made.items()))
            await _close(made.guard)
            # Only now: a close that is cancelled leaves it to the next one.
            self._made.pop(name, None)
        await self._close_replaced()


def _making() -> type[Making]:
    # aiohttp makes TLS contexts while it is imported. None of them is used, but they would open this variable's file.
    key_log = os.environ.pop("SSLKEYLOGFILE", None)
    try:
        from ringfence.transport.making import Making  # noqa: PLC0415  (brings the HTTP stack, on first use)
    except ImportError:
        raise Unavailable(
            "a recipient beyond the device needs a network client",
            reason="no_package",
            way_out="pip install 'ringfence[network]'",
        ) from None
    finally:
        if key_log is not None:
            os.environ["SSLKEYLOGFILE"] = key_log
    return Making


async def _close(guard: Fence) -> None:
    try:
        await guard.aclose()
    except Exception as error:  # noqa: BLE001  (whatever one connection does, the rest must still be closed)
        _log.warning("closing a network client raised %s", type(error).__name__)
