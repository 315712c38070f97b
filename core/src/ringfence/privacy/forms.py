"""The forms of a text: as it stands, and what it says once its escapes are undone, with where each stands in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import TypeAlias

from ringfence.escapes import ESCAPE, MAX_ESCAPE_DEPTH, meant, unescaped_forms

Places: TypeAlias = Callable[[int], int]
"""Where a place in a form of a text is in the text itself."""


def unescaped_places(text: str) -> tuple[list[tuple[str, Places]], bool]:
    """As `unescaped_forms`, each form with where its places are in `text`."""
    forms, complete = unescaped_forms(text)
    places: Places = _same
    found: list[tuple[str, Places]] = []
    for depth, form in enumerate(forms):
        if depth:
            places = _Undone(forms[depth - 1], places)
        found.append((form, places))
    return found, complete


def _same(place: int) -> int:
    return place


class _Undone:
    """The places of a form in the text: looked for once one is asked for, since most forms have no hit."""

    __slots__ = ("_before", "_escaped", "_starts")

    def __init__(self, escaped: str, before: Places) -> None:
        self._escaped = escaped
        self._before = before
        self._starts: tuple[list[int], list[int]] | None = None

    def __call__(self, place: int) -> int:
        if self._starts is None:
            self._starts = _runs(self._escaped)
        plain, escaped = self._starts
        run = bisect_right(plain, place) - 1
        return self._before(escaped[run] + place - plain[run])


def _runs(text: str) -> tuple[list[int], list[int]]:
    """Where runs of characters that stand for themselves begin: with the escapes undone, and in `text`."""
    plain, escaped = [0], [0]
    for match in ESCAPE.finditer(text):
        if meant(match) != match[0]:
            plain.append(plain[-1] + match.start() - escaped[-1] + 1)
            escaped.append(match.end())
    return plain, escaped


__all__ = ["MAX_ESCAPE_DEPTH", "Places", "unescaped_forms", "unescaped_places"]
