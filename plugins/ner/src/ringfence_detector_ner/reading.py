"""A text as the model read it: its words, and how likely each belongs to what."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from ringfence_detector_ner.model import WINDOW_TOKENS, Model, the_model
from ringfence_detector_ner.windows import windows

OVERLAP_TOKENS = 32
# Han, kana and Hangul: the model knows none of them, takes much of it for names, and needs a token for each character.
_UNKNOWN_SCRIPTS = re.compile(
    "[\u2e80-\u2fdf\u3005-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)
LONGEST_TEXT = 100_000
"""Characters. Reading so many takes about ten seconds; a longer text is not read and so counts as not scanned."""


class TextTooLong(Exception):
    """The text is longer than `LONGEST_TEXT`."""


@dataclass(frozen=True, slots=True, repr=False)
class Word:
    """`text[start:end]`, all marks on its last letter included, and how likely each of the model's labels is."""

    start: int
    end: int
    likely: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reading:
    """What the model says of every word of `text`, in order; `labels` are what the probabilities stand for."""

    text: str
    labels: tuple[str, ...]
    words: tuple[Word, ...]


def read(text: str) -> Reading:
    """Reads `text` once, for every detector of a scan.

    Raises:
        ModelMissing: It cannot be read.
        TextTooLong: It would take too long.
    """
    if len(text) > LONGEST_TEXT:
        raise TextTooLong(f"a text of {len(text):,} characters is not read; try: parts of at most {LONGEST_TEXT:,}")
    model, readable = the_model(), _readable(text)
    words = () if not readable or readable.isspace() else tuple(_words(model, readable))
    return Reading(text=text, labels=model.labels, words=words)


def _words(model: Model, text: str) -> Iterator[Word]:
    """The words of `text`: a token that goes on with one makes each of its labels at least as likely."""
    tokens = model.tokens(text)
    judged = zip(tokens.word_ids, tokens.offsets, _judged(model, tokens.ids), strict=True)
    for _, group in groupby(judged, key=itemgetter(0)):
        pieces = list(group)
        start, end = pieces[0][1][0], max(end for _, (_, end), _ in pieces)
        yield Word(start, _with_marks(text, end), tuple(map(max, zip(*(likely for *_, likely in pieces), strict=True))))


def _judged(model: Model, ids: list[int]) -> Iterator[tuple[float, ...]]:
    for window in windows(len(ids), WINDOW_TOKENS, OVERLAP_TOKENS):
        judged = model.judge(ids[window.start : window.end])
        yield from map(tuple, judged[window.first - window.start : window.last - window.start].tolist())


def _readable(text: str) -> str:
    """`text` as the model knows its characters: letters in their plain form, a space for what it cannot read.

    INVARIANT: one character for one, so that offsets are those of the original.
    """
    return text if text.isascii() else "".join(map(_readable_character, text))


def _with_marks(text: str, end: int) -> int:
    """`end`, moved behind the accents and the invisible characters that follow it."""
    while end < len(text) and unicodedata.category(text[end]) in ("Mn", "Mc", "Me", "Cf"):
        end += 1
    return end


@lru_cache(maxsize=4096)
def _readable_character(character: str) -> str:
    # Half of a surrogate pair is no character, and the tokenizer takes none.
    if unicodedata.category(character) in ("So", "Sk", "Co", "Cn", "Cs") or _UNKNOWN_SCRIPTS.match(character):
        return " "
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 else character


__all__ = ["LONGEST_TEXT", "OVERLAP_TOKENS", "Reading", "TextTooLong", "Word", "read"]
