"""The vendor's client, told everything: what it would take from the environment is given or switched off.

It imports the vendor's SDK, so it is imported when a recipient is first used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import httpx2
from typing_extensions import override

from ringfence_openai.native import Native
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


class Client:
    """The client of one recipient."""

    def __init__(self, options: RecipientOptions, http: httpx2.AsyncClient) -> None:
        self._client = _Client(options, http)

    async def send(self, native: Native, key: str | None) -> httpx2.Response:
        """Sends, and returns when the answer's headers have come; the body is not read yet.

        Raises:
            openai.OpenAIError: refused, or no connection.
        """
        headers: dict[str, str | Omit] = {"Authorization": Omit() if key is None else f"Bearer {key}"}
        if native.upload is None:
            return await self._post(native, headers)
        upload = native.upload
        response = await self._client.post(
            native.route,
            cast_to=httpx2.Response,
            body=dict(native.body),
            files=[(upload.field, (upload.name, upload.data, upload.media_type))],
            options={"headers": {**headers, "Content-Type": "multipart/form-data"}},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return _raw(response)

    async def _post(self, native: Native, headers: Mapping[str, str | Omit]) -> httpx2.Response:
        response = await self._client.post(
            native.route,
            cast_to=httpx2.Response,
            content=native.content,
            options={"headers": headers},
            stream=True,
            stream_cls=AsyncStream[object],
        )
        return _raw(response)


def _raw(response: object) -> httpx2.Response:
    # With `cast_to=httpx2.Response` the SDK gives the response itself, whatever `stream_cls` says.
    return cast("httpx2.Response", response)


__all__ = ["Client"]
