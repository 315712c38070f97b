"""Detectors over presidio's pattern recognisers. No language model is needed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from ringfence.privacy.detector import Hit
from ringfence_detector_presidio.vendor import patience_s, recognizer

LEAST_SCORE: Final = 0.4
"""Presidio gives less to a pattern that speaks for itself too little, such as nine digits in a row."""


class GaveUp(Exception):
    """Presidio took so long that it may have dropped what it did not find in time."""


class PatternDetector:
    """Finds what the recognisers of these names find. They hold no state of a text, so any thread may use it."""

    slow = True

    def __init__(self, *names: str) -> None:
        self._recognizers = tuple(map(recognizer, names))

    def detect(self, text: str) -> Iterable[Hit]:
        """Every occurrence in `text`, in order of start.

        Raises:
            GaveUp: It was too long in finding them.
        """
        begin_s = _clocks_s()
        found = {
            Hit(one.start, one.end)
            for each in self._recognizers
            for one in each.analyze(text, each.supported_entities, None) or ()
            if one.score >= LEAST_SCORE
        }
        # INVARIANT: fail closed. A pattern that ran out of time finds nothing, which presidio passes for an answer.
        if any(now - begin >= patience_s() for begin, now in zip(begin_s, _clocks_s(), strict=True)):
            raise GaveUp("presidio took too long; try: a shorter text")
        return sorted(found, key=_start)


def _clocks_s() -> tuple[float, float]:
    """Both clocks that the time limit of a pattern might go by."""
    return time.monotonic(), time.process_time()


def _start(hit: Hit) -> tuple[int, int]:
    return hit.start, hit.end


__all__ = ["LEAST_SCORE", "GaveUp", "PatternDetector"]
