"""Sound and plain text have no end of their own: only the framing of HTTP tells half of them from all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ringfence.errors import StreamBroken
from ringfence.request import FilePart, Message
from ringfence.response import Media, TextDelta

HALF = b"the first half"
TALK = (Message("user", (FilePart(b"RIFF", media_type="audio/wav", name="talk.wav"),)),)


@asynccontextmanager
async def _server(answer: bytes) -> AsyncGenerator[str, None]:
    """One that says `answer` and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def _answer(media_type: str, body: bytes, *headers: str) -> bytes:
    lines = ("HTTP/1.1 200 OK", f"Content-Type: {media_type}", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode() + body


async def _events(kit: Any, answer: bytes, **fields: Any) -> list[Any]:
    from dataclasses import replace

    async with _server(answer) as url:
        at = replace(kit, recipient=replace(kit.recipient, url=url))
        return list((await at.ask(**fields)).events)


ASKS: list[tuple[str, dict[str, Any]]] = [
    ("audio/mpeg", {"text": "Hi", "task": "speak"}),
    ("text/plain", {"messages": TALK, "task": "transcribe"}),
]


@pytest.mark.parametrize(("media_type", "asked"), ASKS)
async def test_a_body_that_ends_with_the_connection_is_no_answer(chat: Any, media_type: str, asked: Any) -> None:
    with pytest.raises(StreamBroken, match="nothing tells"):
        await _events(chat, _answer(media_type, HALF), **asked)


def _counted(media_type: str) -> bytes:
    return _answer(media_type, HALF, f"Content-Length: {len(HALF)}")


def _chunked(media_type: str) -> bytes:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HALF), HALF)
    return _answer(media_type, body, "Transfer-Encoding: chunked")


@pytest.mark.parametrize("framed", [_counted, _chunked])
@pytest.mark.parametrize(("media_type", "asked"), ASKS)
async def test_a_body_with_an_end_is_an_answer(
    chat: Any, media_type: str, asked: Any, framed: Callable[[str], bytes]
) -> None:
    events = await _events(chat, framed(media_type), **asked)
    said = [event.part.data if isinstance(event, Media) else event.text.encode() for event in events if _says(event)]
    assert said == [HALF]


def _says(event: object) -> bool:
    return isinstance(event, Media | TextDelta)


@pytest.mark.parametrize(("media_type", "asked"), ASKS)
async def test_a_body_that_ends_before_its_end_is_no_answer(chat: Any, media_type: str, asked: Any) -> None:
    with pytest.raises(StreamBroken):
        await _events(chat, _answer(media_type, HALF, "Content-Length: 1000"), **asked)


async def test_json_tells_its_end_by_itself(chat: Any) -> None:
    events = await _events(
        chat, _answer("application/json", b'{"text": "all"}'), messages=TALK, task="transcribe", stream=False
    )
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["all"]
