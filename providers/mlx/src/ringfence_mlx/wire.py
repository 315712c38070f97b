"""Frames between the app and a worker: a length of four bytes, big-endian, then one JSON object in UTF-8.

Standard library only, for both ends import it. Nothing here shows what a frame holds: a `FrameError` says only what is
wrong with its shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

Frame: TypeAlias = dict[str, Any]
"""One decoded frame. `Any` because JSON is; both ends read it through typed constructors."""

MAX_FRAME_BYTES = 32 * 1024 * 1024
"""No frame is longer; a longer length prefix means that the stream is damaged."""

_HEADER_BYTES = 4


class FrameError(Exception):
    """The bytes are not a frame. The stream cannot be trusted any more and has to be closed."""


def pack(frame: Mapping[str, Any]) -> bytes:
    """The bytes of `frame`, header included.

    Raises:
        FrameError: it is longer than `MAX_FRAME_BYTES`, or holds what JSON cannot.
    """
    try:
        body = json.dumps(frame, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError):
        raise FrameError("a frame holds a value that JSON cannot") from None
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is longer than {MAX_FRAME_BYTES}")
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


class FrameDecoder:
    """Cuts a byte stream into frames. Holds at most one incomplete frame, so at most `MAX_FRAME_BYTES` and one read."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that `data` completes, in order.

        Raises:
            FrameError: a length is out of bounds or a body is not a JSON object.
        """
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _HEADER_BYTES:
            length = int.from_bytes(self._buffer[start : start + _HEADER_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame claims {length} bytes")
            end = start + _HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            yield _object(bytes(self._buffer[start + _HEADER_BYTES : end]))
            start = end
        del self._buffer[:start]


def _object(body: bytes) -> Frame:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        raise FrameError("a frame is not JSON") from None
    if not isinstance(value, dict):
        raise FrameError("a frame is not an object")
    return cast("Frame", value)


__all__ = ["MAX_FRAME_BYTES", "Frame", "FrameDecoder", "FrameError", "pack"]
