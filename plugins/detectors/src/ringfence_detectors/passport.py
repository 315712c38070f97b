"""Passports: the machine-readable lines, and a number that a word says is a passport's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.detector import Hit
from ringfence_detectors.identifier import Identifier, Sign
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector
from ringfence_detectors.words import any_word

# ICAO Doc 9303: two lines of 44 or 36 characters, or three of 30.
_LINES = re.compile(
    r"(?<![A-Z0-9<])[PIACV][A-Z<][A-Z]{3}[A-Z0-9<]{25,39}(?:[ \t]*\r?\n?[ \t]*[A-Z0-9<]{28,44}){0,2}(?![A-Z0-9<])"
)
_FILLER = "<<"

_NUMBER = Identifier(
    writings=(
        "aa ddddddd", "a dddddddd", "ddddddddd", "a ddddddd", "aa dddddd", "dd dd dddddd", "xxxxxxxxx", "dddddddd",
    ),
    structure=re.compile(r"(?:[A-Z]*[0-9]){4}[A-Z0-9]*"),
    words=any_word(
        "passport", "passports", "passport no", "passport number", "reisepass", "reisepassnummer", "passnummer",
        "pass nr",
        "passeport", "pasaporte", "passaporto", "passaporte", "paspoort", "paspoortnummer", "paszport", "pas nr",
        "паспорт", "паспорта", "护照", "護照", "パスポート", "旅券", "여권",
    ),
    enough=(Sign.WORD,),
)  # fmt: skip


class PassportDetector(PlainDetector):
    """Finds passport numbers and machine-readable lines."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every one, in order of start."""
        lines = [match.span() for match in _LINES.finditer(plain.text)] if _FILLER in plain.text else []
        hits = [plain.hit(start, end) for start, end in lines if _FILLER in plain.text[start:end]]
        yield from sorted([*hits, *_NUMBER.detect_prepared(plain)], key=lambda hit: (hit.start, hit.end))


PASSPORT = PassportDetector()

__all__ = ["PASSPORT", "PassportDetector"]
