"""Secrets: tokens that announce themselves, private keys, credentials in addresses, and values that are called secret.

A token is found by its prefix wherever it stands. A value without one is found by the name it is given (`password:`,
`api_key=`, 密码是): a password by its name alone, a key only if it also looks like chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.privacy.detector import Hit
from ringfence_detectors.plain import PlainText
from ringfence_detectors.secret_families import FAMILIES, Family
from ringfence_detectors.secret_values import looks_like_chance, named_values, stands_for_a_secret
from ringfence_detectors.sharing import PlainDetector

_DIGIT_OR_CAPITAL = re.compile(r"[0-9A-Z]")
_TRAILING = ".-_"

# RFC 7468 and OpenSSH; a key that is cut off before its end is still one.
_KEY_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40})PRIVATE KEY( BLOCK)?-----")
_KEY_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s\\:,]|-(?!----))*")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PUTTY = re.compile(r"Private-Lines: \d{1,4}\r?\n(?:[A-Za-z0-9+/=]{1,80}\r?\n?){1,400}")

_SCHEME_END = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,30}\Z")
_USER_AND_PASSWORD = re.compile(r"([^\s/:@?#\"'<>]{0,200}):([^\s/?#\"'<>]{1,300})@[A-Za-z0-9\[]")
_WEBHOOK = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/|outlook\.office\.com/webhook/)"
    r"([A-Za-z0-9+/_\-@]{20,300})"
)
_TELEGRAM = re.compile(r"(?<![A-Za-z0-9])[0-9]{8,10}:A[A-Za-z0-9_\-]{34}(?![A-Za-z0-9])")
_AZURE_SECRET = re.compile(r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}")
_SHARED_SIGNATURE = re.compile(r"[?&]sig=([A-Za-z0-9%+/=]{20,200})")
_AUTHORIZATION = re.compile(
    r"(?:bearer|basic|authorization:[ ]{0,3}token)[ ]{1,3}([A-Za-z0-9_\-.~+/=]{16,8000})", re.IGNORECASE
)


class SecretDetector(PlainDetector):
    """Finds secrets. Of a named value and of credentials in an address the hit is the secret alone."""

    def detect_prepared(self, plain: PlainText, /) -> Iterator[Hit]:
        """Every secret, in order of start; no two overlap."""
        done = 0
        for start, end in sorted(_spans(plain.text), key=lambda span: (span[0], -span[1])):
            if end > done:
                yield plain.hit(max(start, done), end)
                done = end


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for family in FAMILIES:
        if family.prefix in text:
            yield from _tokens(text, family)
    if "PRIVATE KEY" in text or "Private-Lines" in text:
        yield from _private_keys(text)
    if "://" in text:
        yield from _credentials_in_addresses(text)
    yield from _other_tokens(text)
    yield from named_values(text)


def _tokens(text: str, family: Family) -> Iterator[tuple[int, int]]:
    at = text.find(family.prefix)
    while at >= 0:
        body = at + len(family.prefix)
        run = family.run.match(text, body)
        end = run.end() if run else body
        while end > body and text[end - 1] in _TRAILING:
            end -= 1
        joined = text[at - 1 : at].isascii() and text[at - 1 : at].isalnum() if at else False
        if not joined and end - body >= family.fewest and _DIGIT_OR_CAPITAL.search(text, body, end):
            yield at, end
        # The rest of the run was looked at: another beginning inside it would be a second look.
        at = text.find(family.prefix, max(end, body))


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    done = 0
    for begin in _KEY_BEGIN.finditer(text):
        if begin.start() >= done:
            body = _KEY_BODY.match(text, begin.end())
            done = body.end() if body else begin.end()
            end = _KEY_END.match(text, done)
            done = end.end() if end else done
            yield begin.start(), done
    for match in _PUTTY.finditer(text):
        yield match.span()


def _credentials_in_addresses(text: str) -> Iterator[tuple[int, int]]:
    at = text.find("://")
    while at >= 0:
        match = _USER_AND_PASSWORD.match(text, at + 3)
        if match and _SCHEME_END.search(text, max(0, at - 32), at) and not stands_for_a_secret(match[2]):
            yield match.span(2) if not match[1] else (match.start(1), match.end(2))
        at = text.find("://", at + 3)
    for match in _WEBHOOK.finditer(text):
        yield match.span(1)


def _other_tokens(text: str) -> Iterator[tuple[int, int]]:
    if ":A" in text:
        yield from (match.span() for match in _TELEGRAM.finditer(text))
    if "Q~" in text:
        yield from (match.span() for match in _AZURE_SECRET.finditer(text))
    if "sig=" in text:
        yield from (match.span(1) for match in _SHARED_SIGNATURE.finditer(text))
    for match in _AUTHORIZATION.finditer(text) if _may_authorize(text) else ():
        if looks_like_chance(match[1]):
            yield match.span(1)


def _may_authorize(text: str) -> bool:
    lower = text.lower()
    return "bearer" in lower or "basic" in lower or "authorization" in lower


DETECTOR = SecretDetector()

__all__ = ["DETECTOR", "SecretDetector"]
