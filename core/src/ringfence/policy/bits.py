"""Sets of rules as integers: bit i is the i-th allow, or the i-th deny, of the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Bits: TypeAlias = int

_ZERO_ONE = bytes.maketrans(b"01", b"\x00\x01")


def ones(bits: Bits) -> bytes:
    """One byte a bit, lowest first: the selectors that `itertools.compress` takes."""
    return format(bits, "b")[::-1].encode().translate(_ZERO_ONE)


def from_flags(flags: Iterable[bool]) -> Bits:
    """The set of the indexes whose flag is true."""
    return int("".join("1" if flag else "0" for flag in flags)[::-1] or "0", 2)


def lowest(bits: Bits, count: int) -> Bits:
    """The `count` lowest members of `bits`."""
    kept = 0
    for _ in range(count):
        member = bits & -bits
        kept |= member
        bits ^= member
    return kept
