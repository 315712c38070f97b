"""Dates of birth: a date that a word says is one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector
from ringfence_detectors.words import any_word, stands_beside

_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mär|mai|okt|dez|janv|févr|mars|avr|juin|juil|août|déc|ene|abr"
    r"|ago|dic|gen|mag|giu|lug|set|ott)[a-zäûé]{0,9}\.?"
)
_DATE = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"[0-9]{1,2}[ ]?([./\-])[ ]?[0-9]{1,2}[ ]?\1[ ]?(?:[0-9]{4}|[0-9]{2})"
    r"|(?:18|19|20)[0-9]{2}[ ]?(?:[./\-]|年)[ ]?[0-9]{1,2}[ ]?(?:[./\-]|月)[ ]?[0-9]{1,2}[ ]?[日号]?"
    r"|(?:18|19|20)[0-9]{2}年(?:[0-9]{1,2}月)?"
    r"|(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?\.?[ \-](?:of )?(?:de )?{_MONTH},?[ \-](?:de )?(?:18|19|20)[0-9]{{2}}"
    rf"|{_MONTH}[ \-][0-9]{{1,2}}(?:st|nd|rd|th)?,?[ \-](?:18|19|20)[0-9]{{2}}"
    r")(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_WORDS = any_word(
    "born", "dob", "d.o.b", "date of birth", "birth date", "birthdate", "birthday", "b-day", "geboren", "geb",
    "geburtsdatum",
    "né le", "née le", "date de naissance", "naissance", "nacido", "nacida", "fecha de nacimiento", "nacimiento",
    "nato il", "nata il",
    "data di nascita", "geboortedatum", "data de nascimento", "出生", "生日", "生于", "出生日期", "生年月日",
    "생년월일", "дата рождения",
)  # fmt: skip
_ROOM_BEFORE = 24
_ROOM_AFTER = 6


class DateOfBirthDetector(PlainDetector):
    """Finds dates beside a word such as "born": a date alone is anybody's."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every date of birth, in order of start."""
        done = 0
        for spot in plain.spots:
            if spot.end > done:
                first = max(done, spot.start - _ROOM_BEFORE)
                for match in _DATE.finditer(plain.text, first, spot.end + _ROOM_AFTER):
                    if stands_beside(_WORDS, plain.text, *match.span()):
                        done = match.end()
                        yield plain.hit(*match.span())


DATE_OF_BIRTH = DateOfBirthDetector()

__all__ = ["DATE_OF_BIRTH", "DateOfBirthDetector"]
