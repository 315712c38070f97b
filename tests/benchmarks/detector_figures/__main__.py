"""`python -m tests.benchmarks.detector_figures --data FOLDER [--presidio PYTHON]`: figures on public data, as a table.

FOLDER holds what plugins/detectors/README.md lists; what is not there is left out. PYTHON is an interpreter that has
presidio-analyzer, whose pattern recognisers are then measured beside ours on the same texts.

`--read [--spacy MODEL]` measures instead what only a model can find, on the first 60,000 characters of each source: the
kinds of plugins/ner, and beside them presidio with a spaCy model that PYTHON has.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.benchmarks.detector_figures.corpora import Corpus, Sample, corpora, prose
from tests.benchmarks.detector_figures.score import Score, Spans, score
from tests.benchmarks.setting import input_text

from ringfence.privacy.detection import ENTRY_POINT_GROUP, DetectorSet, installed_detectors
from ringfence.privacy.detector import Hit

_CHILD = Path(__file__).with_name("presidio_child.py")
_ROUNDS = 3
_CHARACTERS = 20_000
_READ_CHARACTERS = 60_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.detector_figures", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="where the public data lies")
    parser.add_argument("--presidio", type=Path, metavar="PYTHON", help="an interpreter that has presidio-analyzer")
    parser.add_argument("--read", action="store_true", help="measure what only a model can find, and nothing else")
    parser.add_argument("--spacy", metavar="MODEL", help="a spaCy model that PYTHON has, for --read")
    given = parser.parse_args(arguments)
    table = Table("data", "language", "whose", "kind", "there", "precision", "recall", "F1", "µs per 1,000 characters")
    measured = read_rows(given.data, given.presidio, given.spacy) if given.read else rows(given.data, given.presidio)
    for row in measured:
        table.add_row(*row)
    console = Console(width=140)
    console.print(table)
    if given.read:
        return 0
    for line in (*false_hits(given.data), *costs()):
        console.print(line)
    return 0


def rows(folder: Path, presidio: Path | None) -> Iterator[tuple[str, ...]]:
    """One row for each kind, corpus and finder."""
    detectors = installed_detectors()
    for corpus in corpora(folder):
        for kind in corpus.kinds:
            find = _finder(detectors, kind)
            cost = f"{_us_per_1000(corpus, find):.0f}"
            yield _row(corpus, "ringfence", kind, score(corpus, kind, find), cost)
        if presidio is not None and corpus.language == "English":
            yield from _presidio_rows(corpus, presidio, corpus.kinds)


def read_rows(folder: Path, presidio: Path | None, model: str | None) -> Iterator[tuple[str, ...]]:
    """One row for each kind that is read, corpus and finder; one reading serves all kinds, and its cost is theirs."""
    for corpus in map(_first_part, corpora(folder)):
        begin_s = time.process_time()
        found = {sample.text: installed_detectors().scan(corpus.read, sample.text).hits for sample in corpus.samples}
        cost = f"{(time.process_time() - begin_s) * 1e9 / corpus.characters:.0f} (together)" if corpus.read else ""
        for kind in corpus.read:

            def find(text: str, kind: str = kind, found: Mapping[str, Mapping[str, Sequence[Hit]]] = found) -> Spans:
                return [(hit.start, hit.end) for hit in found[text].get(kind, ())]

            yield _row(corpus, "ringfence", kind, score(corpus, kind, find), cost)
        if corpus.read and presidio is not None and model is not None:
            yield from _presidio_rows(corpus, presidio, corpus.read, model)


def _first_part(corpus: Corpus) -> Corpus:
    lengths = accumulate(len(sample.text) for sample in corpus.samples)
    samples = tuple(sample for sample, total in zip(corpus.samples, lengths, strict=True) if total <= _READ_CHARACTERS)
    marked = tuple(kind for kind in corpus.read if any(sample.spans.get(kind) for sample in samples))
    return replace(corpus, samples=samples, read=marked)


def false_hits(folder: Path) -> Iterator[str]:
    """What every kind of the default set takes for an identifier in prose that holds none."""
    kinds = [kind for kind in _installed_kinds() if kind != "zh_person_name"]
    for name, text in prose(folder):
        hits = installed_detectors().scan(kinds, text).hits
        counted = ", ".join(f"{kind} {len(found)}" for kind, found in hits.items()) or "none"
        yield f"{name}: {len(text):,} characters, {len(kinds)} kinds, hits: {counted}"


def costs() -> Iterator[str]:
    """µs per 1,000 characters of the examples' texts, each kind alone: the plain text is made for it alone too."""
    for name in ("article.txt", "chinese.txt"):
        text = (input_text(name) * (_CHARACTERS // len(input_text(name)) + 1))[:_CHARACTERS]
        corpus = Corpus(name=name, language="", kinds=(), samples=(Sample(text=text, spans={}),))
        used = {kind: _us_per_1000(corpus, _finder(installed_detectors(), kind)) for kind in _installed_kinds()}
        yield f"{name}, µs: " + ", ".join(f"{kind} {cost:.0f}" for kind, cost in sorted(used.items(), key=_by_cost))


def _by_cost(used: tuple[str, float]) -> float:
    return -used[1]


def _installed_kinds() -> list[str]:
    from importlib.metadata import entry_points

    points = entry_points(group=ENTRY_POINT_GROUP)
    return sorted({point.name for point in points if point.module.startswith("ringfence_detectors.")})


def _finder(detectors: DetectorSet, kind: str) -> Callable[[str], Spans]:
    def find(text: str) -> Spans:
        return [(hit.start, hit.end) for hit in detectors.scan((kind,), text).hits.get(kind, ())]

    return find


def _us_per_1000(corpus: Corpus, find: Callable[[str], Spans]) -> float:
    used_s: list[float] = []
    for _ in range(_ROUNDS):
        begin_s = time.process_time()
        for sample in corpus.samples:
            find(sample.text)
        used_s.append(time.process_time() - begin_s)
    return min(used_s) * 1e9 / corpus.characters


def _presidio_rows(corpus: Corpus, python: Path, kinds: Sequence[str], *model: str) -> Iterator[tuple[str, ...]]:
    lines = "\n".join(json.dumps(sample.text) for sample in corpus.samples)
    ran = subprocess.run([python, _CHILD, *model], input=lines, capture_output=True, text=True, check=True)
    *answers, cost = map(json.loads, ran.stdout.splitlines())
    found: Mapping[str, list[tuple[str, int, int]]] = dict(
        zip((sample.text for sample in corpus.samples), answers, strict=True)
    )
    for kind in kinds:

        def find(text: str, kind: str = kind) -> Spans:
            return [(start, end) for one, start, end in found[text] if one == kind]

        yield _row(corpus, "presidio", kind, score(corpus, kind, find), f"{cost:.0f} (together)")


def _row(corpus: Corpus, whose: str, kind: str, scored: Score, cost: str) -> tuple[str, ...]:
    figures = (f"{scored.precision:.2f}", f"{scored.recall:.2f}", f"{scored.f1:.2f}")
    return corpus.name, corpus.language, whose, kind, str(scored.there), *figures, cost


if __name__ == "__main__":
    raise SystemExit(main())
