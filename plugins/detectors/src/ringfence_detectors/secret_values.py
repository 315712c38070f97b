"""Values that are called secret: `password:`, `api_key=`, 密码是. A key must look random too, a password need not."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_PASSWORD_NAMES = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "passwort", "kennwort", "contraseña", "mot de passe"),
    *("wachtwoord", "senha", "密码", "口令", "密碼", "パスワード", "пароль"),
)
_KEY_NAMES = (
    *("secret", "token", "apikey", "api_key", "api-key", "api key", "access_key", "accesskey", "access key"),
    *("auth_key", "private_key", "account_key", "accountkey", "sharedaccesskey", "encryption_key", "signing_key"),
    *("client_key", "credential", "密钥", "令牌"),
)
_NAME_GOES_ON = re.compile(r"[A-Za-z0-9_\-.]{0,24}[\"'`*\])]{0,3}[ \t]{0,4}")
_GIVES = re.compile(
    r"(?P<sign>(?::=|=>|==|=|:(?!//))[ \t]{0,4})"
    r"|(?:is|ist|est|es|was)[ \t]{1,2}:?[ \t]{0,2}|[是为][ \t]{0,2}:?[ \t]{0,2}",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"\"([^\"\n]{1,4000})\"|'([^'\n]{1,4000})'|`([^`\n]{1,4000})`"
    r"|(?P<bare>[^\s\"'`,;，。；、<>(){}\[\]\u3000-\u303f\u4e00-\u9fff]{1,4000})"
)
_STANDS_FOR_ONE = re.compile(
    r"(?:true|false|none|null|nil|undefined|required|optional|string|str|example|n/a|secret|password|token"
    r"|your[_\- ].*|xxx+|\*+|\.+|-+|<.*|\$.*|%.*|\{.*|env[:(.].*|file:.*|os\.(?:environ|getenv).*|process\.env.*"
    r"|[a-z_]+\(.*|self\..*|config\..*)",
    re.IGNORECASE,
)
_CLAUSE_ENDS = re.compile(r"[ \t]*(?:\Z|[\r\n,;，；。])")
_UNLIKE_A_WORD = re.compile(r"[^A-Za-z\u00c0-\u024f.!?:]")
_DIGIT = re.compile(r"[0-9]")
_LETTER = re.compile(r"[A-Za-z]")
_ENDS_OF_SENTENCES = ".!?:"
_SHORTEST_PASSWORD = 4
_SHORTEST_KEY = 12
_LEAST_BITS = 3.0
_CHARACTERS_WEIGHED = 200


@dataclass(frozen=True, slots=True, repr=False)
class _Value:
    """`text[start:end]` and how it is given: with a sign such as ":" or in words, in quotes or bare."""

    text: str
    start: int
    end: int
    with_sign: bool
    in_quotes: bool

    @property
    def written(self) -> str:
        return self.text[self.start : self.end]


def named_values(text: str) -> Iterator[tuple[int, int]]:
    """Where the values of passwords and keys stand, by name; the name is not part of it."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = text  # Offsets must be those of `text`; a capital İ alone changes the length.
    for names, is_secret in ((_PASSWORD_NAMES, _is_password), (_KEY_NAMES, _is_key)):
        for name in names:
            at = lower.find(name)
            while at >= 0:
                after = at + len(name)
                value = _value_after(text, after)
                if value is not None and is_secret(value):
                    yield value.start, value.end
                    after = value.end
                at = lower.find(name, after)


def stands_for_a_secret(value: str) -> bool:
    """Whether `value` only says where a secret would stand: a variable, a placeholder, asterisks."""
    return bool(_STANDS_FOR_ONE.fullmatch(value))


def looks_like_chance(value: str) -> bool:
    """Digits among letters, and at least three bits a character: neither a name of something nor a sentence."""
    if " " in value or not _DIGIT.search(value) or not _LETTER.search(value):
        return False
    weighed = value[:_CHARACTERS_WEIGHED]
    shares = [count / len(weighed) for count in Counter(weighed).values()]
    return -sum(share * math.log2(share) for share in shares) >= _LEAST_BITS


def _value_after(text: str, at: int) -> _Value | None:
    """What is given for the name that ends before `at`."""
    name = _NAME_GOES_ON.match(text, at)
    gives = _GIVES.match(text, name.end()) if name else None
    value = _VALUE.match(text, gives.end()) if gives else None
    if gives is None or value is None or value.lastindex is None:
        return None
    start, end = value.span(value.lastindex)
    in_quotes = value["bare"] is None
    while not in_quotes and end > start and text[end - 1] in _ENDS_OF_SENTENCES:
        end -= 1
    return _Value(text, start, end, with_sign=gives["sign"] is not None, in_quotes=in_quotes)


def _is_password(value: _Value) -> bool:
    written = value.written
    if len(written) < _SHORTEST_PASSWORD or stands_for_a_secret(written):
        return False
    if _UNLIKE_A_WORD.search(written) or not (written.islower() or written.istitle()):
        return True
    return value.with_sign and (value.in_quotes or bool(_CLAUSE_ENDS.match(value.text, value.end)))


def _is_key(value: _Value) -> bool:
    written = value.written
    return len(written) >= _SHORTEST_KEY and not stands_for_a_secret(written) and looks_like_chance(written)


__all__ = ["looks_like_chance", "named_values", "stands_for_a_secret"]
