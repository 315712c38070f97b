"""The smallest media there are: one grey pixel and half a second of nothing."""

from __future__ import annotations

import struct
import zlib

RATE_HZ = 24_000
_SAMPLES = RATE_HZ // 2


def pixel_png() -> bytes:
    """A PNG of 1 x 1 pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\x00\x80")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def silence(audio_format: str) -> bytes | None:
    """Half a second, mono, 24 kHz, 16 bits: `pcm`, `wav` or `mp3`; `None` for a format that is not made here."""
    pcm = bytes(2 * _SAMPLES)
    if audio_format == "pcm":
        return pcm
    if audio_format == "wav":
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
        return (
            struct.pack("<4sI4s", b"RIFF", 36 + len(pcm), b"WAVE") + form + struct.pack("<4sI", b"data", len(pcm)) + pcm
        )
    if audio_format == "mp3":
        # MPEG-2 layer III, 32 kbit/s, 24 kHz, mono: 576 samples in 96 bytes, and zero bits decode to silence.
        return (b"\xff\xf3\x44\xc0" + bytes(92)) * (-(-_SAMPLES // 576))
    return None


AUDIO_TYPES = {"pcm": "audio/pcm", "wav": "audio/wav", "mp3": "audio/mpeg"}
