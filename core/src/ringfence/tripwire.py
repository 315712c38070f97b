"""The last look at what leaves: a value that was redacted must not be in it, however it is written (invariant 4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import unquote_to_bytes

LEAST_CHARACTERS = 5
"""A shorter value stands in too much that is innocent."""

_MANY = 100
"""More values than this are looked for all at once."""

_DEPTH = 6
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def trips(values: Collection[str], *outgoing: bytes) -> bool:
    """Whether any of `values` is in any of `outgoing`: as it is, in JSON with or without escapes, or URL-quoted."""
    sought = [value for value in values if len(value) >= LEAST_CHARACTERS]
    if not sought:
        return False
    stands = _any_of_many(sought) if len(sought) > _MANY else _any_of_few(sought)
    return any(stands(form) for sent in outgoing for form in _forms(sent))


def _any_of_few(values: Collection[str]) -> Callable[[str], bool]:
    """Whether any of a few values is in a text."""
    return lambda text: any(value in text for value in values)


def _any_of_many(values: Iterable[str]) -> Callable[[str], bool]:
    """Whether any of many values is in a text: one pass over it, however many there are."""
    by_beginning: dict[str, list[str]] = {}
    for value in values:
        by_beginning.setdefault(value[:LEAST_CHARACTERS], []).append(value)
    # With values that begin alike, the ones of a length are looked up at once.
    lengths = {
        beginning: {length: {v for v in ours if len(v) == length} for length in set(map(len, ours))}
        for beginning, ours in by_beginning.items()
    }

    def stands(text: str) -> bool:
        for start in range(len(text) - LEAST_CHARACTERS + 1):
            ours = lengths.get(text[start : start + LEAST_CHARACTERS])
            if ours and any(text[start : start + length] in same for length, same in ours.items()):
                return True
        return False

    return stands


def _forms(sent: bytes) -> Iterator[str]:
    yield from _unescaped(sent.decode("utf-8", "replace"))
    if b"%" in sent or b"+" in sent:
        yield from _unescaped(unquote_to_bytes(sent.replace(b"+", b" ")).decode("utf-8", "replace"))


def _unescaped(text: str) -> Iterator[str]:
    yield text
    for _ in range(_DEPTH):
        if "\\" not in text:
            return
        plain = _ESCAPE.sub(_plain, text)
        if plain == text:
            return
        text = plain if plain.isascii() else _joined(plain)
        yield text


def _plain(match: re.Match[str]) -> str:
    code, short = match.groups()
    return chr(int(code, 16)) if code else _SHORT.get(short, short)


def _joined(text: str) -> str:
    """`text` with the pairs that two escapes spelt joined to the characters they mean."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


__all__ = ["LEAST_CHARACTERS", "trips"]
