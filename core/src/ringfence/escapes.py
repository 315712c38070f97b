"""What the escapes of JSON, JavaScript, HTML and addresses stand for, at any depth of escaping."""

from __future__ import annotations

import re

MAX_ESCAPE_DEPTH = 6
"""How many times over a text may be escaped (JSON inside JSON) and still be read."""

_HEX = "[0-9a-fA-F]"
_NEXT_BYTE = f"%[89abAB]{_HEX}"
_BACKSLASH = (
    rf"\\(?:u([dD][89abAB]{_HEX}{{2}})\\u([dD][c-fC-F]{_HEX}{{2}})"
    rf"|u({_HEX}{{4}})|([\"'\\/bfnrt])|(?:x({_HEX}{{2}})|u\{{({_HEX}{{1,8}})\}}|U({_HEX}{{8}})))"
)
_PERCENT = rf"%([0-7]{_HEX}|[cdCD]{_HEX}{_NEXT_BYTE}|[eE]{_HEX}(?:{_NEXT_BYTE}){{2}}|[fF][0-7](?:{_NEXT_BYTE}){{3}})"
_ENTITY = rf"&(?:#0{{0,16}}([0-9]{{1,7}});?|#[xX]0{{0,16}}({_HEX}{{1,6}});?|([A-Za-z][A-Za-z0-9]{{1,31}});)"

# Each match is one character to whoever reads it. Three literals at the beginning are what makes the search quick.
ESCAPE = re.compile(f"{_BACKSLASH}|{_PERCENT}|{_ENTITY}")
BACKSLASHED = re.compile(_BACKSLASH)
"""Only the escapes of JSON and JavaScript, for a text in which `%` and `&` mean themselves."""

_SIGNS = ("\\", "%", "&")
_SHORT_ESCAPES = {sign: sign for sign in "\"'\\/"} | {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LAST_CODE = 0x10FFFF


def unescaped_forms(text: str, escapes: re.Pattern[str] = ESCAPE) -> tuple[list[str], bool]:
    """`text`, then `text` with its escapes undone, once for each depth of escaping; and whether that was all.

    Undone are the escapes of JSON and JavaScript, `%40` and `&#64;`. It works on text that is not, or not yet, valid
    JSON, such as arguments that broke off. False says that something is escaped more than `MAX_ESCAPE_DEPTH` times.
    """
    forms = [text]
    while any(sign in text for sign in _SIGNS):
        plain = escapes.sub(meant, text)
        if plain == text:
            break
        if len(forms) > MAX_ESCAPE_DEPTH:
            return forms, False
        forms.append(plain)
        text = plain
    return forms, True


def meant(match: re.Match[str]) -> str:
    """The character that an escape stands for; what stands for none, or for several, is left as it is."""
    number = match.lastindex
    said = match[number] if number else ""
    match number:
        case 4:
            return _SHORT_ESCAPES[said]
        case 2:
            return chr(_code_of_pair(match[1], said))
        case 8:
            return _percent(said, match[0])
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


def _percent(said: str, otherwise: str) -> str:
    try:
        return bytes.fromhex(said.replace("%", "")).decode()
    except UnicodeDecodeError:
        return otherwise


def _named(name: str, otherwise: str) -> str:
    from html.entities import html5  # noqa: PLC0415  (only a text with an entity needs it)

    named = html5.get(f"{name};", "")
    return named if len(named) == 1 else otherwise


__all__ = ["BACKSLASHED", "ESCAPE", "MAX_ESCAPE_DEPTH", "meant", "unescaped_forms"]
