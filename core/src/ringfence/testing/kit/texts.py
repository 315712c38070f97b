"""What the kit shows a detector: text as people write it, text as nobody does, and text that is long."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence

CANARY = "kit-canary-5b2e9d"
"""A word by which the kit knows a text again wherever it turns up."""

_SEED = 20_260
_LENGTH = 400
_MOST_CHARACTERS = 64
_SURROGATES = range(0xD800, 0xE000)


def _drawn(*ranges: range) -> str:
    """A text of characters of these ranges, the same in every run."""
    chance = random.Random(_SEED)  # noqa: S311  (no secret: a text for a test)
    return "".join(chr(chance.choice(chance.choice(ranges))) for _ in range(_LENGTH))


TEXTS: Mapping[str, str] = {
    "nothing": "",
    "one letter": "a",
    "prose": "Dear Anna, the meeting moves to Tuesday, 14:30. Bring the 12 copies of the plan, please.\n" * 3,
    "ascii": _drawn(range(0x20, 0x7F)),
    "digits": _drawn(range(0x30, 0x3A), range(0x20, 0x30)),
    "controls": _drawn(range(0x20), range(0x7F, 0xA0)),
    "white space": " \t\r\n\v\f\x1c\x85\xa0\u2003\u2028\u2029\u3000" * 10,
    "digits of other scripts": _drawn(range(0x660, 0x66A), range(0x966, 0x970), range(0xFF10, 0xFF1A)),
    "marks that combine": _drawn(range(0x61, 0x7B), range(0x300, 0x370)),
    "marks that nobody sees": _drawn(
        range(0x200B, 0x2010), range(0x2060, 0x2065), range(0xFE00, 0xFE10), range(48, 58)
    ),
    "right to left": _drawn(range(0x5D0, 0x5EB), range(0x621, 0x64B), range(0x202A, 0x202F)),
    "chinese and korean": _drawn(range(0x4E00, 0xA000), range(0xAC00, 0xD7A4), range(0x3000, 0x3040)),
    "letters that grow": "\N{LATIN SMALL LETTER SHARP S}\u0130\ufb03\u0149\u1e9e" * 80,
    "emoji": _drawn(range(0x1F300, 0x1FAFF), range(0x200D, 0x200E), range(0x1F3FB, 0x1F400)),
    "half a pair": _drawn(_SURROGATES, range(0x61, 0x7B)),
    "private use": _drawn(range(0xE000, 0xF900), range(0x10FF00, sys.maxunicode + 1)),
    "every plane": _drawn(range(0xD800), range(0xE000, sys.maxunicode + 1)),
}
"""Texts of all kinds of characters, by name."""

SHAPES: Mapping[str, str] = {
    "letters": "a",
    "capitals": "A",
    "digits": "1",
    "spaces": " ",
    "lines": "\n",
    "dots": ".",
    "hyphens": "-",
    "underscores": "_",
    "at signs": "a@",
    "letters and digits": "a1",
    "capitals and digits": "A1",
    "capitals and hyphens": "A-",
    "digits and spaces": "1 ",
    "brackets": "(",
    "words": "lorem ",
    "pairs": "key: value, ",
}
"""What a long text may repeat, by name: patterns that try much again do it on one of these."""

EXAMPLE = "the author's example"
HALF_EXAMPLE = "half of the author's example"
CHARACTERS = "the author's characters"
"""Shapes that are made of what the author gives."""


def pieces(shape: str, examples: Sequence[str]) -> Sequence[str]:
    """What long texts of one shape repeat, each a text of its own; the first of `examples` is the author's example."""
    example = examples[0]
    if shape == CHARACTERS:
        return _runs("".join(examples))
    own = {EXAMPLE: f"{example} ", HALF_EXAMPLE: example[: max(1, len(example) * 3 // 4)]}
    return (own.get(shape) or SHAPES[shape],)


def _runs(text: str) -> Sequence[str]:
    """Each character of `text`, and those of each class together: what patterns for it are made of."""
    characters = list(dict.fromkeys(text))[:_MOST_CHARACTERS]
    classes = ("".join(filter(one, characters)) for one in (str.isupper, str.islower, str.isdigit, str.isalnum))
    return list(dict.fromkeys([*characters, *filter(None, classes)]))


def long_text(piece: str, length: int) -> str:
    """A text of `length` characters that repeats one piece, and ends in what fits none."""
    return (piece * (length // len(piece) + 1))[: length - 1] + "!"


__all__ = ["CANARY", "CHARACTERS", "EXAMPLE", "HALF_EXAMPLE", "SHAPES", "TEXTS", "long_text", "pieces"]
