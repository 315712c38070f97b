"""One HTTP exchange under a grant: begin it, read it, and end all of them when the provider is closed."""

from __future__ import annotations

import asyncio
import importlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2

from ringfence.errors import Closed
from ringfence_gemini.client import Vendor, load
from ringfence_gemini.failures import failure_of, rejection
from ringfence_gemini.options import place_of

if TYPE_CHECKING:
    from ringfence.grant import Grant
    from ringfence.provider import Manifest, ProviderContext
    from ringfence.recipient import Recipient

_OK = 200
_MAX_REFUSAL_BYTES = 65_536


class Exchanges:
    """The exchanges of one open provider. Clients of the SDK are made on first use and kept, one a recipient."""

    def __init__(self, context: ProviderContext, manifest: Manifest) -> None:
        self._http = context.http
        self._usual_secret = manifest.secret
        self._vendors: dict[str, tuple[Recipient, str | None, Vendor]] = {}
        self._loaded = False
        self._closed = False
        self._waiting: set[asyncio.Task[Any]] = set()
        self._responses: set[httpx2.Response] = set()

    @property
    def closed(self) -> bool:
        """Whether the provider was closed; what runs then fails with `Closed`."""
        return self._closed

    async def close(self) -> None:
        """Ends every exchange under way, wherever it stands."""
        self._closed = True
        for task in self._waiting:
            task.cancel()
        for response in tuple(self._responses):
            with suppress(httpx2.HTTPError, httpx2.StreamError, RuntimeError):
                await response.aclose()
        self._vendors.clear()

    async def begin(self, grant: Grant, path: str, body: bytes) -> httpx2.Response:
        """Sends, in the block of `grant.spend`; returns a response with status 200 that `end` closes.

        Raises:
            ProviderError: the API refused.
            Unavailable: the key or the SDK is missing.
            Closed: the provider was closed.
        """
        if not self._loaded:
            # First the core's client: it takes care of what the libraries below both read from the environment.
            self._http(grant.recipient)
            await asyncio.to_thread(load)
            self._loaded = True
            _import_prices_meanwhile()
        if self._closed:
            raise _closed()
        vendor = self._vendor(grant.recipient)
        request = vendor.request(path, body)
        response = await self._unless_closed(vendor, request)
        grant.connected = True
        self._responses.add(response)
        if response.status_code != _OK:
            try:
                failure = failure_of(await _first_bytes(response))
            finally:
                await self.end(response)
            raise rejection(response.status_code, failure, response.headers, phase="before_first_event")
        return response

    async def ask(self, grant: Grant, path: str, body: bytes) -> bytes:
        """The whole answer to `body`, as `begin` sends it."""
        response = await self.begin(grant, path, body)
        try:
            return await response.aread()
        finally:
            await self.end(response)

    async def end(self, response: httpx2.Response) -> None:
        """Closes `response`; a connection whose answer was not read to its end is cut."""
        self._responses.discard(response)
        await response.aclose()

    def _vendor(self, recipient: Recipient) -> Vendor:
        # The key is read anew for every send, so that a new one is seen at once.
        secret = recipient.credential(self._usual_secret)
        key = None if secret is None else secret.read()
        known = self._vendors.get(recipient.name)
        if known is not None and known[0] == recipient and known[1] == key:
            return known[2]
        vendor = Vendor(self._http(recipient), place_of(recipient), key)
        self._vendors[recipient.name] = (recipient, key, vendor)
        return vendor

    async def _unless_closed(self, vendor: Vendor, request: httpx2.Request) -> httpx2.Response:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task)
        self._waiting.add(task)
        try:
            return await vendor.send(request)
        except asyncio.CancelledError:
            if self._closed and task.uncancel() == 0:
                raise _closed() from None
            raise
        finally:
            self._waiting.discard(task)


async def _first_bytes(response: httpx2.Response) -> bytes:
    """The beginning of a refusal's body; empty where it cannot be read."""
    data = b""
    with suppress(httpx2.HTTPError, httpx2.StreamError):
        async for piece in response.aiter_bytes():
            data += piece
            if len(data) >= _MAX_REFUSAL_BYTES:
                break
    return data


def _closed() -> Closed:
    return Closed("the provider gemini is closed", way_out="make a new assistant")


def _import_prices_meanwhile() -> None:
    """Loads the price table in a thread, so that the first price asked for does not hold up the loop."""
    if "genai_prices" not in sys.modules:
        asyncio.get_running_loop().run_in_executor(None, _import_prices)


def _import_prices() -> None:
    with suppress(ImportError):
        importlib.import_module("genai_prices")
