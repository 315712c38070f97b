"""How an answer is written: at its pace, with its fault.

Streamed, a fault comes in place of its event, the headers before it; past the last event it comes before the end of
the body. Whole, `reset` comes after the headers, `end` in the middle of the body, and `error_event` is the vendor's
error in place of the answer. A `stall` before anything else holds the headers back too.
"""

from __future__ import annotations

import http

from ringfence.testing.partners.answer import Answer
from ringfence.testing.partners.wire import Wire
from ringfence.testing.scenes import Scene

_PLAIN = Scene()


async def play(wire: Wire, answer: Answer) -> bool:
    """Writes `answer`; whether the connection can be used again.

    Raises:
        ClientGone: the client left before the answer was complete.
    """
    scene = answer.scene or _PLAIN
    if scene.first_byte_delay_s:
        await wire.pause(scene.first_byte_delay_s)
    if answer.events is None:
        return await _play_whole(wire, answer, scene)
    return await _play_events(wire, answer, answer.events, scene)


async def _play_whole(wire: Wire, answer: Answer, scene: Scene) -> bool:
    status, body = answer.status, answer.body
    match scene.fault:
        case "stall":
            await wire.pause(None)
        case "malformed":
            body = answer.malformed
        case "error_event":
            status, body = answer.failed
        case "reset" | "end" | None:
            pass
    head = _head(answer, status, f"content-length: {len(body)}")
    if scene.fault == "reset":
        await wire.write(head)
        await wire.reset()
        return False
    if scene.fault == "end":
        await wire.write(head + body[: len(body) // 2])
        return False
    await wire.write(head + body)
    return True


async def _play_events(wire: Wire, answer: Answer, events: tuple[bytes, ...], scene: Scene) -> bool:
    head = _head(answer, answer.status, "transfer-encoding: chunked")
    if scene.fault == "stall" and scene.fault_at == 0:
        await wire.pause(None)
    await wire.write(head)
    for index, event in enumerate(events):
        if index and scene.chunk_delay_s:
            await wire.pause(scene.chunk_delay_s)
        if scene.fault and index == scene.fault_at:
            if scene.fault == "malformed" and answer.malformed:
                await wire.write(_chunk(answer.malformed))
                continue
            return await _break(wire, answer, scene)
        await wire.write(_chunk(event))
    if scene.fault and scene.fault_at >= len(events):
        return await _break(wire, answer, scene)
    await wire.write(b"0\r\n\r\n")
    return True


async def _break(wire: Wire, answer: Answer, scene: Scene) -> bool:
    match scene.fault:
        case "reset":
            await wire.reset()
        case "stall":
            await wire.pause(None)
        case "malformed" if answer.malformed:
            await wire.write(_chunk(answer.malformed) + b"0\r\n\r\n")
            return True
        case "error_event" if answer.failure:
            await wire.write(_chunk(answer.failure) + b"0\r\n\r\n")
            return True
        case _:
            # The connection is closed without the last chunk.
            pass
    return False


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _head(answer: Answer, status: int, length: str) -> bytes:
    named = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    line = f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"
    return f"{line}\r\n{named}content-type: {answer.media_type}\r\n{length}\r\n\r\n".encode("latin-1")
