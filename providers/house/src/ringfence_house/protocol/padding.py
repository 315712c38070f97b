"""Padding of server-sent events, so that the length of a chunk says little of the words in it."""

from __future__ import annotations

from typing import Final

from ringfence_house.protocol.names import PAD_ANSWER_BYTES

_SMALL, _LARGE = PAD_ANSWER_BYTES
_SMALL_UP_TO: Final = 1024
_COMMENT: Final = b":\n"


def pad_event(event: bytes) -> bytes:
    """One or more whole events, and a comment that brings them to a multiple of 128 bytes (past 1024, of 256).

    Readers of server-sent events skip comments (HTML, section 9.2.6).

    Raises:
        ValueError: the last line has no end.
    """
    if not event.endswith(b"\n"):
        raise ValueError("only whole events can be padded")
    step = _SMALL if len(event) + len(_COMMENT) <= _SMALL_UP_TO else _LARGE
    gap = -len(event) % step
    if gap == 0:
        return event
    if gap < len(_COMMENT):
        gap += step
    return event + _COMMENT[:1] + b" " * (gap - len(_COMMENT)) + _COMMENT[1:]


__all__ = ["pad_event"]
