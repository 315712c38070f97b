"""The texts of a request that redaction rewrites, each with where it comes from and what has to go."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from ringfence.privacy.redaction.rewriting import (
    Cut,
    Shown,
    as_read,
    json_cuts,
    plain_cuts,
    rewritten,
    rewritten_parts,
)
from ringfence.privacy.redaction.spans import Span, merged
from ringfence.request import NO_LABELS

if TYPE_CHECKING:
    from ringfence.privacy.redaction.spans import Finder


@dataclass(slots=True, repr=False)
class Slot:
    """One text, or several that a model reads on as one (`ends` says where each ends), with the spans found there.

    `json` says that whoever reads it reads the strings of a JSON text. `hits` are the labels that detectors found in
    each text, read alone.
    """

    text: str
    ends: tuple[int, ...]
    json: bool = False
    spans: list[Span] = field(default_factory=list[Span])
    complete: bool = True
    hits: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    _labels: dict[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])
    _whole: set[int] = field(default_factory=set[int])

    @classmethod
    def of(cls, *texts: str, json: bool = False) -> Slot:
        """The slot of `texts`."""
        return cls("".join(texts), tuple(accumulate(map(len, texts))), json)

    def scan(self, finder: Finder) -> None:
        """Finds the hits in each text, and those in no single text but across several."""
        found, self.complete = finder.detected(self.text)
        self.add(as_read(self.text, found) if self.json else found)
        if len(self.ends) == 1:
            self.hits = [_labels_of(found)]
            return
        for start, end in zip((0, *self.ends), self.ends, strict=False):
            found, complete = finder.detected(self.text[start:end])
            self.complete = self.complete and complete
            self.add(span.shifted(start) for span in found)
            self.hits.append(_labels_of(found))

    def add(self, spans: Iterable[Span]) -> None:
        """Takes more of what has to go."""
        for span in spans:
            self.spans.append(span)
            place = bisect_right(self.ends, span.start)
            while place < len(self.ends) and self._bounds(place)[0] < span.end:
                self._labels[place] = self.labels(place) | span.labels
                place += 1

    def labels(self, place: int = 0) -> frozenset[str]:
        """The labels of the spans in the text at `place`."""
        return self._labels.get(place, NO_LABELS)

    def take_whole(self, place: int, labels: frozenset[str], name: str) -> None:
        """Redacts all of the text at `place`."""
        start, end = self._bounds(place)
        if start < end:
            self.add([Span(start=start, end=end, labels=labels, name=name, whole=True)])
            self._whole.add(place)

    def is_whole(self, place: int) -> bool:
        """Whether all of the text at `place` is redacted as one."""
        return place in self._whole

    def cuts(self) -> list[Cut]:
        """What is replaced, in order."""
        spans = merged(self.spans)
        return json_cuts(self.text, spans) if self.json else plain_cuts(self.text, spans)

    def rewritten(self, shown: Shown) -> list[str]:
        """The texts with what `shown` says in the place of each cut."""
        if not self.spans:
            return [self.text[start:end] for start, end in zip((0, *self.ends), self.ends, strict=False)]
        if len(self.ends) == 1:
            return [rewritten(self.text, self.cuts(), shown)]
        return list(rewritten_parts(self.text, self.ends, self.cuts(), shown))

    def _bounds(self, place: int) -> tuple[int, int]:
        return (self.ends[place - 1] if place else 0), self.ends[place]


def _labels_of(spans: Iterable[Span]) -> frozenset[str]:
    return NO_LABELS.union(*(span.labels for span in spans))


__all__ = ["Slot"]
