"""Words that say what the number beside them is."""

from __future__ import annotations

import re

BEFORE_CHARACTERS = 48
AFTER_CHARACTERS = 16
NO_WORDS = re.compile(r"(?!)")
"""For a kind that no word speaks for."""

_ANOTHER_NUMBER = re.compile(r"[0-9]{5}|\n\s*\n")
_ENDS_AFTER = re.compile(r"[0-9;\n]|[.。；]\s")


def any_word(*words: str) -> re.Pattern[str]:
    """Any of `words` in any case; in Latin letters only where no other letter touches it. A space fits a dash too."""
    return re.compile("|".join(map(_word, words)), re.IGNORECASE)


def _word(word: str) -> str:
    escaped = re.escape(word).replace(r"\ ", r"[\s_\-]{0,2}").replace(r"\-", r"[\s_\-]{0,2}")
    return rf"(?<![A-Za-z]){escaped}(?![A-Za-z])" if word[-1:].isascii() else escaped


def stands_beside(words: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Whether one of `words` stands shortly before `text[start:end]`, or closely behind it, and speaks of it."""
    before = text[max(0, start - BEFORE_CHARACTERS) : start]
    others = [other.end() for other in _ANOTHER_NUMBER.finditer(before)]
    if words.search(before, others[-1] if others else 0):
        return True
    after = text[end : end + AFTER_CHARACTERS]
    ends = _ENDS_AFTER.search(after)
    return bool(words.search(after, 0, ends.start() if ends else len(after)))


__all__ = ["NO_WORDS", "any_word", "stands_beside"]
