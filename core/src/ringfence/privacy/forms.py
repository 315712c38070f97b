"""The forms of a text: as it stands, and what it says once the escapes of JSON, HTML and addresses are undone."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import TypeAlias

MAX_ESCAPE_DEPTH = 6
"""How many times over a text may be escaped (JSON inside JSON) and still be scanned."""

_HEX = "[0-9a-fA-F]"
_NEXT_BYTE = f"%[89abAB]{_HEX}"
# Each match is one character to whoever reads it.
_ESCAPE = re.compile(
    rf"\\(?:u([dD][89abAB]{_HEX}{{2}})\\u([dD][c-fC-F]{_HEX}{{2}})"
    rf'|u({_HEX}{{4}})|(["\\/bfnrt])|(?:x({_HEX}{{2}})|u\{{({_HEX}{{1,8}})\}}|U({_HEX}{{8}})))'
    rf"|(%[0-7]{_HEX}|%[cdCD]{_HEX}{_NEXT_BYTE}|%[eE]{_HEX}(?:{_NEXT_BYTE}){{2}}|%[fF][0-7](?:{_NEXT_BYTE}){{3}})"
    rf"|&(?:#0{{0,16}}([0-9]{{1,7}});?|#[xX]0{{0,16}}({_HEX}{{1,6}});?|([A-Za-z][A-Za-z0-9]{{1,31}});)"
)
_SIGNS = ("\\", "%", "&")
_SHORT_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LAST_CODE = 0x10FFFF

Places: TypeAlias = Callable[[int], int]
"""Where a place in a form of a text is in the text itself."""


def unescaped_forms(text: str) -> tuple[list[str], bool]:
    """`text`, then `text` with its escapes undone, once for each depth of escaping; and whether that was all.

    Undone are the escapes of JSON and JavaScript, `%40` and `&#64;`. It works on text that is not, or not yet, valid
    JSON, such as arguments that broke off. False says that something is escaped more than `MAX_ESCAPE_DEPTH` times.
    """
    forms = [text]
    while any(sign in text for sign in _SIGNS):
        plain = _ESCAPE.sub(_unescape, text)
        if plain == text:
            break
        if len(forms) > MAX_ESCAPE_DEPTH:
            return forms, False
        forms.append(plain)
        text = plain
    return forms, True


def unescaped_places(text: str) -> tuple[list[tuple[str, Places]], bool]:
    """As `unescaped_forms`, each form with where its places are in `text`."""
    forms, complete = unescaped_forms(text)
    places: Places = _same
    found: list[tuple[str, Places]] = []
    for depth, form in enumerate(forms):
        if depth:
            places = _Undone(forms[depth - 1], places)
        found.append((form, places))
    return found, complete


def _same(place: int) -> int:
    return place


class _Undone:
    """The places of a form in the text: looked for once one is asked for, since most forms have no hit."""

    __slots__ = ("_before", "_escaped", "_starts")

    def __init__(self, escaped: str, before: Places) -> None:
        self._escaped = escaped
        self._before = before
        self._starts: tuple[list[int], list[int]] | None = None

    def __call__(self, place: int) -> int:
        if self._starts is None:
            self._starts = _runs(self._escaped)
        plain, escaped = self._starts
        run = bisect_right(plain, place) - 1
        return self._before(escaped[run] + place - plain[run])


def _runs(text: str) -> tuple[list[int], list[int]]:
    """Where runs of characters that stand for themselves begin: with the escapes undone, and in `text`."""
    plain, escaped = [0], [0]
    for match in _ESCAPE.finditer(text):
        if _unescape(match) != match[0]:
            plain.append(plain[-1] + match.start() - escaped[-1] + 1)
            escaped.append(match.end())
    return plain, escaped


def _unescape(match: re.Match[str]) -> str:
    """The character that an escape stands for; what stands for none, or for several, is left as it is."""
    number = match.lastindex
    said = match[number] if number else ""
    match number:
        case 4:
            return _SHORT_ESCAPES[said]
        case 2:
            return chr(_code_of_pair(match[1], said))
        case 8:
            return _percent(said)
        case 9:
            return _character(int(said), match[0])
        case 11:
            return _named(said, match[0])
        case _:
            return _character(int(said, 16), match[0])


def _code_of_pair(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00


def _character(code: int, otherwise: str) -> str:
    return chr(code) if code <= _LAST_CODE else otherwise


def _percent(said: str) -> str:
    try:
        return bytes.fromhex(said.replace("%", "")).decode()
    except UnicodeDecodeError:
        return said


def _named(name: str, otherwise: str) -> str:
    from html.entities import html5  # noqa: PLC0415  (only a text with an entity needs it)

    named = html5.get(f"{name};", "")
    return named if len(named) == 1 else otherwise


__all__ = ["MAX_ESCAPE_DEPTH", "Places", "unescaped_forms", "unescaped_places"]
