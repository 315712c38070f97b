"""The public files of a house: evidence and releases. Fetched without a grant: nothing of a request is in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import httpx2

from ringfence.errors import RingfenceError
from ringfence_house.client.reaching import TELL_OPERATOR, why_not_given, why_not_reached
from ringfence_house.protocol.names import EVIDENCE_PATH, MAX_DIRECTORY_BYTES, RELEASES_PATH

_CONNECT_S: Final = 5.0
"""For a connection: who says nothing for so long is not there, and everybody who asks waits for that."""

_LIMIT_S: Final = 20.0
"""For one file, from the connection to its last byte: a server that drips is a server that is down."""

_OK, _NOT_FOUND = 200, 404
_PLACE: Final = "directory:"


class NotFetched(Exception):
    """A file of the directory did not come; the sentence says why and holds nothing of what came.

    `way_out` says what a person can do, `None` where that is to look at the network.
    """

    def __init__(self, sentence: str, *, way_out: str | None = None) -> None:
        super().__init__(sentence)
        self.way_out = way_out


class NotThere(NotFetched):
    """There is no such file."""


class Directory:
    """Reads the files below `base`, each whole and none without a limit."""

    def __init__(self, base: str, client: Callable[[], httpx2.AsyncClient]) -> None:
        self._base = base
        self._client = client

    async def evidence(self) -> bytes:
        """What every node says of itself.

        Raises:
            NotFetched: it did not come.
        """
        return await self._get(EVIDENCE_PATH)

    async def release_file(self, path: str) -> bytes:
        """One file of the signed repository, by its path in there.

        Raises:
            NotThere: there is none.
            NotFetched: it did not come.
        """
        return await self._get(RELEASES_PATH + path)

    async def _get(self, path: str) -> bytes:
        try:
            async with asyncio.timeout(_LIMIT_S):
                return await self._read(path)
        except TimeoutError:
            raise NotFetched("the directory of the house took too long") from None
        except httpx2.TransportError as error:
            said, way_out = why_not_reached(error, _PLACE)
            raise NotFetched(said, way_out=way_out) from None
        except RingfenceError as error:
            said = f"the directory of the house cannot be read: {error.message}"
            raise NotFetched(said, way_out=error.way_out) from None

    async def _read(self, path: str) -> bytes:
        timeout = httpx2.Timeout(None, connect=_CONNECT_S)
        async with self._client().stream("GET", self._base + path, timeout=timeout) as response:
            if response.status_code != _OK:
                said, way_out = why_not_given(response.status_code, _PLACE)
                raise (NotThere if response.status_code == _NOT_FOUND else NotFetched)(said, way_out=way_out)
            data = bytearray()
            async for piece in response.aiter_raw():
                data += piece
                if len(data) > MAX_DIRECTORY_BYTES:
                    said = f"a file of the house is longer than {MAX_DIRECTORY_BYTES:,} bytes"
                    raise NotFetched(said, way_out=TELL_OPERATOR)
            return bytes(data)


__all__ = ["Directory", "NotFetched", "NotThere"]
