"""What a balancer sees of a sealed answer: where its chunks begin and end. It has no key to any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NONCE_BYTES = 16
"""In front of every answer, for AES-128-GCM."""
REQUEST_HEAD_BYTES = 7 + 32
"""In front of every request: key id and algorithms, then the encapsulated key."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sealed:
    """A chunked message of Oblivious HTTP in its parts. `head` is the nonce, or of a request what stands before it."""

    head: bytes
    chunks: Sequence[bytes]
    final: bytes

    def __iter__(self) -> Iterator[bytes]:
        """The bytes as they are sent, a piece for each part."""
        yield self.head
        yield from (varint(len(chunk)) + chunk for chunk in self.chunks)
        yield varint(0) + self.final


def parts(data: bytes, head_bytes: int = NONCE_BYTES) -> Sealed:
    """`data` in its parts."""
    at, chunks = head_bytes, list[bytes]()
    while True:
        length, at = _varint_at(data, at)
        if not length:
            return Sealed(head=data[:head_bytes], chunks=tuple(chunks), final=data[at:])
        chunks.append(data[at : at + length])
        at += length


def varint(number: int) -> bytes:
    """`number` as QUIC writes it (RFC 9000, 16)."""
    for power, size in enumerate((1, 2, 4, 8)):
        if number < 1 << 8 * size - 2:
            return (number | power << 8 * size - 2).to_bytes(size, "big")
    raise ValueError("a number of more than 62 bits")


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + size], "big") & ((1 << 8 * size - 2) - 1), at + size


__all__ = ["NONCE_BYTES", "REQUEST_HEAD_BYTES", "Sealed", "parts", "varint"]
