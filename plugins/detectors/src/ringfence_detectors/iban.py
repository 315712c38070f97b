"""International bank account numbers: a country's own structure, in any case and grouping.

The check digits raise confidence, they do not gate: without them the number must stand in one piece or in fours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from stdnum import numdb
from stdnum.iso7064 import mod_97_10

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector

LONGEST_IBAN = 34
_SEPARATORS = " \t\n.-/"
_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ \-]?\d[ \-]?\d")
_FIELD = re.compile(r"(\d+)!([nac])")
_CHARACTERS = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_GROUP = 4


@dataclass(frozen=True, slots=True, repr=False)
class _Written:
    """A number as it stands: its characters, and where each of them is."""

    characters: str
    places: tuple[int, ...]

    @property
    def in_fours(self) -> bool:
        """Whether it stands in one piece, or in groups of four."""
        breaks = [count for count, (left, right) in enumerate(pairwise(self.places), start=1) if right - left > 1]
        return not breaks or breaks == list(range(_GROUP, len(self.places), _GROUP))


class IbanDetector(PlainDetector):
    """Finds IBANs."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every IBAN, in order of start."""
        if not plain.spots:
            return
        done = 0
        for match in _START.finditer(plain.text):
            written = _account(plain.text, match.start()) if match.start() >= done else None
            if written is not None:
                done = written.places[-1] + 1
                yield plain.hit(written.places[0], done)


def _account(text: str, start: int) -> _Written | None:
    structure = _structure(text[start : start + 2].upper())
    if structure is None:
        return None
    length, pattern = structure
    written = _written(text, start, length)
    if written is None or not pattern.fullmatch(written.characters):
        return None
    if _has_check_digits(written.characters):
        return written
    after = text[written.places[-1] + 1 : written.places[-1] + 2]
    alone = not (after.isascii() and after.isalnum())
    return written if alone and written.in_fours else None


def _written(text: str, start: int, length: int) -> _Written | None:
    """The `length` letters and digits from `start`, with at most two separators between two of them."""
    characters: list[str] = []
    places: list[int] = []
    skipped = 0
    for place in range(start, min(len(text), start + 3 * LONGEST_IBAN)):
        character = text[place]
        if character.isascii() and character.isalnum():
            characters.append(character.upper())
            places.append(place)
            skipped = 0
            if len(characters) == length:
                return _Written("".join(characters), tuple(places))
        elif character in _SEPARATORS and skipped < 2:  # noqa: PLR2004
            skipped += 1
        else:
            return None
    return None


@lru_cache(maxsize=26 * 26)
def _structure(country: str) -> tuple[int, re.Pattern[str]] | None:
    """The length of a country's IBAN and its structure, from the SWIFT registry in python-stdnum."""
    parts = numdb.get("iban").info(country)
    fields = _FIELD.findall(str(parts[0][1].get("bban", ""))) if parts else []
    if not fields:
        return None
    length = 4 + sum(int(count) for count, _ in fields)
    pattern = "".join(f"{_CHARACTERS[kind]}{{{count}}}" for count, kind in fields)
    return length, re.compile(rf"{country}[0-9]{{2}}{pattern}")


def _has_check_digits(number: str) -> bool:
    try:
        return mod_97_10.is_valid(number[4:] + number[:4])
    except Exception:  # noqa: BLE001  (python-stdnum has raised more than it documents)
        return False


DETECTOR = IbanDetector()

__all__ = ["DETECTOR", "IbanDetector"]
