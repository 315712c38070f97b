"""A text with its spans replaced. A JSON text stays one: only what its strings and numbers say is replaced."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ringfence.privacy.redaction.spans import Span, merged
from ringfence.request import NO_LABELS

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*', re.DOTALL)
_UNICODE = re.compile(r"\\u[0-9a-fA-F]{4}")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cut:
    """A span that is replaced. `value` is what it says; `bare` is a JSON number, in whose place a string comes."""

    span: Span
    value: str
    bare: bool = False


Shown: TypeAlias = Callable[[Cut], str]
"""What stands in the place of a cut."""


def is_json(text: str) -> bool:
    """Whether `text` is a JSON object or list, whose strings are read by whoever gets it."""
    if text[:1].isspace():
        text = text.lstrip()
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def plain_cuts(text: str, spans: Sequence[Span]) -> list[Cut]:
    """The cuts of a text that is read as it stands; `spans` are in order and apart."""
    return [Cut(span=span, value=text[span.start : span.end]) for span in spans]


def as_read(text: str, spans: Sequence[Span]) -> list[Span]:
    r"""The spans of a JSON text without those that nobody who reads it sees.

    In `\u201canna@example.com` a detector takes the digits of the escape for a part of the address. Where it finds the
    address itself as well, under the escapes, that is what the string says.
    """
    found: dict[tuple[int, int], frozenset[str]] = {}
    for span in spans:
        place = span.start, span.end
        found[place] = found.get(place, NO_LABELS) | span.labels
    return [
        span for span in spans if not span.labels <= found.get((_escape_end(text, span.start), span.end), NO_LABELS)
    ]


def _escape_end(text: str, place: int) -> int:
    r"""Where the `\u201c` ends in the middle of which `place` is; -1 where it is in none."""
    start = text.rfind("\\", max(0, place - len("\\u201")), place)
    escape = _UNICODE.match(text, start) if start >= 0 else None
    if escape is None:
        return -1
    first = start
    while first and text[first - 1] == "\\":
        first -= 1
    # A backslash that is escaped itself begins nothing.
    return -1 if (start - first) % 2 else escape.end()


def json_cuts(text: str, spans: Sequence[Span]) -> list[Cut]:
    """The cuts of a JSON text, each inside one of its strings, or one of its numbers."""
    cuts: list[Cut] = []
    first = 0
    for token in _TOKEN.finditer(text) if spans else ():
        while first < len(spans) and spans[first].end <= token.start():
            first += 1
        if first == len(spans):
            break
        if spans[first].start >= token.end():
            continue
        escapes = _escapes(token)
        for number in range(first, len(spans)):
            if spans[number].start >= token.end():
                break
            cut = _inside(token, spans[number], escapes)
            if cut is None:
                continue
            if cuts and cuts[-1].span.start == cut.span.start:
                # Two spans inside one number.
                cut = replace(cut, span=merged((cuts.pop().span, cut.span))[0])
            cuts.append(cut)
    return cuts


def _escapes(token: re.Match[str]) -> list[tuple[int, int]]:
    """Where the escapes of a string stand, in order: looked for once for all its cuts."""
    if "\\" not in token[0]:
        return []
    return [escape.span() for escape in _ESCAPE.finditer(token.string, token.start() + 1, token.end() - 1)]


def _inside(token: re.Match[str], span: Span, escapes: Sequence[tuple[int, int]]) -> Cut | None:
    if not token[0].startswith('"'):
        return Cut(span=replace(span, start=token.start(), end=token.end()), value=token[0], bare=True)
    start, end = max(span.start, token.start() + 1), min(span.end, token.end() - 1)
    text = token.string
    # An escape is one character to whoever reads the string: it goes whole or stays whole.
    if (around := _around(start, escapes)) is not None:
        start = around[1] if around[1] - around[0] == len("\\n") else around[0]
    if (around := _around(end, escapes)) is not None:
        end = around[1]
    if start >= end:
        return None
    return Cut(span=replace(span, start=start, end=end), value=json.loads(f'"{text[start:end]}"', strict=False))


def _around(place: int, escapes: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The escape in the middle of which `place` is."""
    before = bisect_left(escapes, (place, 0)) - 1
    return escapes[before] if before >= 0 and place < escapes[before][1] else None


def rewritten(text: str, cuts: Sequence[Cut], shown: Shown) -> str:
    """`text` with what `shown` says in the place of each cut."""
    return next(iter(rewritten_parts(text, (len(text),), cuts, shown)))


def rewritten_parts(text: str, ends: Sequence[int], cuts: Sequence[Cut], shown: Shown) -> Iterator[str]:
    """As `rewritten`, for a text that is in parts: what stands for a cut stands in the part in which that begins."""
    began = after = 0
    left = deque(cuts)
    for end in ends:
        out: list[str] = []
        place = max(began, min(after, end))
        while left and left[0].span.start < end:
            cut = left.popleft()
            stands = shown(cut)
            out += [text[place : cut.span.start], f'"{stands}"' if cut.bare else stands]
            after = cut.span.end
            place = min(after, end)
        yield "".join((*out, text[place:end]))
        began = end


__all__ = ["Cut", "Shown", "as_read", "is_json", "json_cuts", "plain_cuts", "rewritten", "rewritten_parts"]
