"""The providers one assistant has opened: each plugin once, on first use, closed with the assistant."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from ringfence import registry
from ringfence.errors import (
    Closed,
    InvalidRequest,
    PluginError,
    PluginLocked,
    PluginNotInstalled,
    Unavailable,
    UnavailableReason,
    describe,
)
from ringfence.lock import Lock, find_lock
from ringfence.paths import cache_dir, state_dir
from ringfence.provider import (
    Availability,
    Available,
    Capability,
    Downloadable,
    Downloading,
    NotAvailable,
    Provider,
    ProviderContext,
)
from ringfence.transport import Clients, Network

if TYPE_CHECKING:
    from ringfence.provider import ModelCard
    from ringfence.recipient import Recipient

_log = logging.getLogger("ringfence")

ProviderSetup: TypeAlias = Mapping[str, Provider | Mapping[str, object]]
"""By provider name: options for the installed plugin, or a provider object to use instead of it."""


class Providers:
    """Opens providers on first use. Nothing of a plugin is imported before a recipient of it is about to be used.

    `lock` says which plugins may be loaded; `None` is the lock in force, if any.

    Raises:
        PluginLocked: a lock was named and cannot be used.
    """

    def __init__(
        self, setup: ProviderSetup | None = None, network: Network | None = None, lock: Lock | None = None
    ) -> None:
        self._plugin_lock = find_lock(lock)
        self._setup = dict(setup or {})
        self._clients = Clients(network)
        for name, given in self._setup.items():
            if not isinstance(given, Provider | Mapping):
                raise InvalidRequest(
                    f"providers['{name}'] is neither options nor a Provider", way_out='providers={"mlx": {…}}'
                )
        self._open: dict[str, Provider] = {}
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def get(self, name: str) -> Provider:
        """The open provider `name`.

        Raises:
            Unavailable: the plugin is not installed or broken; the reason and the way out are the plugin error's.
            Closed: the assistant was closed.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise InvalidRequest("this AsyncAssistant began on another event loop", way_out="make one per loop")
        if (provider := self._open.get(name)) is not None:
            return provider
        async with self._lock:
            if self._closed:
                raise Closed("the assistant is closed", way_out="make a new one")
            if name not in self._open:
                self._open[name] = await self._start(name)
            return self._open[name]

    async def _start(self, name: str) -> Provider:
        given = self._setup.get(name, {})
        if isinstance(given, Provider):
            provider, options = given, {}
        else:
            try:
                provider, options = registry.load(name, lock=self._plugin_lock)(), dict(given)
            except PluginError as error:
                missing = isinstance(error, PluginNotInstalled)
                reason: UnavailableReason = "no_package" if missing else "plugin_broken"
                raise Unavailable(error.message, reason=reason, way_out=error.way_out) from None
        manifest = provider.manifest
        await provider.open(
            ProviderContext(
                cache_dir=cache_dir() / name,
                state_dir=state_dir() / name,
                logger=_log.getChild(name),
                options=options,
                monotonic_s=time.monotonic,
                http=lambda recipient: self._clients.client(recipient, manifest),
                directory=self._clients.directory,
            )
        )
        return provider

    async def ready(self, recipient: Recipient) -> tuple[Provider, ModelCard]:
        """The provider and model card of `recipient`, if it could run now.

        Raises:
            Unavailable: it could not; with a typed reason and the way out.
        """
        self._check_ring(recipient)
        provider = await self.get(recipient.provider)
        require_available(await provider.availability(recipient), recipient.model)
        card = await provider.card(recipient)
        if recipient.capabilities is None:
            return provider, card
        return provider, replace(card, capabilities=cast("frozenset[Capability]", recipient.capabilities))

    def utilisation(self, recipient: Recipient) -> float | None:
        """The share of the capacity of `recipient` in use, as last reported; `None` where it is not known.

        Opens nothing: of a provider that was not used yet nothing is known.
        """
        # What `isinstance(…, ReportsUtilisation)` asks, in a twentieth of its time.
        asked: Callable[[Recipient], object] | None = getattr(self._open.get(recipient.provider), "utilisation", None)
        if asked is None:
            return None
        try:
            reported = asked(recipient)
        except Exception as error:  # noqa: BLE001  (a plugin may raise anything; its message may hold content)
            _log.warning("the provider of %s raised %s while its use was read", recipient.name, describe(error))
            return None
        if isinstance(reported, bool) or not isinstance(reported, int | float) or not reported >= 0:
            return None
        return min(reported, 1.0)

    def _check_ring(self, recipient: Recipient) -> None:
        # A provider object that the app made itself is no plugin.
        if isinstance(self._setup.get(recipient.provider), Provider):
            return
        try:
            self._plugin_lock.check_ring(recipient)
        except PluginLocked as error:
            raise Unavailable(error.message, reason="plugin_broken", way_out=error.way_out) from None

    async def close(self) -> None:
        """Closes every provider; one that fails does not keep the others open. Idempotent."""
        async with self._lock:
            self._closed = True
            while self._open:
                name, provider = next(reversed(self._open.items()))
                try:
                    await provider.close()
                except Exception as error:  # noqa: BLE001  (a provider may raise anything; the rest must still be closed)
                    _log.warning("provider %s raised %s while it was closed", name, type(error).__name__)
                # Only now: a close that is cancelled leaves it to the next one.
                del self._open[name]
            await self._clients.aclose()


def require_available(state: Availability, model: str) -> None:
    """Does nothing for `Available`.

    Raises:
        Unavailable: for every other state.
    """
    match state:
        case Available():
            return
        case Downloadable(way_out=way_out):
            raise Unavailable(f"model '{model}' is not on this machine", reason="no_model", way_out=way_out)
        case Downloading():
            raise Unavailable(f"model '{model}' is still being downloaded", reason="no_model", way_out="wait for it")
        case NotAvailable(reason=reason, detail=detail, way_out=way_out):
            raise Unavailable(detail, reason=reason, way_out=way_out)
