"""Numbers that an authority gives out: one description per kind, one way to decide.

Three signs speak for a number: it is *written* as only this kind is, its *check* digits are right, or a *word* beside
it says what it is. A kind names which of them are enough. So a check digit raises confidence: it never decides alone
where other numbers have the same length, and never stands in the way of a number that is clear without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Flag, auto
from functools import cached_property
from itertools import pairwise

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import FEWEST_DIGITS_IN_A_SPOT, PlainText
from ringfence_detectors.sharing import PlainDetector
from ringfence_detectors.words import NO_WORDS, stands_beside

# What may stand between two groups: nothing, a space or two, a sign, the end of a line.
_SEPARATOR = r"(?:[ \t]?(?:[.\-/(]|\r?\n)[ \t]?|[ \t]{1,2})?"
_BREAK = r"(?:\r?\n)?"
# A column of short numbers is none: said in the pattern, where it costs least.
_NO_COLUMN = r"(?![A-Za-z0-9]{1,3}\s{0,2}\n[A-Za-z0-9]{1,3}\s{0,2}\n)"
_CLASSES = {"d": "[0-9]", "a": "[A-Za-z]", "x": "[A-Za-z0-9]"}
_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9_]")
_NOT_OF_THE_NUMBER = re.compile(r"[^A-Za-z0-9]+")
_ROOM_AFTER = 8
_ROOM_PER_CHARACTER = 4


class Sign(Flag):
    """What speaks for a number being of a kind."""

    NONE = 0
    WRITTEN = auto()
    CHECK = auto()
    WORD = auto()


ANY = re.compile(r".+")
"""For `one_piece`, where the structure tells enough."""


def no_check(_: str) -> bool:
    """For a kind without check digits."""
    return False


@dataclass(frozen=True, kw_only=True)
class Identifier(PlainDetector):
    """Finds one kind of number.

    `writings` are its groups: "ddd dd dddd", d a digit, a a letter, x either. `structure` is what the letters (in
    capitals) and digits alone must be. `between` says what, between the groups, makes a number WRITTEN: one character
    for all gaps, or one for each; a number without gaps is so if it fits `one_piece`. `is_valid` looks at letters and
    digits alone. `enough` are the combinations of signs of which one must be there.
    """

    writings: tuple[str, ...]
    enough: tuple[Sign, ...]
    structure: re.Pattern[str] | None = None
    words: re.Pattern[str] = NO_WORDS
    between: tuple[str, ...] = (" ", "-", ".")
    one_piece: re.Pattern[str] | None = None
    is_valid: Callable[[str], bool] = no_check

    @cached_property
    def _shape(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![A-Za-z0-9_]){_NO_COLUMN}(?:{'|'.join(map(_shape, self.writings))})")

    @cached_property
    def _fewest_digits(self) -> int:
        return max(FEWEST_DIGITS_IN_A_SPOT, min(writing.count("d") for writing in self.writings))

    @cached_property
    def _room_before(self) -> int:
        return _ROOM_PER_CHARACTER * max(len(re.split("d", writing)[0]) for writing in self.writings)

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every number of the kind, in order of start; no two overlap."""
        done = 0
        for spot in plain.spots:
            if spot.digits >= self._fewest_digits and spot.end > done:
                first = max(done, spot.start - self._room_before)
                for start, end in self._spans(plain.text, first, spot.end + _ROOM_AFTER):
                    done = end
                    yield plain.hit(start, end)

    def _spans(self, text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
        match = self._shape.search(text, first, last)
        while match is not None:
            end = match.end() if self._is_one(match) else 0
            if end:
                # A group in brackets ends with the bracket.
                yield match.start(), end + ("(" in match[0] and text[end : end + 1] == ")")
            match = self._shape.search(text, end or match.start() + 1, last)

    def _is_one(self, match: re.Match[str]) -> bool:
        number = _NOT_OF_THE_NUMBER.sub("", match[0]).upper()
        if _LETTER_OR_DIGIT.match(match.string, match.end()) or match[0].count("\n") > 1 or len(set(number)) == 1:
            return False
        if self.structure is not None and not self.structure.fullmatch(number):
            return False
        gaps = _gaps(match)
        signs = self._written(match[0], number, gaps)
        if self.is_valid(number):
            signs |= Sign.CHECK
        if stands_beside(self.words, match.string, *match.span()):
            signs |= Sign.WORD
        return any(signs & needed == needed for needed in self.enough) and (
            Sign.WORD in signs or _stands_alone(match, gaps)
        )

    def _written(self, written: str, number: str, gaps: str) -> Sign:
        if written != written.upper() and not number[:-1].isdigit():
            return Sign.NONE  # Small letters and digits are in the names of things.
        if not gaps.strip("0\n"):
            return Sign.WRITTEN if self.one_piece and self.one_piece.fullmatch(number) else Sign.NONE
        for between in self.between:
            expected = between * len(gaps) if len(between) == 1 else between
            # A line may end where a separator stands.
            if len(expected) == len(gaps) and all(
                gap in ("\n", ours) for gap, ours in zip(gaps, expected, strict=True)
            ):
                return Sign.WRITTEN
        return Sign.NONE


def _shape(writing: str) -> str:
    groups = (_BREAK.join(_CLASSES[character] for character in group) for group in writing.split())
    return _SEPARATOR.join(f"({group})" for group in groups)


def _gaps(match: re.Match[str]) -> str:
    """What stands between the groups, one character a gap; "0" for nothing."""
    spans = [span for span in match.regs[1:] if span[0] >= 0]
    gaps = (match.string[left[1] : right[0]] for left, right in pairwise(spans))
    signs = ["\n" if "\n" in gap else gap and (gap.strip() or " ") for gap in gaps]
    return "".join(sign or "0" for sign in signs) if any(signs) else ""


def _stands_alone(match: re.Match[str], gaps: str) -> bool:
    """Whether it is no piece of a longer number: what is written on both sides of it, it is not written with itself."""
    text, start, end = match.string, match.start(), match.end()
    joins = {*gaps, ".", "-", "/", ","}
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return not (before[:1].isdigit() and before[1:] in joins) and not (after[1:].isdigit() and after[:1] in joins)


__all__ = ["ANY", "Identifier", "Sign", "no_check"]
