"""The vendor's client, told everything: what it would take from the environment is given or switched off.

It imports the vendor's SDK, so it is imported when a recipient is first used.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import httpx2
from typing_extensions import override

from ringfence_openai.native import Native, Upload
from ringfence_openai.options import RecipientOptions

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def _without_log_switch() -> Generator[None]:
    """While it lasts, OPENAI_LOG is not set: the SDK reads it once, when imported, and configures logging by it."""
    level = os.environ.pop("OPENAI_LOG", None)
    try:
        yield
    finally:
        if level is not None:
            os.environ["OPENAI_LOG"] = level


with _without_log_switch():
    import openai
    from openai import AsyncOpenAI, AsyncStream, Omit


class _Client(AsyncOpenAI):
    """Sends the headers it was given and no others: OPENAI_CUSTOM_HEADERS has no switch of its own.

    The SDK's headers about the machine (system, architecture, Python version) are left out too.
    """

    def __init__(self, options: RecipientOptions, http: httpx2.AsyncClient) -> None:
        self._given: dict[str, str | Omit] = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"ringfence-openai AsyncOpenAI/Python {openai.__version__}",
        }
        if options.organization is not None:
            self._given["OpenAI-Organization"] = options.organization
        if options.project is not None:
            self._given["OpenAI-Project"] = options.project
        # Empty is not `None`, for which the SDK looks into the environment.
        super().__init__(
            api_key="",
            admin_api_key="",
            organization=options.organization or "",
            project=options.project or "",
            webhook_secret="",
            base_url=options.base_url,
            timeout=None,
            max_retries=0,
            http_client=http,
        )

    @property
    @override
    def default_headers(self) -> dict[str, str | Omit]:
        return self._given


class _Keeps(httpx2.AsyncBaseTransport):
    """Sends nothing. What the SDK would send stands in `request` of the empty answer."""

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200)


class Client:
    """The client of one recipient.

    The SDK makes address and headers of every route, once: making them for every request takes as long as all the rest
    of sending it. It makes forms each time.
    """

    def __init__(self, options: RecipientOptions, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._client = _Client(options, http)
        self._shown = _Client(options, httpx2.AsyncClient(transport=_Keeps(), headers=http.headers, trust_env=False))
        self._heads: dict[str, httpx2.Request] = {}

    async def send(self, native: Native, key: str | None) -> httpx2.Response:
        """Sends, and returns when the answer's headers have come; the body is not read yet.

        Raises:
            openai.OpenAIError: refused, or no connection.
            httpx2.TransportError: no connection.
        """
        if native.upload is not None:
            return await self._post_form(native, native.upload, key)
        head = self._heads.get(native.route)
        if head is None:
            head = self._heads[native.route] = await self._head(native.route)
        request = httpx2.Request(
            "POST", head.url, headers=head.headers, content=native.content, extensions=head.extensions
        )
        if key is not None:
            request.headers["Authorization"] = f"Bearer {key}"
        response = await self._http.send(request, stream=True)
        if not response.is_success:
            raise await _refusal(response)
        return response

    async def _head(self, route: str) -> httpx2.Request:
        """What every request to `route` has in common."""
        shown = await self._shown.post(
            route, cast_to=httpx2.Response, content=b"", options={"headers": {"Authorization": Omit()}}
        )
        head = shown.request
        # The length is that of each body.
        head.headers.pop("Content-Length", None)
        return head

    async def _post_form(self, native: Native, upload: Upload, key: str | None) -> httpx2.Response:
        authorization = Omit() if key is None else f"Bearer {key}"
        response = await self._client.post(
            native.route,
            cast_to=httpx2.Response,
            body=dict(native.body),
            files=[(upload.field, (upload.name, upload.data, upload.media_type))],
            options={"headers": {"Authorization": authorization, "Content-Type": "multipart/form-data"}},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return _raw(response)


async def _refusal(response: httpx2.Response) -> openai.APIStatusError:
    """The SDK's error for an answer that is none; it holds what the server said, so it is translated and dropped."""
    said: object = None
    try:
        await response.aread()
        with suppress(ValueError, RecursionError):
            said = response.json()
    finally:
        await response.aclose()
    if isinstance(said, dict):
        fields = cast("dict[str, object]", said)
        said = fields.get("error", fields)
    return openai.APIStatusError("refused", response=response, body=said)


def _raw(response: object) -> httpx2.Response:
    # With `cast_to=httpx2.Response` the SDK gives the response itself, whatever `stream_cls` says.
    return cast("httpx2.Response", response)


__all__ = ["Client"]
