"""The last look at what leaves: a value that was redacted must not be in it, however it is written (invariant 4).

It looks through what a provider might do to a text by mistake: the escapes of JSON and JavaScript, `%40`, `&#64;` and
`+` for a space, nested and mixed, and base64 of all or a part of it, with either alphabet and however its lines are
broken. It does not look through compression, encryption, hexadecimal or octal digits, quoted-printable, UTF-16,
base64 inside base64, or a value that was written otherwise: in other case, other digits, with other spaces.
"""

from __future__ import annotations

import re
import string
from binascii import a2b_base64
from collections.abc import Callable, Collection, Iterable, Iterator

from ringfence.escapes import BACKSLASHED, unescaped_forms

LEAST_CHARACTERS = 5
"""A shorter value stands in too much that is innocent."""

_MANY = 100
"""More values than this are looked for all at once."""

_TO_BASE64 = bytes.maketrans(b"-_", b"+/")
_NO_BASE64 = bytes(set(range(256)) - set(f"{string.ascii_letters}{string.digits}+/-_".encode()))
_ESCAPED_IN_JSON = re.compile(r'[^ -~]|["\\\\/]').search
_GROUP = 4
"""Characters of base64 that are read together."""


def trips(values: Collection[str], *outgoing: bytes) -> bool:
    """Whether any of `values` is in any of `outgoing`, in a form that the tripwire looks through."""
    sought = {form for value in values for form in _sought(value)}
    if not sought:
        return False
    stands = _any_of_many(sought) if len(sought) > _MANY else _any_of_few(sought)
    text = "\n".join(sent.decode("utf-8", "replace") for sent in outgoing)
    forms, _ = unescaped_forms(text)
    plain = forms[-1]
    if "%" in text or "&" in text:
        # What looks like another escape may be what the text says.
        forms += unescaped_forms(text, BACKSLASHED)[0][1:]
    if "+" in text and any(" " in value for value in sought):
        # Some of its spaces may be written so, and others not.
        forms += unescaped_forms(text.replace("+", " "))[0]
    escaped = any(map(_ESCAPED_IN_JSON, sought))
    return any(map(stands, forms)) or any(map(stands, _from_base64(plain, escaped=escaped)))


def _sought(value: str) -> Iterator[str]:
    """The value, and what it says where it is escaped itself; both as in a form, and their bytes as characters."""
    for said in unescaped_forms(value)[0]:
        if len(said) < LEAST_CHARACTERS:
            continue
        for form in {said, said.replace(" ", "+")}:
            yield form
            if not form.isascii():
                yield form.encode("utf-8", "surrogatepass").decode("latin-1")


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


def _from_base64(text: str, *, escaped: bool) -> Iterator[str]:
    """All that `text` says in base64, among what the rest of it would say, which is noise.

    Four characters are three bytes, so what begins at any place is read right at one of four. Whatever is no base64,
    such as the end of a line inside of it, is left out. `escaped` asks for what stands in JSON there, too.
    """
    packed = text.encode("ascii", "ignore").translate(_TO_BASE64, _NO_BASE64) + b"A" * (_GROUP - 1)
    for start in range(_GROUP):
        end = start + (len(packed) - start) // _GROUP * _GROUP
        said = a2b_base64(packed[start:end]).decode("latin-1")
        yield from unescaped_forms(said, BACKSLASHED)[0] if escaped else (said,)


__all__ = ["LEAST_CHARACTERS", "trips"]
