"""Detection takes time linear in the text, whatever the text is."""

from __future__ import annotations

import time
from importlib.metadata import entry_points

import pytest

from ringfence.privacy.detection import ENTRY_POINT_GROUP, DetectorSet
from ringfence.privacy.detector import Hit
from ringfence_detectors import plain
from ringfence_detectors.plain import plain_text
from ringfence_detectors.sharing import PlainDetector

OURS = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.module.startswith("ringfence_detectors.")]
KINDS = sorted(point.name for point in OURS)
DETECTORS = DetectorSet()
UNITS = {
    "plain": "The committee met on 22 November at 10:30 and spent 1,200 euros. ",
    "chinese": "委员会于2024年11月22日上午10:30开会，花费1200欧元讨论方案。",
    "digits": "4",
    "digits apart": "4 ",
    "a digit a line": "4\n",
    "groups": "4111 1111 1111 111 ",
    "identity groups": "123-45-678 ",
    "zeros": "0",
    "dots": ".",
    "digits and dots": "1.",
    "plus": "+",
    "plus digits": "+1 ",
    "at": "@",
    "at words": "a@a",
    "local": "a.",
    "domain": "@a.a.a.a.a",
    "quote": '"@',
    "dashes": "-",
    "round brackets": "(((",
    "angle brackets": "<",
    "brackets and digits": "1(",
    "colons": ":",
    "hex and colons": "a1:",
    "iban starts": "DE89",
    "iban apart": "D E 8 9 ",
    "azerbaijan": "az21 nabz ",
    "letters and digits": "a1",
    "capitals": "A",
    "cues": "call tel ",
    "passwords": "password:",
    "quoted passwords": 'password="',
    "tokens": "sk-",
    "web tokens": "eyJ",
    "key beginnings": "-----BEGIN PRIVATE KEY-----",
    "addresses": "://a:",
    "base58": "1B",
    "surnames": "张",
    "names": "张伟",
    "transcribed": "斯·",
    "birthdays": "born 1 ",
    "invisible": "4\u200b1",
    "expanding": "㎝4",
    "backslash": "\\u0034",
}


@pytest.mark.parametrize("unit", UNITS)
def test_ten_times_the_text_takes_no_more_than_ten_times_the_time(unit: str) -> None:
    """A quadratic detector would need a hundred times; the room is for caches, a busy machine and a coarse clock."""
    short, long = (_fastest_s(UNITS[unit] * (size // len(UNITS[unit]))) for size in (2_000, 20_000))
    assert long < 10 * 5 * short + 0.02


def _fastest_s(text: str) -> float:
    durations_s: list[float] = []
    for _ in range(3):
        begin_s = time.thread_time()  # what this thread computed: other processes do not count
        assert not DETECTORS.scan(KINDS, text).failed
        durations_s.append(time.thread_time() - begin_s)
    return min(durations_s)


def test_the_plain_text_is_made_once_for_all_kinds_of_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(text: str) -> list[tuple[int, int]]:
        made.append(text)
        return []

    monkeypatch.setattr(plain, "_spots", counted)
    DETECTORS.scan(KINDS, "call 555-123-4567 now")
    assert len(made) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shares_the_plain_text(kind: str) -> None:
    (point,) = (point for point in OURS if point.name == kind)
    detector = point.load()
    assert isinstance(detector, PlainDetector)
    assert detector.prepare is plain_text


def test_what_is_kept_of_a_text_is_its_offsets_only() -> None:
    assert plain_text("４ 1").hit(0, 3) == Hit(0, 3)
