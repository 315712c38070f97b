"""A wire that is listened to: whatever a client sends to a house goes through here, and every byte of it is kept."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from providers.house.tests.client.support import PROMPT


def _as_it_is(data: bytes) -> bytes:
    return data


class Recorder:
    """Passes connections on to the server at `url`. `sent` is all that came from the client.

    `out` changes what goes to the server, piece by piece as it comes, and `back` what comes from there.
    """

    def __init__(
        self, url: str, *, out: Callable[[bytes], bytes] = _as_it_is, back: Callable[[bytes], bytes] = _as_it_is
    ) -> None:
        self._out, self._back = out, back
        self._port = urlsplit(url).port
        self._connections: set[asyncio.Task[None]] = set()
        self.sent = bytearray()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def asked(self) -> int:
        """How many requests with a body were sent."""
        return self.sent.count(b"POST ")

    @property
    def nothing_left(self) -> bool:
        """Whether something was sent, none of it a request, and no word of the prompt in it in any usual spelling."""
        words = [word.encode() for word in (PROMPT, *PROMPT.split()) if len(word) > 4]
        spellings = [spelt for word in words for spelt in (word, b64encode(word)[:-4], quote(word).encode())]
        return bool(self.sent) and not self.asked and not any(spelt in self.sent for spelt in spellings)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [self._pass_on(reader, back, self._sending), self._pass_on(there, writer, self._back)]
        self._connections.update(map(asyncio.ensure_future, ways))

    def _sending(self, data: bytes) -> bytes:
        self.sent += data
        return self._out(data)

    @staticmethod
    async def _pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
    ) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(change(data))
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


__all__ = ["Recorder"]
