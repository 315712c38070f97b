"""Detection takes time linear in the text, whatever the text is."""

from __future__ import annotations

import time

import pytest

from ringfence.privacy.detector import Detector
from ringfence_detectors import credit_card, email, iban, phone

DETECTORS: dict[str, Detector] = {
    "email": email.DETECTOR,
    "phone": phone.DETECTOR,
    "credit_card": credit_card.DETECTOR,
    "iban": iban.DETECTOR,
}
UNITS = {
    "plain": "The committee met on 22 November at 10:30 and spent 1,200 euros. ",
    "chinese": "委员会于2024年11月22日上午10:30开会，花费1200欧元讨论方案。",
    "digits": "4",
    "digits apart": "4 ",
    "groups": "4111 1111 1111 111 ",
    "zeros": "0",
    "dots": "1.",
    "plus": "+",
    "plus digits": "+1 ",
    "at": "@",
    "at words": "a@a",
    "local": "a.",
    "domain": "@a.a.a.a.a",
    "quote": '"@',
    "dashes": "-",
    "brackets": "(((",
    "iban starts": "DE89",
    "iban apart": "D E 8 9 ",
    "azerbaijan": "az21 nabz ",
    "cues": "call tel ",
    "invisible": "4\u200b1",
    "backslash": "\\u0034",
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", DETECTORS)
def test_ten_times_the_text_takes_no_more_than_ten_times_the_time(kind: str, unit: str) -> None:
    """A quadratic detector would need a hundred times; the room is for caches and a clock that is coarse."""
    detector = DETECTORS[kind]
    short, long = (_fastest_s(detector, UNITS[unit] * (size // len(UNITS[unit]))) for size in (2_000, 20_000))
    assert long < 10 * 3 * short + 0.005


def _fastest_s(detector: Detector, text: str) -> float:
    durations_s: list[float] = []
    for _ in range(5):
        begin_s = time.thread_time()  # what this thread computed: other processes do not count
        list(detector.detect(text))
        durations_s.append(time.thread_time() - begin_s)
    return min(durations_s)
