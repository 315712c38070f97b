"""Where in a text something stands that has to be redacted, in the text's own coordinates."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
"""With more values, looking each place up is quicker than looking for each value."""

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
    """Values known before, found wherever they stand, also under JSON escapes. Linear in the text for many values.

    `anywhere` are sought at any length, within words too: those that somebody else could place, such as what was
    restored at the place where a model wrote a placeholder.
    """

    def __init__(self, entries: Iterable[Entry], anywhere: Iterable[Entry] = ()) -> None:
        long: dict[str, Entry] = {}
        self._apart: dict[str, Entry] = {}
        self._short: dict[str, Entry] = {entry.value: entry for entry in anywhere if entry.value.strip()}
        for entry in entries:
            if not entry.value.strip():
                continue
            if len(entry.value) >= DISTINCTIVE:
                long[entry.value] = entry
            elif not entry.whole and len(entry.value) >= _LEAST:
                self._apart[entry.value] = entry
        for value in [value for value in self._short if len(value) >= DISTINCTIVE]:
            entry = self._short.pop(value)
            long[value] = replace(entry, labels=entry.labels | long.get(value, entry).labels)
        self._long = _Prefixes(long)

    def __bool__(self) -> bool:
        return bool(self._long or self._apart or self._short)

    def spans(self, text: str) -> list[Span]:
        """Where they stand in `text`."""
        if not self or not text:
            return []
        forms, _ = unescaped_places(text)
        return [
            Span(start=places(start), end=places(start + len(value)), labels=labels, name=name)
            for form, places in forms
            for start, value, labels, name in self._occurrences(form)
        ]

    def _occurrences(self, text: str) -> Iterator[tuple[int, str, frozenset[str], str]]:
        yield from self._long.occurrences(text)
        for start, entry in _short_ones(text, self._short):
            yield start, entry.value, entry.labels, entry.name
        for start, entry in _short_ones(text, self._apart):
            if _stands_apart(text, start, start + len(entry.value)):
                yield start, entry.value, entry.labels, entry.name


class _Prefixes:
    """Values of `DISTINCTIVE` characters or more. At one place the longest is found, with the labels of all there."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._values = sorted(entries)
        self._heads = {value[:DISTINCTIVE] for value in self._values}
        self._longest = max(map(len, self._values), default=0)
        self._found: dict[str, tuple[frozenset[str], str]] = {}
        self._begins_with: dict[str, str] = {}
        begun: list[str] = []
        for value in self._values:
            while begun and not value.startswith(begun[-1]):
                begun.pop()
            labels, name = entries[value].labels, entries[value].name
            self._begins_with[value] = begun[-1] if begun else ""
            self._found[value] = (labels | self._found[begun[-1]][0] if begun else labels, name)
            begun.append(value)

    def __bool__(self) -> bool:
        return bool(self._values)

    def occurrences(self, text: str) -> Iterator[tuple[int, str, frozenset[str], str]]:
        """Where in `text` one begins: the longest, with its labels and its name."""
        for start in self._starts(text):
            value = self._longest_at(text[start : start + self._longest])
            if value is not None:
                yield start, value, *self._found[value]

    def _starts(self, text: str) -> Iterable[int]:
        heads = self._heads
        if len(heads) > _MANY:
            return (at for at in range(len(text) - DISTINCTIVE + 1) if text[at : at + DISTINCTIVE] in heads)
        return sorted(at for head in heads for at in _everywhere(text, head))

    def _longest_at(self, text: str) -> str | None:
        """The longest value that `text` begins with."""
        while text:
            place = bisect_right(self._values, text)
            if not place:
                return None
            value = self._values[place - 1]
            if text.startswith(value):
                return value
            # Whatever `text` begins with, `value` begins with too.
            text = text[: min(_common(text, value), len(self._begins_with[value]))]
        return None


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _short_ones(text: str, entries: Mapping[str, Entry]) -> Iterator[tuple[int, Entry]]:
    if len(entries) > _MANY:
        for length in {len(value) for value in entries}:
            for start in range(len(text) - length + 1):
                entry = entries.get(text[start : start + length])
                if entry is not None:
                    yield start, entry
        return
    for value, entry in entries.items():
        for start in _everywhere(text, value):
            yield start, entry


def _everywhere(text: str, value: str) -> Iterator[int]:
    start = text.find(value)
    while start >= 0:
        yield start
        start = text.find(value, start + 1)


def _stands_apart(text: str, start: int, end: int) -> bool:
    return not (_LETTER_BEFORE.match(text[start - 1 : start]) or _LETTER_AFTER.match(text[end : end + 1]))


__all__ = ["DISTINCTIVE", "Finder", "Literals", "Span", "merged"]
