"""What computes behind the double: an OpenAI-compatible backend on loopback, spoken to without a client of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import aiohttp

from ringfence_house.protocol.bhttp import BinaryRequest
from ringfence_house.testing.script import Inside
from ringfence_house.testing.sealing import Head

_FORWARDED = (b"content-type", b"accept", b"authorization")
_SHOWN = ("content-type", "retry-after")


class Broken(Exception):
    """The engine broke in the middle of its answer."""


class Engine:
    """Passes opened requests on to the server at `url`, and its answers back as they come."""

    def __init__(self, url: str | None) -> None:
        self._url = None if url is None else url.removesuffix("/v1")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, skip_auto_headers=("User-Agent", "Accept-Encoding"), trust_env=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def answer(self, request: BinaryRequest, inside: Inside | None) -> AsyncIterator[Head | bytes]:
        """The head of the answer and its content: `inside` where it is given, else the server's.

        Raises:
            Broken: the server did not come to the end of its answer.
        """
        if inside is not None:
            yield Head(status=inside.status, fields=inside.fields, complete=inside.complete)
            for piece in inside.content:
                yield piece
            return
        if self._session is None or self._url is None:
            raise Broken
        headers = {name.decode(): value.decode() for name, value in request.fields if name in _FORWARDED}
        try:
            async with self._session.post(self._url + request.path, data=request.content, headers=headers) as response:
                shown = {name: response.headers[name] for name in _SHOWN if name in response.headers}
                yield Head(status=response.status, fields=shown)
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, OSError):
            raise Broken from None


__all__ = ["Broken", "Engine"]
