"""As much HTTP/1.1 as a balancer needs: messages are read whole or piece by piece, and written piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Address: TypeAlias = tuple[str, int]
Ending: TypeAlias = Literal["whole", "cut", "reset"]
"""How a reply ends: as HTTP has it, without the last chunk, or with a reset of the connection."""

SEALED = "message/ohttp-chunked-res"
LIMIT_BYTES = 2**20
"""Of a head. A body may be of any size."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Message:
    """The first line, the fields with names in lower case, and, of a request, the body."""

    line: str
    fields: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """What a request is for, with its query."""
        return self.line.split(" ")[1]

    @property
    def status(self) -> int:
        """What an answer says first."""
        return int(self.line.split(" ")[1])


async def _bytes_of(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    for piece in pieces:
        yield piece


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reply:
    """An answer on its way: each piece is written and flushed on its own."""

    status: int = 200
    media_type: str = SEALED
    pieces: AsyncGenerator[bytes, None] = field(default_factory=_bytes_of)
    ending: Ending = "whole"

    async def whole(self) -> bytes:
        """The body, once it is all there."""
        return b"".join([piece async for piece in self.pieces])


def reply(*pieces: bytes, status: int = 200, media_type: str = SEALED, ending: Ending = "whole") -> Reply:
    """A reply of these pieces."""
    return Reply(status=status, media_type=media_type, pieces=_bytes_of(*pieces), ending=ending)


async def read_request(reader: asyncio.StreamReader) -> Message:
    """The next request of a connection, whole.

    Raises:
        asyncio.IncompleteReadError: there is none.
    """
    head = await _head(reader)
    return Message(line=head.line, fields=head.fields, body=b"".join([piece async for piece in _body(reader, head)]))


async def fetch(address: Address, asked: Message) -> tuple[Message, AsyncGenerator[bytes, None]]:
    """Asks a server over a connection of its own: the head of the answer, and its body as it comes."""
    reader, writer = await asyncio.open_connection(*address, limit=LIMIT_BYTES)
    fields = {**asked.fields, "content-length": str(len(asked.body)), "connection": "close"}
    fields.pop("transfer-encoding", None)
    fields.pop("expect", None)
    named = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{asked.line}\r\n{named}\r\n".encode("latin-1") + asked.body)
    try:
        head = await _head(reader)
    except BaseException:
        writer.close()
        raise
    return head, _closing(_body(reader, head), writer)


async def write_reply(writer: asyncio.StreamWriter, answer: Reply) -> bool:
    """Writes it; whether the connection can be used again."""
    head = f"HTTP/1.1 {answer.status} Answer\r\ncontent-type: {answer.media_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head.encode("latin-1"))
    async for piece in answer.pieces:
        if piece:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
    if answer.ending == "reset":
        writer.transport.abort()
    elif answer.ending == "whole":
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    return answer.ending == "whole"


async def _head(reader: asyncio.StreamReader) -> Message:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    return Message(line=first, fields=dict(_field(line) for line in lines if line))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


async def _body(reader: asyncio.StreamReader, head: Message) -> AsyncGenerator[bytes, None]:
    if head.fields.get("transfer-encoding", "").lower() == "chunked":
        # `readuntil`, since a `readline` at the end of a broken connection is an empty line.
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif "content-length" in head.fields:
        yield await reader.readexactly(int(head.fields["content-length"]))
    elif head.line.startswith("HTTP/"):
        while piece := await reader.read(65_536):
            yield piece


async def _closing(pieces: AsyncGenerator[bytes, None], writer: asyncio.StreamWriter) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in pieces:
            yield piece
    finally:
        writer.close()


__all__ = ["SEALED", "Address", "Ending", "Message", "Reply", "fetch", "read_request", "reply", "write_reply"]
