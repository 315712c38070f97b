"""How well spans that were found agree with spans that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.detector_figures.corpora import Corpus

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One kind on one corpus. What is there counts as found only if its whole length was: the rest would leak."""

    there: int
    found: int
    hits: int
    right: int

    @property
    def precision(self) -> float:
        """The share of hits that touch something that is there."""
        return self.right / self.hits if self.hits else 0.0

    @property
    def recall(self) -> float:
        """The share of what is there that hits cover wholly."""
        return self.found / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def score(corpus: Corpus, kind: str, find: Callable[[str], Spans]) -> Score:
    """`find` on every text of `corpus`."""
    there = found = hits = right = 0
    for sample in corpus.samples:
        wanted, given = sample.spans.get(kind, ()), find(sample.text)
        covered = {place for start, end in given for place in range(start, end)}
        there += len(wanted)
        found += sum(covered.issuperset(range(start, end)) for start, end in wanted)
        hits += len(given)
        right += sum(any(start < last and first < end for first, last in wanted) for start, end in given)
    return Score(there=there, found=found, hits=hits, right=right)


__all__ = ["Score", "Spans", "score"]
