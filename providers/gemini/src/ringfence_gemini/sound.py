"""Speech as one file: the API answers in pieces of raw 16-bit PCM, which no player opens."""

from __future__ import annotations

import re
import struct
from typing import Literal, TypeAlias

from ringfence.request import FilePart

SoundFormat: TypeAlias = Literal["wav", "pcm"]

_RAW = re.compile(r"audio/l16\b|audio/pcm\b", re.IGNORECASE)
_RATE = re.compile(r"rate=(\d+)", re.IGNORECASE)
_CHANNELS = re.compile(r"channels=(\d+)", re.IGNORECASE)
_USUAL_RATE_HZ = 24_000
_BYTES_A_SAMPLE = 2


class Recording:
    """Collects the pieces of one spoken answer. `wav` puts a header before raw samples, `pcm` leaves them raw."""

    __slots__ = ("_format", "_pieces", "_type")

    def __init__(self, sound_format: SoundFormat) -> None:
        self._format = sound_format
        self._pieces: list[bytes] = []
        self._type = ""

    def add(self, data: bytes, media_type: str) -> None:
        """Takes the next piece."""
        self._pieces.append(data)
        self._type = self._type or media_type

    def file(self) -> FilePart | None:
        """The whole; `None` where nothing was said. Sound that is not raw PCM stays as it came."""
        if not self._pieces:
            return None
        data = b"".join(self._pieces)
        if self._format == "pcm" or not _RAW.match(self._type):
            return FilePart(data, media_type=self._type)
        return FilePart(_wav_header(len(data), self._type) + data, media_type="audio/wav")


def _wav_header(size: int, media_type: str) -> bytes:
    """The RIFF header of `size` bytes of signed 16-bit little-endian PCM, which is what the API sends as L16."""
    rate = int(found[1]) if (found := _RATE.search(media_type)) else _USUAL_RATE_HZ
    channels = int(found[1]) if (found := _CHANNELS.search(media_type)) else 1
    frame = channels * _BYTES_A_SAMPLE
    sound = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * frame, frame, 8 * _BYTES_A_SAMPLE)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + sound + struct.pack("<4sI", b"data", size)


__all__ = ["Recording", "SoundFormat"]
