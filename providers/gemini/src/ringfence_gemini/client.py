"""The one module that knows the vendor's SDK: its client gives address, key and headers of every request.

`_api_client._build_request` and `_use_aiohttp` are private names of google-genai; a test fails clearly where they go,
and the distribution pins `<4`. Nothing of the SDK is imported before `load`.
"""

from __future__ import annotations

import importlib
import logging
import ssl
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

import httpx2
from typing_extensions import override

from ringfence.errors import GateError, Unavailable

if TYPE_CHECKING:
    from ringfence_gemini.options import Place

_SDK_LOGGER = "google_genai._api_client"
_NO_KEY = "none"
_KEY_HEADER = "x-goog-api-key"
_constructing: ContextVar[bool] = ContextVar("ringfence_gemini_constructing", default=False)


def load() -> None:
    """Imports the SDK; takes half a second, so it is called off the loop.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        importlib.import_module("google.genai")
    except ImportError:
        raise Unavailable(
            "the package google-genai is not installed", reason="no_package", way_out="pip install ringfence-gemini"
        ) from None


class _NoNetwork(httpx2.BaseTransport):
    """The transport of the SDK's second, synchronous client, which nothing here uses."""

    @override
    def handle_request(self, request: httpx2.Request) -> NoReturn:
        raise GateError("the synchronous client of the Gemini SDK has no network")


def _not_while_constructing(record: logging.LogRecord) -> bool:  # noqa: ARG001  (a filter's signature)
    return not _constructing.get()


class Vendor:
    """The SDK's client for one recipient and one key, on the guarded HTTP client of the recipient."""

    __slots__ = ("_api", "_heads", "_http", "_keyless")

    def __init__(self, http: httpx2.AsyncClient, place: Place, key: str | None) -> None:
        """Makes the client. A recipient with a `url` of its own may have no key; then none is sent.

        Raises:
            Unavailable: the environment makes the SDK fail, whatever it is told.
        """
        self._http = http
        self._keyless = key is None
        # By path: a recipient has one model, so there are as many as there are methods of the API.
        self._heads: dict[str, httpx2.Request] = {}
        self._api: Any = _sdk_client(http, place, key or _NO_KEY)._api_client  # noqa: SLF001  (see above)
        # INVARIANT: the SDK's own aiohttp path, which reads proxies from the environment, is shut.
        if self._api._use_aiohttp():  # noqa: SLF001  (see above)
            raise GateError("the Gemini SDK would use a network client of its own")

    def request(self, path: str, body: bytes) -> httpx2.Request:
        """The HTTP request for `body` to `path` below the API's version."""
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = self._head(path)
        return httpx2.Request("POST", head.url, headers=head.headers, content=body, extensions=head.extensions)

    def _head(self, path: str) -> httpx2.Request:
        """Address and headers of every request to `path`. Kept: making them takes three times as long as the rest."""
        built = self._api._build_request("post", path, {})  # noqa: SLF001  (see above)
        if self._keyless:
            built.headers.pop(_KEY_HEADER, None)
        head = self._http.build_request("POST", built.url, headers=built.headers)
        # The length is that of each body.
        head.headers.pop("content-length", None)
        return head

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Sends; returns when the head of the answer is there. The caller closes the response."""
        return await self._http.send(request, stream=True)

    def __repr__(self) -> str:
        return "Vendor()"


def _sdk_client(http: httpx2.AsyncClient, place: Place, key: str) -> Any:
    from google.genai import Client, types  # noqa: PLC0415  (see load)
    from google.genai.client import DebugConfig  # noqa: PLC0415  (see load)

    # Nothing is left for the SDK to infer. It makes an SSL context for websockets out of SSL_CERT_FILE unless it is
    # given one; this one trusts nobody, and no websocket is ever opened.
    options = types.HttpOptions(
        base_url=place.url + "/",
        api_version=place.api_version,
        headers={},
        httpx_async_client=http,
        httpx_client=httpx2.Client(transport=_NoNetwork(), trust_env=False),
        async_client_args={"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    # Whatever it is told, the SDK looks for keys in the environment and logs that it uses one, which is not so.
    sdk_logger = logging.getLogger(_SDK_LOGGER)
    sdk_logger.addFilter(_not_while_constructing)
    token = _constructing.set(True)
    try:
        return Client(
            vertexai=False,
            api_key=key,
            debug_config=DebugConfig(client_mode=None, replays_directory=None, replay_id=None),
            http_options=options,
        )
    except ImportError:
        raise Unavailable(
            "the variable GOOGLE_GENAI_HTTP_CLIENT names a package that is not installed, and the Gemini SDK insists",
            reason="not_configured",
            way_out="unset GOOGLE_GENAI_HTTP_CLIENT",
        ) from None
    finally:
        _constructing.reset(token)
