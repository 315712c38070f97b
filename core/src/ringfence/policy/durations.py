"""A span of time as a person writes it, such as 30d: whole seconds."""

from __future__ import annotations

import re
from typing import Final

DURATION: Final = re.compile(r"([0-9]{1,9}) ?([smhdw])")
"""A whole number and one of the letters of seconds, minutes, hours, days and weeks."""
DAY_S: Final = 86_400
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S}


def units_hint(written: str) -> str:
    """` Its units are …`, where `written` begins as a duration does and is none."""
    units = "Its units are s, m, h, d and w: seconds, minutes, hours, days and weeks"
    return f" {units}." if written[:1].isdecimal() else ""


def duration_s(written: str) -> int | None:
    """The seconds of `written`; `None` where it is no duration. It may be 0."""
    found = DURATION.fullmatch(written)
    return None if found is None else int(found[1]) * _UNITS_S[found[2]]
