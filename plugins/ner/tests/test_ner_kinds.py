"""What each kind finds in English text, and that a hit covers it from its first character to its last."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from ringfence.privacy.detection import ENTRY_POINT_GROUP, DetectorSet

OURS = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.module.startswith("ringfence_detector_ner.")]
KINDS = sorted(point.name for point in OURS)
DETECTORS = DetectorSet()

# (kind, text before, what must be found, text after)
FOUND = [
    ("person_name", "My name is ", "Alex Rivera", " and I would like a refund."),
    ("person_name", "Please write to ", "Siobhan O'Brien-Keller", " about it."),
    ("person_name", "PLEASE CALL ", "MARTHA GOMEZ", " TOMORROW"),
    ("person_name", "Please write to ", "Jose\u0301 Mu\u0308ller", " about it."),  # accents as characters of their own
    ("person_name", "Please write to ", "An\u200bna Sch\u00admidt", " about it."),  # characters that nobody sees
    ("person_name", "My name is ", "\U0001d400\U0001d427\U0001d427\U0001d41a Rivera", "."),  # mathematical letters
    ("person_name", "😀🎉 Thanks, ", "Sarah Johnson", "😀"),
    ("person_name", "请联系", "John Smith", "先生，谢谢。"),
    ("street_address", "I live at ", "12 Baker Street, Apt 4, Springfield, IL 62704", " now."),
    ("location", "She moved to ", "Chicago", " last year."),
    ("postal_code", "Ship it to Springfield, IL ", "62704", ", please."),
    ("personal_number", "My driver's license number is ", "D1234567", "."),
    ("personal_number", "My SSN is ", "472-81-0094", "."),
    ("personal_number", "My national ID number is ", "784-1987-1234567-1", "."),
    ("personal_number", "My bank account, routing number ", "021000021", "."),
    ("personal_number", "My bank account number is ", "83649275103", "."),
]


@pytest.mark.parametrize(("kind", "before", "written", "after"), FOUND)
def test_what_a_kind_stands_for_is_covered_wholly(kind: str, before: str, written: str, after: str) -> None:
    text = before + written + after
    hits = DETECTORS.scan([kind], text).hits.get(kind, ())
    assert [text[hit.start : hit.end] for hit in hits] == [written]


def test_every_kind_is_tried() -> None:
    assert {kind for kind, *_ in FOUND} == set(KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t ",
        "😀🎉",
        "How tall is Mount Fuji?",
        "The committee met on Monday and agreed to buy four new chairs.",
        "明天天气多云，请带伞。",
        "请联系王小明，电话",  # it is one, for another detector: the model would take the last word for the name
        "오늘은 날씨가 좋습니다",
    ],
)
def test_a_text_without_a_person_has_none(text: str) -> None:
    scan = DETECTORS.scan(["person_name"], text)
    assert not scan.hits
    assert not scan.failed


def test_a_name_is_found_wherever_it_stands_in_a_long_text() -> None:
    """Windows meet at every few hundred tokens; the name comes at every place, on either side and across."""
    filler = "the committee met again and agreed to buy more chairs for the big hall "
    for place in range(200, 260, 4):
        words = (filler * 40).split()
        words[place:place] = ["said", "Alexander", "Konstantinopoulos", "yesterday"]
        text = " ".join(words)
        hits = DETECTORS.scan(["person_name"], text).hits["person_name"]
        assert "Alexander Konstantinopoulos" in [text[hit.start : hit.end] for hit in hits], place


def test_hits_are_offsets_of_the_original_behind_much_that_is_not_read() -> None:
    text = "𠮷野家😀e\u0301 " * 200 + "My name is Alex Rivera."
    (hit,) = DETECTORS.scan(["person_name"], text).hits["person_name"]
    assert text[hit.start : hit.end] == "Alex Rivera"
