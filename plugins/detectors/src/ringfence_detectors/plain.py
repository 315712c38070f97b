"""A text as identifiers are written in it: ASCII digits, dashes and spaces, nothing invisible, offsets kept."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field

from ringfence.privacy.detector import Hit

_KEPT_CONTROLS = "\t\n\r"
# All that is not already as it should be; letters that many people write with are left out of it for speed.
_UNPLAIN = re.compile(
    "[^\\t\\n\\r\\x20-\\x7e\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0131\u0391-\u03a1\u03a3-\u03c9\u0400-\u045f"
    "\u05d0-\u05ea\u0621-\u064a\u0905-\u0928\u0e01-\u0e32\u2018\u2019\u201c\u201d"
    "\u3001\u3002\u300a-\u300f\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
)
_MINUS_SIGNS = "\u2212\u2043\u02d7"
_IGNORED_MARKS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_DIGIT = re.compile(r"\d")
_NO_DIGITS = re.compile(r"[^0-9]+")
_SPOT = re.compile(r"[0-9]+(?:(?:[ \t\r\n.\-/()_]{1,3}|[A-Za-z]{1,2})[0-9]+)*")

FEWEST_DIGITS_IN_A_SPOT = 4
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


@dataclass(frozen=True, slots=True)
class Spot:
    """A place with at least four digits near one another, letters and separators between them included."""

    start: int
    end: int
    digits: int


@dataclass(slots=True, repr=False)
class PlainText:
    """`text` is what to search; `hit` gives the place of a finding in the text it was made from."""

    text: str
    _source: str
    _spots: tuple[Spot, ...] | None = field(default=None, init=False)
    _places: tuple[list[int], list[int]] | None = field(default=None, init=False)

    @property
    def spots(self) -> tuple[Spot, ...]:
        """Where numbers are, in order of start; looked for once. A text without digits has none."""
        if self._spots is None:
            self._spots = _spots(self.text)
        return self._spots

    def hit(self, start: int, end: int) -> Hit:
        """The hit in the original for `text[start:end]`; 0 ≤ start < end ≤ len(text)."""
        if self.text is self._source:
            return Hit(start, end)
        if self._places is None:
            self._places = _places(self._source)
        return Hit(_place(self._places, start), _place(self._places, end - 1) + 1)


def plain_text(text: str) -> PlainText:
    """`text` with every digit, dash, space and compatibility character in ASCII, and no invisible character."""
    if not _UNPLAIN.search(text):
        return PlainText(text, text)
    return PlainText(_UNPLAIN.sub(_replacement, text), text)


def _replacement(match: re.Match[str]) -> str:
    return _PLAINER[ord(match[0])]


def _spots(text: str) -> tuple[Spot, ...]:
    if not _DIGIT.search(text):
        return ()
    found: list[Spot] = []
    for match in _SPOT.finditer(text):
        if match.end() - match.start() >= FEWEST_DIGITS_IN_A_SPOT:
            digits = len(_NO_DIGITS.sub("", match[0]))
            if digits >= FEWEST_DIGITS_IN_A_SPOT:
                found.append(Spot(*match.span(), digits))
    return tuple(found)


def _places(source: str) -> tuple[list[int], list[int]]:
    """Where runs of unmoved characters begin: in the plain text, and in `source`."""
    plain, original = [0], [0]
    for match in _UNPLAIN.finditer(source):
        length = len(_PLAINER[ord(match[0])])
        if length == 1:
            continue
        place = plain[-1] + match.start() - original[-1]
        for step in range(length):
            plain.append(place + step)
            original.append(match.start())
        plain.append(place + length)
        original.append(match.end())
    return plain, original


def _place(places: tuple[list[int], list[int]], index: int) -> int:
    plain, original = places
    run = bisect_right(plain, index) - 1
    return original[run] + index - plain[run]


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


__all__ = ["PlainText", "Spot", "plain_text"]
