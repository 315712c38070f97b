"""The detectors, one a kind: which labels of the model make it, and what may stand between the words of one hit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.privacy.detector import Hit
from ringfence_detector_ner.model import require_model
from ringfence_detector_ner.reading import Reading, Word, read

THRESHOLD: Final = 0.5
"""From which probability on a word counts: that of all labels of a kind together."""

_WITHIN_NAMES = re.compile(r"[ \t.'’\-‐‑]{0,3}")
_WITHIN_ADDRESSES = re.compile(r"[\s,.#/\-‐‑]{0,4}")
_WITHIN_NUMBERS = re.compile(r"[ \t./\-‐‑]{0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDetector:
    """Finds runs of words whose `labels` are likely. Holds no state, so any thread may use it.

    `also` are labels that continue a run but do not make one: a city belongs to the address before it.

    INVARIANT: a hit covers whole words.
    """

    labels: frozenset[str]
    within: re.Pattern[str]
    also: frozenset[str] = frozenset()

    @property
    def slow(self) -> bool:
        """A model reads the text: about a tenth of a second for 1,000 characters."""
        return True

    @property
    def prepare(self) -> Callable[[str], Reading]:
        """The same for all of them, so that a scan reads a text once."""
        return read

    def detect(self, text: str) -> Iterable[Hit]:
        """Every occurrence in `text`, in order of start."""
        return self.detect_prepared(read(text))

    def detect_prepared(self, reading: Reading) -> Iterator[Hit]:
        """Every occurrence in the text that was read, in order of start."""
        making = _columns(reading, self.labels)
        every = making + _columns(reading, self.also)
        for run in self._runs(reading.text, (word for word in reading.words if _sum(word, every) >= THRESHOLD)):
            if any(_sum(word, making) >= THRESHOLD for word in run):
                yield Hit(run[0].start, run[-1].end)

    def _runs(self, text: str, words: Iterable[Word]) -> Iterator[list[Word]]:
        run: list[Word] = []
        for word in words:
            if run and not self.within.fullmatch(text, run[-1].end, word.start):
                yield run
                run = []
            run.append(word)
        if run:
            yield run


def _columns(reading: Reading, labels: frozenset[str]) -> tuple[int, ...]:
    return tuple(number for number, label in enumerate(reading.labels) if label in labels)


def _sum(word: Word, columns: tuple[int, ...]) -> float:
    return sum(word.likely[column] for column in columns)


# A detector that cannot be loaded has failed, and `ringfence doctor` says so before a request needs it.
require_model()

PERSON_NAME = ReadingDetector(labels=frozenset({"GIVEN_NAME", "SURNAME"}), within=_WITHIN_NAMES)
STREET_ADDRESS = ReadingDetector(
    labels=frozenset({"BUILDING_NUMBER", "STREET_NAME", "SECONDARY_ADDRESS"}),
    also=frozenset({"CITY", "STATE", "ZIP_CODE"}),
    within=_WITHIN_ADDRESSES,
)
LOCATION = ReadingDetector(labels=frozenset({"CITY", "STATE"}), within=_WITHIN_ADDRESSES)
POSTAL_CODE = ReadingDetector(labels=frozenset({"ZIP_CODE"}), within=_WITHIN_NUMBERS)
# That a number is somebody's the model knows well, of which sort it is badly, so the sorts are one kind.
PERSONAL_NUMBER = ReadingDetector(
    labels=frozenset({"TAX_ID", "GOVERNMENT_ID", "PASSPORT", "DRIVERS_LICENSE", "BANK_ACCOUNT", "ROUTING_NUMBER"}),
    within=_WITHIN_NUMBERS,
)

__all__ = [
    "LOCATION",
    "PERSONAL_NUMBER",
    "PERSON_NAME",
    "POSTAL_CODE",
    "STREET_ADDRESS",
    "THRESHOLD",
    "ReadingDetector",
]
