"""Numbers written in groups: `4111 1111 1111 1111` is one run of four groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_RUN = re.compile(r"\d+(?:[ \t.\-/_\n]{1,2}\d+)*")
_GROUP = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, repr=False)
class Groups:
    """Neighbouring groups of digits, as `(start, end)` in `text`, and their digits joined."""

    text: str
    spans: tuple[tuple[int, int], ...]
    digits: str

    @property
    def start(self) -> int:
        """Where the first group begins."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """Where the last group ends."""
        return self.spans[-1][1]

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many digits each group has."""
        return tuple(end - start for start, end in self.spans)

    @property
    def separators(self) -> frozenset[str]:
        """What stands between the groups."""
        return frozenset(self.text[left[1] : right[0]] for left, right in pairwise(self.spans))


def group_windows(text: str, *, shortest: int, longest: int, most_groups: int, first_digits: str) -> Iterator[Groups]:
    """Every window of neighbouring groups of ASCII digits with `shortest` to `longest` digits, the first one given.

    In order of start, the longest first. One that begins after another group has at most `most_groups`, so that a long
    row of digits takes little time.
    """
    for run in _RUN.finditer(text):
        if run.end() - run.start() < shortest:
            continue
        spans = [group.span() for group in _GROUP.finditer(text, *run.span())]
        digits = "".join(text[start:end] for start, end in spans)
        offset = 0
        for first, (start, end) in enumerate(spans):
            if text[start] in first_digits:
                for last, length in _lasts(
                    spans[first : first + (most_groups if first else longest)], shortest=shortest, longest=longest
                ):
                    yield Groups(text, tuple(spans[first : first + last + 1]), digits[offset : offset + length])
            offset += end - start


def _lasts(spans: list[tuple[int, int]], *, shortest: int, longest: int) -> Iterator[tuple[int, int]]:
    """The last group of each window that begins with the first, and the digits in it; the longest first."""
    found: list[tuple[int, int]] = []
    length = 0
    for last, (start, end) in enumerate(spans):
        length += end - start
        if length > longest:
            break
        if length >= shortest:
            found.append((last, length))
    yield from reversed(found)


__all__ = ["Groups", "group_windows"]
