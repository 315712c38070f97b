"""Windows over a long row of tokens, and which window has the say over which token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The model sees `[start, end)`; it is believed about `[first, last)`, which lies within."""

    start: int
    end: int
    first: int
    last: int


def windows(count: int, size: int, overlap: int) -> Iterator[Window]:
    """Windows of at most `size` over `count` tokens; neighbours share `overlap`, which is less than `size`.

    INVARIANT: every token belongs to one window's `[first, last)`, with at least `overlap // 2` tokens that the model
    sees on either side of it, or all there are.
    """
    start = first = 0
    while first < count:
        end = min(start + size, count)
        last = count if end == count else end - overlap // 2
        yield Window(start=start, end=end, first=first, last=last)
        start, first = end - overlap, last


__all__ = ["Window", "windows"]
