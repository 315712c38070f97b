"""The answer on its way out: Binary HTTP in sealed chunks, each sent when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from starlette.types import Send

from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import ResponseEncoder
from ringfence_house.protocol.chunked import ResponseSealer
from ringfence_house.protocol.padding import pad_event
from ringfence_house_node.server.batches import batches
from ringfence_house_node.service import Answer

HEARTBEAT = b":\n"
"""A comment: readers of server-sent events skip it. Padded, it is as long as an event."""

_WHOLE_BYTES = 1024
"""What an answer that is no stream is filled up to a multiple of: whether it has one field more does not show."""


class Reply:
    """One sealed answer. After `finish` it is whole; after `cut` whoever opens it knows that it is not.

    INVARIANT: only `finish` seals a final chunk, and only what came to its own end is finished.
    """

    def __init__(self, send: Send, sealer: ResponseSealer, *, sending_s: float) -> None:
        self._send = send
        self._sealer = sealer
        self._encoder = ResponseEncoder()
        self._head = b""
        self._sending_s = sending_s
        self.started = False

    def head(self, status: int, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Takes the status and the fields, which are the caller's to choose; they go out with what comes next."""
        self._head = self._encoder.head(status, fields)

    async def content(self, data: bytes) -> None:
        """Sends a piece of the content, as one chunk if it fits in one."""
        await self._out(self._sealer.seal(self._begun() + self._encoder.content(data)), more=True)

    async def finish(self, data: bytes = b"") -> None:
        """Sends the last piece of the content, and its end, of which the last chunk is the final one."""
        ending = self._begun() + self._encoder.content(data) + self._encoder.end()
        await self._out(self._sealer.finish(ending), more=False)

    async def whole(self, status: int, fields: Sequence[tuple[bytes, bytes]], content: bytes) -> None:
        """Sends an answer in one go.

        INVARIANT: its length on the wire follows from the number of kilobytes that head and content take together, and
        from nothing else: it is sealed as one message, in chunks that are full but for the last.
        """
        encode = self._encoder
        message = b"".join((encode.head(status, fields), encode.content(content), encode.end()))
        # Zeros after the end of a message are padding (RFC 9292, section 3.8).
        padded = message.ljust(len(message) + -len(message) % _WHOLE_BYTES, b"\0")
        await self._out(self._sealer.finish(padded), more=False)

    async def cut(self) -> None:
        """Ends the outer message without a final chunk.

        It is ended, not broken off: over HTTP/2 the server leaves a stream open whose app goes away (hypercorn 0.18).
        """
        await self._out(b"", more=False)

    def _begun(self) -> bytes:
        begun, self._head = self._head, b""
        return begun

    async def _out(self, data: bytes, *, more: bool) -> None:
        async with asyncio.timeout(self._sending_s):
            if not self.started:
                self.started = True
                headers = [(b"content-type", names.RESPONSE_TYPE.encode()), (b"cache-control", b"no-store")]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def relay(answer: Answer, reply: Reply, *, load: float, heartbeat_s: float) -> None:
    """Sends what a service answers: a stream as it comes, else all of it. Closes its body, whatever happens."""
    fields = fields_of(answer.media_type, load, answer.retry_after_s)
    async with aclosing(answer.body) as body:
        if not answer.stream:
            await reply.whole(answer.status, fields, b"".join([piece async for piece in body]))
            return
        async with aclosing(batches(body, quiet_s=heartbeat_s)) as flushes:
            reply.head(answer.status, fields)
            async for flush in flushes:
                if flush.last:
                    await reply.finish(pad_event(flush.data))
                    return
                await reply.content(pad_event(flush.data or HEARTBEAT))
    await reply.finish()


def fields_of(media_type: str, load: float, retry_after_s: float | None = None) -> list[tuple[bytes, bytes]]:
    """The fields of an inner answer. `load` says how much of the node is in use."""
    fields = [(b"content-type", media_type.encode("latin-1")), (names.LOAD_FIELD.encode(), f"{load:.2f}".encode())]
    if retry_after_s is not None:
        fields.append((b"retry-after", f"{max(1, round(retry_after_s))}".encode()))
    return fields


__all__ = ["HEARTBEAT", "Reply", "fields_of", "relay"]
