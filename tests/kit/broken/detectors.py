"""Detectors that each break one rule, with a conformance class each. Not collected: `test_detector_kit` runs them."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import new_class
from typing import Any, ClassVar

from ringfence.privacy.detector import Hit
from ringfence.testing.kit import DetectorConformance, scanner

scanner.PATIENCE_S = 5.0

NUMBER = re.compile(r"MB-[0-9]{6}")
SPAN = "test_every_hit_is_a_span_of_the_text"
SECRET = "test_no_content_in_errors_logs_and_output"
GROWS = "test_time_grows_with_the_text"


class Whole:
    """Correct."""

    def detect(self, text: str) -> Iterable[Any]:
        return [Hit(*match.span()) for match in NUMBER.finditer(text)]


class Outside(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        return [Hit(0, len(text) + 1)]


class NoHits(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        return [match.span() for match in NUMBER.finditer(text)]


class Endless(Whole):
    def detect(self, text: str) -> Iterator[Any]:
        while True:
            yield Hit(0, 1)


class Unordered(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        return [*super().detect(text)][::-1]


class Blind(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        return [Hit(hit.start, hit.end - 1) for hit in super().detect(text)]


class Eager(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        return [Hit(*match.span()) for match in re.finditer(r"MB-[0-9]{4,6}", text)]


class Encodes(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        text.encode()
        return super().detect(text)


class Remembers(Whole):
    seen: ClassVar[set[str]] = set()

    def detect(self, text: str) -> Iterable[Any]:
        known = text in self.seen
        self.seen.add(text)
        return [] if known else super().detect(text)


class Hashes(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        return super().detect(text) if hash(text) % 2 else []


class Shares(Whole):
    text = ""

    def detect(self, text: str) -> Iterable[Any]:
        self.text = text
        time.sleep(0.0005)
        return super().detect(self.text)


class PreparesLess(Whole):
    @property
    def prepare(self) -> Callable[[str], str]:
        return str.lower

    def detect_prepared(self, prepared: str) -> Iterable[Any]:
        return super().detect(prepared)


class RaisesText(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        if len(text) > 100_000:
            raise ValueError(f"too long: {text[:50]}…")
        return super().detect(text)


class LogsText(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        logging.getLogger("anywhere").debug("scanning %s", text)
        return super().detect(text)


class PrintsWhatItFinds(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        for match in NUMBER.finditer(text):
            sys.stdout.write(match[0])
        return super().detect(text)


class Quadratic(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        re.search("a+b", text)
        return super().detect(text)


class Exponential(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        re.match("(a|a)*$", text)
        return super().detect(text)


class ExponentialInCapitals(Whole):
    pattern = re.compile(r"(?:[A-Z]+[A-Z0-9-]*)*MB-[0-9]{6}")

    def detect(self, text: str) -> Iterable[Any]:
        return [Hit(*match.span()) for match in self.pattern.finditer(text)]


class QuadraticInItsOwn(Whole):
    """In a character that no shape repeats, and the author's example holds."""

    def detect(self, text: str) -> Iterable[Any]:
        re.search(",+;", text)
        return super().detect(text)


class SlowAndSilent(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        ends = time.process_time() + len(text) / 100_000
        while time.process_time() < ends:
            pass
        return super().detect(text)


class EndsTheProcess(Whole):
    def detect(self, text: str) -> Iterable[Any]:
        os._exit(3)


CAUGHT: dict[type[Whole], tuple[str, str]] = {
    Outside: (f"{SPAN}[prose]", "is no span"),
    NoHits: (f"{SPAN}[prose]", "it yields tuple"),
    Endless: (f"{SPAN}[prose]", "more hits than"),
    Unordered: ("test_hits_come_in_order", "before one that starts earlier"),
    Blind: ("test_what_its_author_says_is_found", "text 1 of finds"),
    Eager: ("test_what_its_author_says_is_nothing_is_passed_over", "MB-2045"),
    Encodes: (f"{SPAN}[half a pair]", "UnicodeEncodeError"),
    Remembers: ("test_the_same_text_gives_the_same_hits", "scanned again"),
    Hashes: ("test_another_process_gives_the_same_hits", "PYTHONHASHSEED"),
    Shares: ("test_threads_share_it", "threads"),
    PreparesLess: ("test_what_was_prepared_gives_the_same_hits", "than detect"),
    RaisesText: (f"{SECRET}[very long]", "ValueError"),
    LogsText: (f"{SECRET}[prose]", "log of anywhere"),
    PrintsWhatItFinds: (f"{SECRET}[nothing]", "standard output"),
    Quadratic: (f"{GROWS}[letters]", "not linear"),
    Exponential: (f"{GROWS}[letters]", "did not come back within 5 s"),
    ExponentialInCapitals: (f"{GROWS}[capitals]", "did not come back within 5 s from a text of"),
    QuadraticInItsOwn: (f"{GROWS}[the author's characters]", "not linear"),
    SlowAndSilent: ("test_one_that_takes_long_says_so", "slow = True"),
    EndsTheProcess: (f"{SPAN}[prose]", "ended (exit code 3)"),
}
"""The rule that is meant for each, and words of what it says."""


def _fill(values: Mapping[str, object], body: dict[str, object]) -> None:
    body.update(values)


_ALL: tuple[type[Whole], ...] = (Whole, *CAUGHT)

for _detector in _ALL:
    _name = f"Test{_detector.__name__}"
    _body: dict[str, object] = {
        "__module__": __name__,
        "detector": _detector(),
        "kind": "membership",
        "finds": {"MB-204518, or MB-204519.": ["MB-204518", "MB-204519"]},
        "passes_over": ["MB-2045"],
    }
    globals()[_name] = new_class(_name, (DetectorConformance,), exec_body=partial(_fill, _body))


class TestKnownFault(DetectorConformance):
    """A rule that is broken, and said to be."""

    detector = Encodes()
    kind = "membership"
    xfail: ClassVar[Mapping[str, str]] = {f"{SPAN}[half a pair]": "the model reads UTF-8 alone"}
