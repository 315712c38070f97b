"""Rules on scanning: the same text gives the same hits, whoever scans it, and whatever was scanned before."""

from __future__ import annotations

from ringfence.testing.kit.detector_subject import DetectorSubject, outcome
from ringfence.testing.kit.expect import expect
from ringfence.testing.kit.scanner import Scanner
from ringfence.testing.kit.texts import TEXTS

_OTHER_SEED = 4711


class TextRules(DetectorSubject):
    """A detector is pure and thread-safe."""

    def _kit_texts(self) -> list[str]:
        return [*TEXTS.values(), *self.finds, f"{TEXTS['every plane']} {self._kit_example()}"]

    def test_the_same_text_gives_the_same_hits(self) -> None:
        """A text gives the same hits again, after other texts too."""
        texts = self._kit_texts()
        first = [self._kit_outcome(text) for text in texts]
        again = [self._kit_outcome(text) for text in reversed(texts)]
        expect(first == again[::-1], "a text that is scanned again gives other hits")

    def test_another_process_gives_the_same_hits(self) -> None:
        """A text gives the same hits in another process, in which sets and hashes have another order."""
        texts = self._kit_texts()
        here = [self._kit_outcome(text) for text in texts]
        other = Scanner(type(self), hash_seed=_OTHER_SEED)
        try:
            there = [outcome(other.scan(text), text) for text in texts]
        finally:
            other.close()
        expect(here == there, "with another PYTHONHASHSEED a text gives other hits")

    def test_threads_share_it(self) -> None:
        """Texts that threads scan at once give the hits that they give one after the other."""
        texts = self._kit_texts() * 4
        outcomes = [self._kit_outcome(text) for text in texts]
        alone = [found if isinstance(found, str) else [list(hit) for hit in found] for found in outcomes]
        expect(self._kit_scanner.together(texts) == alone, "a text gives other hits when threads scan at once")

    def test_what_was_prepared_gives_the_same_hits(self) -> None:
        """`detect_prepared(prepare(text))` finds what `detect(text)` finds."""
        for text in self._kit_texts():
            expect(
                self._kit_outcome(text) == self._kit_outcome(text, prepared=True),
                "detect_prepared finds other things than detect",
            )


__all__ = ["TextRules"]
