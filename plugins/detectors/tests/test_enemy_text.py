"""What an enemy of the detectors writes: every character there is, and numbers under disguise."""

from __future__ import annotations

import pytest

from ringfence_detectors import credit_card, email
from ringfence_detectors.digits import group_windows
from ringfence_detectors.plain import _PLAINER, MAX_REMEMBERED_CHARACTERS  # pyright: ignore[reportPrivateUsage]

_SURROGATES = range(0xD800, 0xE000)


def test_a_text_of_every_character_is_scanned_and_not_remembered_for_good() -> None:
    every = "".join(chr(code) for code in range(0x20, 0x110000) if code not in _SURROGATES)
    (hit,) = email.DETECTOR.detect(f"{every[64:]} a@b.io")
    assert hit.end - hit.start == len("a@b.io")
    assert len(_PLAINER) <= MAX_REMEMBERED_CHARACTERS


@pytest.mark.parametrize(
    "between", ["\u200b", "\u00ad", "\u2060", "\ufe0f", "\u00a0", "\u2009", "\u2011", "\u202e", "\u034f", "\0", "_"]
)
def test_a_card_number_is_found_under_what_is_put_between_its_digits(between: str) -> None:
    number = between.join(["4111", "1111", "1111", "1111"])
    hits = list(credit_card.DETECTOR.detect(f"pay with {number} now"))
    assert [(hit.start, hit.end) for hit in hits] == [(9, 9 + len(number))]


@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10", "\U0001d7ce"])
def test_a_card_number_is_found_in_the_digits_of_any_script(zero: str) -> None:
    number = "".join(chr(ord(zero) + int(digit)) for digit in "4111111111111111")
    assert len(list(credit_card.DETECTOR.detect(number))) == 1


@pytest.mark.parametrize("row", ["4 ", "44 ", "00 4 ", "1.", "0_"])
def test_a_long_row_of_digits_is_no_card_and_makes_few_windows(row: str) -> None:
    windows = list(
        group_windows(row * 1_000, shortest=12, longest=19, most_groups=6, first_digits=credit_card.FIRST_DIGITS)
    )
    # Eight begin with the first group; the others are of six groups at most.
    assert len(windows) <= 8 + row.count("44") * 1_000
    assert not list(credit_card.DETECTOR.detect(row * 1_000))


@pytest.mark.parametrize("between", [" ", "_", "-"])
def test_a_card_number_in_single_digits_is_found_behind_its_word(between: str) -> None:
    number = between.join("4111111111111111")
    text = f"card: {number}"
    assert [(hit.start, hit.end) for hit in credit_card.DETECTOR.detect(text)] == [(6, len(text))]
