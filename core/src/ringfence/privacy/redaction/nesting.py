"""Where a JSON text stands as it comes: inside a string of it, and whether that string may be JSON itself."""

from __future__ import annotations

import json
import re

from ringfence.escapes import unescaped_forms

_QUOTE = re.compile(r'(\\*)"')
_FIRST = re.compile(r"(?:\s|\\[nrt])*+(\S)")


class Begun:
    """A JSON text as far as it came, whole or broken off."""

    __slots__ = ("_in_string", "_like_json", "_open", "_started")

    def __init__(self) -> None:
        self._in_string = self._like_json = self._started = False
        self._open: set[int] = set()

    @property
    def inner(self) -> bool:
        """Whether what comes next may stand in a JSON text inside a string, in a string of that or in its structure."""
        return self._in_string and (self._like_json or bool(self._open))

    def take(self, text: str) -> None:
        """Goes on by `text`, which does not begin in the middle of an escape."""
        place = 0
        for quote in _QUOTE.finditer(text):
            self._see(text[place : quote.start()])
            place = quote.end()
            backslashes = len(quote[1])
            if backslashes % 2:
                # A quote of an inner text: it opens a string or closes it, and each depth has quotes of its own.
                self._open ^= {backslashes}
                self._started = True
            else:
                self._in_string, self._like_json, self._started = not self._in_string, False, False
                self._open = set()
        self._see(text[place:])

    def _see(self, text: str) -> None:
        if self._in_string and not self._started and (first := _FIRST.match(text)):
            self._started = True
            self._like_json = first[1] in "[{"


def says_no_structure(value: str) -> bool:
    """Whether `value` can stand in a string of a JSON text of any depth and end nothing there."""
    try:
        json.loads(f'"{value}"')
    except ValueError:
        return False
    forms, complete = unescaped_forms(value)
    return complete and not any('"' in form or form.endswith("\\") for form in forms)


__all__ = ["Begun", "says_no_structure"]
