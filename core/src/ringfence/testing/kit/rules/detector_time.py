"""Rules on time: it grows with the text and no faster, and a detector that takes long says so."""

from __future__ import annotations

import pytest

from ringfence.testing.kit.detector_subject import DetectorSubject, outcome
from ringfence.testing.kit.expect import expect
from ringfence.testing.kit.scanner import BRIEF_PATIENCE_S
from ringfence.testing.kit.texts import CHARACTERS, EXAMPLE, HALF_EXAMPLE, SHAPES, TEXTS, long_text, pieces

BRIEF = (20, 30, 40)
"""Characters of the texts that come first: they stop a detector whose time doubles with some characters."""

SMALL, LARGE = 2_000, 16_000
SLOW_SMALL, SLOW_LARGE = 500, 4_000
"""Characters of the two texts that are compared; fewer for a detector that says that it is slow."""

MOST_GROWTH = 24.0
"""How much longer the large text may take, which is 8 times as long: a pattern that tries all again takes 64 times."""

NEVER_MIND_S = 0.05
"""CPU time for the large text from which on it is looked at: below it, what is measured is the machine."""

MOST_S = 0.005
"""CPU time for 1,000 characters of prose, five times what the interface names, from which on a detector is slow."""


class TimeRules(DetectorSubject):
    """A detector is linear in the length of the text."""

    @pytest.mark.parametrize("shape", [*SHAPES, EXAMPLE, HALF_EXAMPLE, CHARACTERS])
    def test_time_grows_with_the_text(self, shape: str) -> None:
        """A text that is 8 times as long takes about 8 times as long, whatever it repeats."""
        self._kit_time_s(self._kit_example())  # what is loaded once is loaded
        for piece in pieces(shape, self._kit_examples()):
            for length in BRIEF:
                self._kit_time_s(long_text(piece, length), within_s=BRIEF_PATIENCE_S)
            # What is slow takes long for as many texts as there are characters.
            if not (self._kit_scanner.slow and shape == CHARACTERS):
                self._kit_expect_linear(shape, piece)

    def _kit_expect_linear(self, shape: str, piece: str) -> None:
        lengths = (SLOW_SMALL, SLOW_LARGE) if self._kit_scanner.slow else (SMALL, LARGE)
        small_s, large_s = (self._kit_time_s(long_text(piece, length)) for length in lengths)
        expect(
            large_s <= max(NEVER_MIND_S, MOST_GROWTH * small_s),
            f"{lengths[1]:,} characters of {shape} take {large_s:.2f} s, {lengths[0]:,} take {small_s:.3f} s: "
            "it is not linear in the length of the text",
        )

    def test_one_that_takes_long_says_so(self) -> None:
        """A detector that takes more than some milliseconds for 1,000 characters has `slow = True`."""
        text = (TEXTS["prose"] * 20)[:4_000]
        self._kit_time_s(text[:100])  # what is made once is made
        if not self._kit_scanner.slow:
            # The best of some: another process may have had the machine.
            best_s = min(self._kit_time_s(f"{number}{text}") for number in range(5)) / 4
            expect(best_s <= MOST_S, f"1,000 characters take {1_000 * best_s:.0f} ms: slow = True lets an app go on")

    def _kit_time_s(self, text: str, *, within_s: float | None = None) -> float:
        scanned = self._kit_scanner.scan(text, within_s=within_s)
        outcome(scanned, text)
        return scanned.took_s


__all__ = ["TimeRules"]
