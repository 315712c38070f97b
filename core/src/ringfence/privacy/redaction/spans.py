"""Where in a text something stands that has to be redacted, in the text's own coordinates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfence.privacy.material import unescaped_places

if TYPE_CHECKING:
    from ringfence.privacy.labels import Labeller
    from ringfence.privacy.redaction.vault import Entry

DISTINCTIVE = 5
"""A value of so many characters is redacted wherever it stands; a shorter one only where a detector found it, or where
it stands apart from other letters and digits."""

_LEAST = 2
_MANY = 50
"""With more values of one length, looking each place up is quicker than looking for each value."""

_LETTER_BEFORE = re.compile(r"[0-9A-Za-z\u00c0-\u1fff]\Z")
_LETTER_AFTER = re.compile(r"[0-9A-Za-z\u00c0-\u1fff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`text[start:end]` carries `labels`. `name` says what it is, `whole` that it is all of a part."""

    start: int
    end: int
    labels: frozenset[str]
    name: str
    whole: bool = False

    def shifted(self, by: int) -> Span:
        """The same in a text that begins `by` characters earlier."""
        return Span(start=self.start + by, end=self.end + by, labels=self.labels, name=self.name, whole=self.whole)


def merged(spans: Iterable[Span]) -> list[Span]:
    """`spans` in order, those that overlap made one that carries the labels of all."""
    done: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        last = done[-1] if done else None
        if last is None or span.start >= last.end:
            done.append(span)
            continue
        done[-1] = Span(
            start=last.start,
            end=max(last.end, span.end),
            labels=last.labels | span.labels,
            name=last.name,
            whole=last.whole or span.whole,
        )
    return done


class Finder:
    """Finds, in a text and under its JSON escapes, what detectors know as one of `labels`."""

    def __init__(self, labeller: Labeller, labels: frozenset[str]) -> None:
        self._labeller = labeller
        self._labels = labels

    def detected(self, text: str) -> tuple[list[Span], bool]:
        """The hits in `text`, as the labeller finds them; and whether all of it was scanned."""
        found: list[Span] = []
        forms, complete = unescaped_places(text)
        for form, places in forms:
            hits, scanned = self._labeller.hits(form, self._labels)
            complete = complete and scanned
            found += [
                Span(start=places(hit.start), end=places(hit.end), labels=labels, name=kind)
                for hit, kind, labels in hits
            ]
        return found, complete


class Literals:
    """Values known before, found wherever they stand, also under JSON escapes. Linear in the text for many values."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_length: dict[int, dict[str, Entry]] = {}
        for entry in entries:
            length = len(entry.value)
            if entry.value.strip() and (length >= DISTINCTIVE or (not entry.whole and length >= _LEAST)):
                self._by_length.setdefault(length, {})[entry.value] = entry

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def spans(self, text: str) -> list[Span]:
        """Where they stand in `text`."""
        if not self._by_length or not text:
            return []
        forms, _ = unescaped_places(text)
        return [
            Span(start=places(start), end=places(start + len(entry.value)), labels=entry.labels, name=entry.name)
            for form, places in forms
            for start, entry in self._occurrences(form)
        ]

    def _occurrences(self, text: str) -> Iterator[tuple[int, Entry]]:
        for length, entries in self._by_length.items():
            for start, entry in _of_one_length(text, length, entries):
                if length >= DISTINCTIVE or _stands_apart(text, start, start + length):
                    yield start, entry


def _of_one_length(text: str, length: int, entries: dict[str, Entry]) -> Iterator[tuple[int, Entry]]:
    if len(entries) > _MANY:
        for start in range(len(text) - length + 1):
            entry = entries.get(text[start : start + length])
            if entry is not None:
                yield start, entry
        return
    for value, entry in entries.items():
        start = text.find(value)
        while start >= 0:
            yield start, entry
            start = text.find(value, start + 1)


def _stands_apart(text: str, start: int, end: int) -> bool:
    return not (_LETTER_BEFORE.match(text[start - 1 : start]) or _LETTER_AFTER.match(text[end : end + 1]))


__all__ = ["DISTINCTIVE", "Finder", "Literals", "Span", "merged"]
