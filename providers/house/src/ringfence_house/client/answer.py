"""The sealed answer: opened chunk by chunk, and complete only at its authenticated end."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import httpx2
from typing_extensions import override

from ringfence_house.client.outside import NodeGone
from ringfence_house.errors import HouseProtocolError, StreamTruncated
from ringfence_house.protocol.bhttp import ResponseDecoder, ResponseHead
from ringfence_house.protocol.faults import ProtocolFault, Truncated

if TYPE_CHECKING:
    from ringfence.errors import ProviderError
    from ringfence_house.protocol.chunked import ResponseOpener

MAX_ANSWER_BYTES: Final = 64 * 2**20
"""Of one sealed answer: text with all its padding is far below, and an endless one ends."""


class Answer(httpx2.AsyncByteStream):
    """The content of one inner answer, each piece when its chunk has been opened.

    INVARIANT: it comes to its end only after the final chunk was opened and the message in it was complete; whatever
    else ends it raises.
    """

    def __init__(self, outer: httpx2.Response, opener: ResponseOpener) -> None:
        self._outer = outer
        self._pieces = outer.aiter_raw()
        self._opener = opener
        self._decoder = ResponseDecoder()
        self._head: ResponseHead | None = None
        self._content: deque[bytes] = deque()
        self._left = MAX_ANSWER_BYTES
        self._opened = False
        """Whether anything of it was authentic."""
        self._complete = False
        self._fault: ProviderError | None = None
        """What was wrong with what came last; raised after what was right before it was taken."""

    async def head(self) -> ResponseHead:
        """Status and fields, once they have come.

        Raises:
            NodeGone: the connection was lost before anything authentic came.
            ProviderError: the answer is none.
        """
        while self._head is None:
            if self._complete:
                raise HouseProtocolError("the answer of the house has no head")
            await self._more()
        return self._head

    async def settle(self) -> None:
        """Reads on to the end of the answer, of which nothing more is wanted.

        Raises:
            ProviderError: it has no end that is authentic.
        """
        while not self._complete:
            self._content.clear()
            await self._more()

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._content:
                yield self._content.popleft()
            if self._complete:
                return
            await self._more()

    @override
    async def aclose(self) -> None:
        await self._outer.aclose()

    async def _more(self) -> None:
        """Takes what the network brings next, or that it brings no more.

        Raises:
            ProviderError: what it brought before was wrong, or it was lost.
        """
        if self._fault is not None:
            raise self._fault
        piece = await self._piece()
        try:
            if piece is None:
                self._end()
            else:
                self._take(piece)
        except Truncated:
            self._fault = StreamTruncated("the answer of the house was cut before its authenticated end")
        except ProtocolFault:
            self._fault = self._altered()

    def _end(self) -> None:
        self._read(self._opener.end())
        self._keep(self._decoder.end())
        self._complete = True

    def _take(self, piece: bytes) -> None:
        try:
            chunks = self._opener.feed(piece)
        except ProtocolFault:
            # What went before an altered chunk is authentic, and not lost with it.
            self._read(self._opener.rescued())
            raise
        self._read(chunks)

    def _read(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._opened = True
            self._keep(self._decoder.feed(chunk))

    def _keep(self, parts: list[ResponseHead | bytes]) -> None:
        for part in parts:
            if isinstance(part, ResponseHead):
                self._head = part
            else:
                self._content.append(part)

    async def _piece(self) -> bytes | None:
        lost = False
        piece: bytes | None = None
        try:
            piece = await anext(self._pieces, None)
        except (httpx2.TransportError, httpx2.StreamError):
            lost = True
        if lost:
            if not self._opened:
                raise NodeGone
            raise StreamTruncated("the connection was lost inside the answer of the house")
        if piece is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise StreamTruncated("the answer of the house is longer than any that is taken")
        return piece

    def _altered(self) -> HouseProtocolError | StreamTruncated:
        if self._opened:
            return StreamTruncated("the answer of the house was altered on its way")
        return HouseProtocolError(
            "the answer does not come from the node that was asked",
            way_out="check what stands between here and the house; nothing of the answer was used",
        )


__all__ = ["MAX_ANSWER_BYTES", "Answer"]
