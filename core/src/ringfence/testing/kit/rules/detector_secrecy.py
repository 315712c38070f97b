"""Rules on what a detector says beside its hits (invariant 7): nothing of the text."""

from __future__ import annotations

import pytest

from ringfence.testing.kit.detector_subject import DetectorSubject
from ringfence.testing.kit.expect import expect
from ringfence.testing.kit.texts import CANARY, TEXTS

LONG = 300_000


class DetectorSecrecyRules(DetectorSubject):
    """No text is repeated, whole or in part."""

    @pytest.mark.parametrize("case", [*TEXTS, "very long"])
    def test_no_content_in_errors_logs_and_output(self, case: str) -> None:
        """Nothing of a text, and nothing that was found, is in an error, its causes, a log, a warning or the output."""
        self._kit_scanner.start()
        length = LONG // 100 if self._kit_scanner.slow else LONG
        text = TEXTS.get(case) if case in TEXTS else "so it goes on " * (length // 14)
        found = [piece for pieces in self.finds.values() for piece in pieces]
        whole = f"{CANARY} {text} {' '.join(self.finds)} {CANARY}"
        told = self._kit_scanner.scan(whole, marks=[CANARY, *found]).told
        expect(not told, f"it repeats the text: {', '.join(sorted(set(told)))}")


__all__ = ["DetectorSecrecyRules"]
