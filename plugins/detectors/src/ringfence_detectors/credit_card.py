"""Payment card numbers: an issuer's prefix and length, and either the check digit or the way cards are written.

The check digit raises confidence, it does not gate: a number in a card's own grouping is one even where a digit was
mistyped. Digits in one piece, which order and account numbers have too, need the check digit or a word such as "card".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import luhn

from ringfence.privacy.detector import Hit
from ringfence_detectors.digits import Groups, group_windows
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector

SHORTEST_CARD = 12
LONGEST_CARD = 19
FIRST_DIGITS = "0123456789"

# Issuer prefixes (ISO/IEC 7812 ranges as the card schemes publish them) and the lengths each issues.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-59]|[689]\d)\d{11}"  # Diners Club
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12,15}|(?:2131|1800)\d{11}"  # JCB
    r"|(?:62|81)\d{14,17}"  # UnionPay
    r"|220[0-4]\d{12,15}"  # Mir
    r"|(?:60|82)\d{14}|508\d{13}"  # RuPay
    r"|(?:50|5[6-8]|6[37])\d{11,17}"  # Maestro
)
_CARD_GROUPINGS = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (6, 13), (4, 4, 4, 4, 2)})
_CUE = re.compile(
    r"(?:card|\bcc\b|visa|master|amex|maestro|credit|debit|karte|carte|tarjeta|卡)[^0-9]*\Z", re.IGNORECASE
)
_CUE_CHARACTERS = 32
_MOST_GROUPS = 6  # More are a row of numbers.
_FRACTION = re.compile(r"\d[.,]\Z")
_JOINED = re.compile(r"[A-Za-z0-9_]")


class CreditCardDetector(PlainDetector):
    """Finds payment card numbers."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every card number, in order of start."""
        if not any(spot.digits >= SHORTEST_CARD for spot in plain.spots):
            return
        done = 0
        windows = group_windows(
            plain.text,
            shortest=SHORTEST_CARD,
            longest=LONGEST_CARD,
            # In more, only the word before the first of all groups can make them a card.
            most_groups=_MOST_GROUPS,
            first_digits=FIRST_DIGITS,
        )
        for groups in windows:
            if groups.start >= done and _is_card(groups, plain.text):
                done = groups.end
                yield plain.hit(groups.start, groups.end)


def _is_card(groups: Groups, text: str) -> bool:
    if len(set(groups.digits)) == 1:
        return False
    in_one_piece = len(groups.lengths) == 1
    if not _ISSUERS.fullmatch(groups.digits):
        return in_one_piece and _is_called_one(groups, text)
    if in_one_piece and _FRACTION.search(text, max(0, groups.start - 2), groups.start):
        return False  # The digits of a decimal fraction.
    if _has_check_digit(groups.digits):
        return len(groups.lengths) <= _MOST_GROUPS or _is_called_one(groups, text)
    return _is_written_or_called_one(groups, text)


def _is_written_or_called_one(groups: Groups, text: str) -> bool:
    before, after = text[groups.start - 1 : groups.start], text[groups.end : groups.end + 1]
    if _JOINED.match(before) or _JOINED.match(after):
        return False
    if len(groups.lengths) == 1:
        return _is_called_one(groups, text)
    return groups.lengths in _CARD_GROUPINGS and len(groups.separators) == 1 and "\n" not in groups.separators


def _is_called_one(groups: Groups, text: str) -> bool:
    return bool(_CUE.search(text, max(0, groups.start - _CUE_CHARACTERS), groups.start))


def _has_check_digit(digits: str) -> bool:
    try:
        return luhn.is_valid(digits)
    except Exception:  # noqa: BLE001  (python-stdnum has raised more than it documents)
        return False


DETECTOR = CreditCardDetector()

__all__ = ["DETECTOR", "CreditCardDetector"]
