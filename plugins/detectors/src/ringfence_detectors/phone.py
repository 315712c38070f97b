"""Telephone numbers: international ones anywhere, national ones in the forms that only telephone numbers have.

An international prefix, a length that its country has, and that is a number: whether the range is assigned raises
confidence and does not gate. National numbers have many look-alikes, so they need a form of their own (a trunk zero and
an assigned range, the three groups of North America, a Chinese mobile number) or a word such as "call" before them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import phonenumbers

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector

TRUNK_ZERO_REGIONS = ("GB", "DE", "FR", "CN", "JP", "NL", "IT", "AU", "KR", "CH", "AT", "SE", "IN")
"""Where a national number is recognised by its trunk zero."""

_CUE_CHARACTERS = 24
_FEWEST_DIGITS = 7
_BEFORE_DIGITS = 3
_AFTER_DIGITS = 3
_NOT_INSIDE = r"(?<![A-Za-z0-9_+])(?<!\d[ .,:\-/])(?<![$€£¥])"
_NOT_GOING_ON = r"(?![A-Za-z0-9_])(?![.,:\-/]\d)"

_INTERNATIONAL = re.compile(
    r"(?:(?<![\d+])(?<![0-9][eE])\+|(?<![A-Za-z0-9_+])(?<!\d[ .,:\-/])(?:00|011[ \-]))"
    r"[ (]{0,2}[1-9](?:[ ().\-/\r\n]{0,3}\d){6,14}(?!\d)"
)
_TRUNK_ZERO = re.compile(_NOT_INSIDE + r"\(?0[1-9]\d{0,3}\)?(?:[ .\-/]{0,2}\d){6,9}" + _NOT_GOING_ON)
_NORTH_AMERICAN = re.compile(
    r"(?<![A-Za-z0-9_+])(?<!\d[.,:\-/])(?<![$€£¥])"
    r"(?:1[ .\-]?)?(?:\([2-9]\d\d\)[ .\-]?|[2-9]\d\d[ .\-])\d{3}[ .\-]\d{4}" + _NOT_GOING_ON
)
# Eleven digits that are a Chinese mobile number are found as one; to parse them costs 0.1 ms.
_NORTH_AMERICAN_PLAIN = re.compile(_NOT_INSIDE + r"(?!1[3-9]\d{9}(?!\d))1?[2-9]\d\d[2-9]\d{6}" + _NOT_GOING_ON)
# In its groups, or broken over two lines anywhere.
_CHINESE_MOBILE = re.compile(
    r"(?<![A-Za-z0-9_+])(?<!\d[ .,:\-/])(?:1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}"
    r"|(?=[0-9]{2,10}\r?\n[0-9]{1,9}(?![0-9\r\n]))1[3-9](?:\r?\n?\d){9})(?![A-Za-z0-9_])"
)
_AFTER_CUE = re.compile(r"(?<![\d+])\(?\d(?:[ ().\-/]{0,3}\d){6,14}(?!\d)")

_CUE = re.compile(
    r"(?:\b(?:tel|telephone|phone|call|cell|mobile|mob|fax|whatsapp|sms|text me|dial|ring|reach me|telefon|tél|handy"
    r"|reached at|office:|desk:|hotline)|电话|手机|致电|联系方式|電話|传真)[^\d\n]{0,16}\n?[^\d\n]{0,4}\Z",
    re.IGNORECASE,
)
_NUMBER_OF_SOMETHING_ELSE = re.compile(
    r"(?:order|invoice|ref(?:erence)?|ticket|tracking|parcel|sku|item|part|serial|case|account|customer|card|id|no|nr|isbn"
    r"|bestellung|rechnung|订单|单号|编号|#)[^\d\n]{0,12}\Z",
    re.IGNORECASE,
)
_EXTENSION = re.compile(
    r"[ ,;]{0,3}(?:x|ext\.?|extension|durchwahl|分机|转)[ .:]{0,2}[0-9]{1,6}(?![A-Za-z0-9])", re.IGNORECASE
)
_AREA_IN_BRACKETS = re.compile(r"(?<![A-Za-z0-9_+)])\([0-9]{2,4}\)[ ]?[0-9]{3,5}[ \-][0-9]{3,5}" + _NOT_GOING_ON)
_SOCIAL_SECURITY = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}\Z")
_DATE = re.compile(r"\(?(?:\d{1,2}([./\-])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([./\-])\d{1,2}\2\d{1,2})(?!\d)")
_GROUP_AND_SPACE = re.compile(r"\d \Z")
_LAST_GROUP = re.compile(r"[ ().\-/\r\n]+\d+\Z")


class PhoneDetector(PlainDetector):
    """Finds telephone numbers."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every number, in order of start; no two overlap."""
        done = 0
        for spot in plain.spots:
            if spot.digits >= _FEWEST_DIGITS:
                window = max(0, spot.start - _BEFORE_DIGITS), spot.end + _AFTER_DIGITS
                for start, end in sorted(_spans(plain.text, *window), key=lambda span: (span[0], -span[1])):
                    if start >= done:
                        extension = _EXTENSION.match(plain.text, end)
                        done = extension.end() if extension else end
                        yield plain.hit(start, done)


def _spans(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """What may be a number and begins in `text[first:last]`."""
    for match in _INTERNATIONAL.finditer(text, first, last):
        yield from _longest(match, _is_international)
    for match in _TRUNK_ZERO.finditer(text, first, last):
        if not (_DATE.match(match[0]) or _SOCIAL_SECURITY.match(match[0]) or _is_number_of_something_else(match)):
            yield from _longest(match, _is_national)
    yield from (match.span() for match in _AREA_IN_BRACKETS.finditer(text, first, last))
    yield from (match.span() for match in _NORTH_AMERICAN.finditer(text, first, last) if not _goes_on_before(match))
    for match in _NORTH_AMERICAN_PLAIN.finditer(text, first, last):
        if not _is_number_of_something_else(match) and _is_valid(match[0], "US"):
            yield match.span()
    for match in _CHINESE_MOBILE.finditer(text, first, last):
        if not _is_number_of_something_else(match):
            yield match.span()
    for match in _AFTER_CUE.finditer(text, first, last):
        if _CUE.search(_before(match)) and not _DATE.match(match[0]):
            yield match.span()


def _goes_on_before(match: re.Match[str]) -> bool:
    """Whether bare groups with spaces between them stand after a group and a space: part of a longer number."""
    return " " in match[0] and "(" not in match[0] and bool(_GROUP_AND_SPACE.search(_before(match)))


def _is_number_of_something_else(match: re.Match[str]) -> bool:
    """Whether digits in one piece stand behind a word such as "order"."""
    return match[0].isdigit() and bool(_NUMBER_OF_SOMETHING_ELSE.search(_before(match)))


def _longest(match: re.Match[str], is_number: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """The longest beginning of the match, in whole groups, that is a number: another may follow on the same line."""
    written = match[0]
    while sum(character.isdigit() for character in written) >= _FEWEST_DIGITS:
        if is_number(written):
            yield match.start(), match.start() + len(written)
            return
        shorter = _LAST_GROUP.sub("", written)
        if shorter == written:
            return
        written = shorter


def _is_international(written: str) -> bool:
    if written.startswith("+"):
        number = _parsed(written, None)
        return number is not None and phonenumbers.is_possible_number(number)
    # Zeros begin other numbers too, so here the range must be an assigned one.
    number = _parsed("+" + written.removeprefix("011" if written.startswith("011") else "00").lstrip(" -("), None)
    return number is not None and phonenumbers.is_valid_number(number)


def _is_national(written: str) -> bool:
    return any(_is_valid(written, region) for region in TRUNK_ZERO_REGIONS)


def _is_valid(written: str, region: str) -> bool:
    number = _parsed(written, region)
    return number is not None and phonenumbers.is_valid_number(number)


def _parsed(written: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - _CUE_CHARACTERS) : match.start()]


DETECTOR = PhoneDetector()

__all__ = ["DETECTOR", "TRUNK_ZERO_REGIONS", "PhoneDetector"]
