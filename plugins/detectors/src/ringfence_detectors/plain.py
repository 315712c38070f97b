"""A text as identifiers are written in it: ASCII digits, dashes and spaces, nothing invisible, offsets kept."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from ringfence.privacy.detector import Hit

_KEPT_CONTROLS = "\t\n\r"
_NEEDS_WORK = re.compile(r"[^\t\n\r\x20-\x7e]")
_MINUS_SIGNS = "\u2212\u2043\u02d7"
_IGNORED_MARKS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


MAX_REMEMBERED_CHARACTERS = 1 << 15
"""More than any people write with, Chinese included; all that exist would take 160 MB."""


class _Plainer(dict[int, str]):
    """What each character is written as; remembered as characters are met."""

    def __missing__(self, code: int) -> str:
        plain = _plain_character(chr(code))
        if len(self) < MAX_REMEMBERED_CHARACTERS:
            self[code] = plain
        return plain


_PLAINER = _Plainer()


@dataclass(slots=True, repr=False)
class PlainText:
    """`text` is what to search; `hit` gives the place of a finding in the text it was made from."""

    text: str
    _source: str
    _offsets: list[int] | None = field(default=None, init=False)

    def hit(self, start: int, end: int) -> Hit:
        """The hit in the original for `text[start:end]`; 0 ≤ start < end ≤ len(text)."""
        if self.text is self._source:
            return Hit(start, end)
        if self._offsets is None:
            self._offsets = [place for place, character in enumerate(self._source) for _ in _PLAINER[ord(character)]]
        return Hit(self._offsets[start], self._offsets[end - 1] + 1)


def plain_text(text: str) -> PlainText:
    """`text` with every digit, dash, space and compatibility character in ASCII, and no invisible character."""
    if not _NEEDS_WORK.search(text):
        return PlainText(text, text)
    return PlainText(text.translate(_PLAINER), text)


def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cf", "Cc") and character not in _KEPT_CONTROLS:
        return ""
    if character in _IGNORED_MARKS or _VARIATION_SELECTORS.match(character):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character in _MINUS_SIGNS:
        return "-"
    if category == "Zs":
        return " "
    return unicodedata.normalize("NFKC", character)


__all__ = ["PlainText", "plain_text"]
