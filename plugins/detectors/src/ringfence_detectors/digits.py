"""Numbers written in groups: `4111 1111 1111 1111` is one run of four groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_RUN = re.compile(r"\d+(?:[ \t.\-/\n]{1,2}\d+)*")
_GROUP = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, repr=False)
class Groups:
    """Neighbouring groups of digits: `digits` joined, the length of each group, and what stands between them."""

    start: int
    end: int
    digits: str
    lengths: tuple[int, ...]
    separators: frozenset[str]


def group_windows(text: str, *, shortest: int, longest: int, first_digits: str) -> Iterator[Groups]:
    """Every window of neighbouring groups of ASCII digits with `shortest` to `longest` digits, the first one given.

    In order of start, the longest first. Linear: a window has at most `longest` groups.
    """
    for run in _RUN.finditer(text):
        if run.end() - run.start() < shortest:
            continue
        groups = [(group.start(), group.end()) for group in _GROUP.finditer(text, *run.span())]
        for first, (start, _) in enumerate(groups):
            if text[start] in first_digits:
                yield from _windows_from(text, groups, first, shortest=shortest, longest=longest)


def _windows_from(
    text: str, groups: list[tuple[int, int]], first: int, *, shortest: int, longest: int
) -> Iterator[Groups]:
    digits = 0
    lasts: list[int] = []
    for last in range(first, len(groups)):
        digits += groups[last][1] - groups[last][0]
        if digits > longest:
            break
        if digits >= shortest:
            lasts.append(last)
    for last in reversed(lasts):
        window = groups[first : last + 1]
        yield Groups(
            start=window[0][0],
            end=window[-1][1],
            digits="".join(text[start:end] for start, end in window),
            lengths=tuple(end - start for start, end in window),
            separators=frozenset(text[left[1] : right[0]] for left, right in pairwise(window)),
        )


__all__ = ["Groups", "group_windows"]
