"""A parser that is fed bytes as they come, and variable-length integers (RFC 9000, section 16)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Final, Generic, TypeAlias, TypeVar

from typing_extensions import Buffer

from ringfence_house.protocol.faults import ProtocolFault, Truncated

PartT = TypeVar("PartT")
ValueT = TypeVar("ValueT")
Reading: TypeAlias = Generator[None, None, ValueT]
"""Reads a value; it yields where it needs bytes that have not come."""

_SIZES: Final = ((1 << 6, 1), (1 << 14, 2), (1 << 30, 4), (1 << 62, 8))


def varint(value: int) -> bytes:
    """The shortest encoding of `value`, which is below 2**62."""
    for prefix, (bound, size) in enumerate(_SIZES):
        if value < bound:
            return (value | prefix << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError("a length of 2**62 or more has no encoding")


class Incremental(ABC, Generic[PartT]):
    """Turns bytes, cut anywhere, into parts. A fault is for good: after it, every call raises.

    A parser writes `_read()` as if all bytes were there, and appends to `_parts`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: list[PartT] = []
        self._taken = 0
        self._ended = False
        self._finished = False
        self._over = False
        self._reading = self._read()

    @abstractmethod
    def _read(self) -> Reading[None]:
        """Reads to the end of the message; returns only when `_ended`."""

    @property
    def finished(self) -> bool:
        """Whether the end that the protocol marks has been read and verified."""
        return self._finished

    def feed(self, data: Buffer) -> list[PartT]:
        """The parts that `data` completes.

        Raises:
            ProtocolFault: they are not allowed, or an earlier fault or the end went before.
        """
        return self._advance(data)

    def end(self) -> list[PartT]:
        """The parts that only the end of the bytes completes.

        Raises:
            Truncated: the bytes ended before the message did.
            ProtocolFault: the last part is not allowed, or an earlier fault or the end went before.
        """
        self._ended = True
        return self._advance(b"")

    def rescued(self) -> list[PartT]:
        """After a fault, the parts that were complete before it and not yet given."""
        parts = self._parts.copy()
        self._parts.clear()
        return parts

    def _advance(self, data: Buffer) -> list[PartT]:
        # INVARIANT: a reader runs out once, at a proper end; nothing is read after that, nor after a fault.
        if self._over:
            raise ProtocolFault("the message was over, or broken, before")
        self._buffer += data
        try:
            next(self._reading)
        except StopIteration:
            self._over = self._finished = True
        except BaseException:
            self._over, self._finished = True, False
            raise
        return self.rescued()

    def _take(self, size: int) -> Reading[bytes]:
        """The next `size` bytes. Who calls it has checked that `size` is within a limit."""
        if len(self._buffer) < size:
            yield from self._wait_for(size)
        # Copied once: a slice of a bytearray is a copy already.
        with memoryview(self._buffer) as view:
            taken = bytes(view[:size])
        del self._buffer[:size]
        self._taken += size
        return taken

    def _wait_for(self, size: int) -> Reading[None]:
        while len(self._buffer) < size:
            if self._ended:
                raise Truncated("the bytes ended within the message")
            yield

    def _varint(self) -> Reading[int]:
        if not self._buffer:
            yield from self._wait_for(1)
        size = 1 << (self._buffer[0] >> 6)
        value = int.from_bytes((yield from self._take(size)), "big") & ((1 << (8 * size - 2)) - 1)
        # A longer form than needed would be a second spelling of the same message.
        if size > 1 and len(varint(value)) != size:
            raise ProtocolFault("a length is not in its shortest form")
        return value


__all__ = ["Incremental", "Reading", "varint"]
