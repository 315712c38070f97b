"""Rules on what a detector finds: spans of the text, in order, and what its author says."""

from __future__ import annotations

import pytest

from ringfence.testing.kit.detector_subject import DetectorSubject
from ringfence.testing.kit.expect import expect
from ringfence.testing.kit.texts import TEXTS


class HitRules(DetectorSubject):
    """A hit is a span of the text that was scanned."""

    def test_what_its_author_says_is_found(self) -> None:
        """All that the author says is in a text is found, from its first character to its last, and nothing else."""
        for number, (text, there) in enumerate(self.finds.items(), start=1):
            found = [text[start:end] for start, end in self._kit_hits(text)]
            expect(found == list(there), f"text {number} of finds: it finds {found!r}, and not {list(there)!r}")

    def test_what_its_author_says_is_nothing_is_passed_over(self) -> None:
        """Nothing is found in a text in which the author says that there is nothing."""
        for text in self.passes_over:
            found = [text[start:end] for start, end in self._kit_hits(text)]
            expect(not found, f"it finds {found!r} in {text!r} of passes_over")

    @pytest.mark.parametrize("case", TEXTS)
    def test_every_hit_is_a_span_of_the_text(self, case: str) -> None:
        """A hit is a `Hit` with 0 ≤ start < end ≤ the length of the text, alone and beside what the author finds."""
        for text in (TEXTS[case], f"{TEXTS[case]}{self._kit_example()}{TEXTS[case]}"):
            self._kit_hits(text)

    def test_hits_come_in_order(self) -> None:
        """Hits come in order of their start."""
        for text in (*TEXTS.values(), f"{self._kit_example()}\n" * 5):
            found = self._kit_outcome(text)
            starts = [] if isinstance(found, str) else [start for start, _ in found]
            expect(starts == sorted(starts), "it yields a hit before one that starts earlier")


__all__ = ["HitRules"]
