"""E-mail addresses: something before an `@`, and a domain with a dot after it. No list of top-level domains gates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.sharing import PlainDetector

MAX_LOCAL_CHARACTERS = 64
"""RFC 5321, 4.5.3.1.1."""

# Latin, Greek and Cyrillic letters belong to a name; ideographs before a Latin name are the sentence around it.
_LOCAL_END = re.compile(r"[A-Za-z0-9_.!#$%&'*+/=?^`{|}~\u00c0-\u024f\u0370-\u052f-]+\Z")
_WORD_END = re.compile(r"[\w.+-]+\Z")
_QUOTED_END = re.compile(r'"[^"\n]+"\Z')
_DOMAIN = re.compile(
    r"(?:[a-z0-9\u00c0-\u024f](?:[a-z0-9\u00c0-\u024f-]{0,61}[a-z0-9\u00c0-\u024f])?\.){1,10}"
    r"(?:xn--[a-z0-9-]{2,59}|[a-z]{2,24})",
    re.IGNORECASE,
)
_ANY_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W\d_]{2,24}")
_ADDRESS_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9a-f:.]{2,45})\]", re.IGNORECASE)


class EmailDetector(PlainDetector):
    """Finds e-mail addresses, quoted local parts and address literals included."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every address, in order of start."""
        if "@" in plain.text:
            yield from _addresses(plain)


def _addresses(plain: PlainText) -> Iterator[Hit]:
    text = plain.text
    done = 0
    at = text.find("@")
    while at >= 0:
        start, end = _local_start(text, at, done), _domain_end(text, at + 1)
        if start < at and end > at + 1:
            yield plain.hit(start, end)
            done = end
        at = text.find("@", at + 1)


def _local_start(text: str, at: int, done: int) -> int:
    """Where the local part begins that ends before `at`; `at` if there is none."""
    before = text[max(done, at - MAX_LOCAL_CHARACTERS) : at]
    match = (_QUOTED_END if before.endswith('"') else _LOCAL_END).search(before) or _WORD_END.search(before)
    if match is None:
        return at
    local = match[0]
    stripped = local.lstrip("./=?&'*`{|}~!#$%^")
    return at - len(stripped) if stripped and not stripped.endswith(".") else at


def _domain_end(text: str, start: int) -> int:
    """Where the domain ends that begins at `start`; `start` if there is none."""
    match = _DOMAIN.match(text, start) or _ADDRESS_LITERAL.match(text, start) or _ANY_DOMAIN.match(text, start)
    return match.end() if match else start


DETECTOR = EmailDetector()

__all__ = ["DETECTOR", "EmailDetector"]
