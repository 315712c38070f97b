"""Text to token ids, where chosen ranges of the text can never become a marker such as `<|im_start|>`."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

Range: TypeAlias = tuple[int, int]
"""Characters from the first up to, not including, the second."""

_Piece: TypeAlias = tuple[int, list[int], Callable[[int], Range]]

# An added token this short that is not special is ordinary text with an id of its own: a tab, an emoji, "\n\n".
_SHORTEST_MARKER = 3
# One pass cuts every marker found; another is needed only where a cut lets an overlapping one appear.
_MAX_PASSES = 8


class TextNotEncodable(ValueError):
    """The text cannot be given to the model without turning a part of it into a marker, or is no valid Unicode."""


def encode_sealed(tokenizer: Any, text: str, sealed: Sequence[Range]) -> list[int]:
    """The token ids of `text`, in which no marker touches a range of `sealed`.

    Where no marker would, the ids are those of the tokenizer itself. A marker that would is cut in two inside the
    range, and both sides are encoded apart, so that the characters stay and the marker is gone.

    Args:
        tokenizer: a `tokenizers.Tokenizer`. Truncation and padding are switched off.
        text: frame and contents together.
        sealed: the contents: sorted, apart from one another, none beginning or ending in white space.

    Raises:
        TextNotEncodable: a marker of one character, or a lone surrogate.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = False
    markers = marker_ids(tokenizer)
    cuts: set[int] = set()
    for _ in range(_MAX_PASSES):
        pieces = _pieces(tokenizer, text, sorted(cuts))
        # INVARIANT: ids leave this function only when no marker among them covers a sealed character.
        found = set(_needed_cuts(text, pieces, sealed, markers))
        if not found:
            return [token for _, ids, _ in pieces for token in ids]
        cuts |= found
    raise TextNotEncodable("the text holds markers of the model that cannot be taken apart")


def marker_ids(tokenizer: Any) -> frozenset[int]:
    """The ids of the tokens that stand for roles, tools, reasoning or ends, and never for plain text."""
    return frozenset(
        token
        for token, added in tokenizer.get_added_tokens_decoder().items()
        if added.special or len(added.content.strip()) >= _SHORTEST_MARKER
    )


def _pieces(tokenizer: Any, text: str, cuts: Sequence[int]) -> list[_Piece]:
    """For each stretch between two cuts: where it begins, its ids, and what knows the range of each id in it."""
    bounds = [0, *cuts, len(text)]
    stretches = [text[start:end] for start, end in itertools.pairwise(bounds)]
    try:
        encodings = tokenizer.encode_batch(stretches, add_special_tokens=False)
    except (UnicodeError, TypeError):
        # The cause would hold the text.
        raise TextNotEncodable("the text is not valid Unicode") from None
    return [(start, found.ids, found.token_to_chars) for start, found in zip(bounds, encodings, strict=False)]


def _needed_cuts(
    text: str, pieces: Sequence[_Piece], sealed: Sequence[Range], markers: frozenset[int]
) -> Iterator[int]:
    starts = [start for start, _ in sealed]
    for base, ids, range_of in pieces:
        for index in [index for index, token in enumerate(ids) if token in markers]:
            low, high = range_of(index)
            start, end = _without_space(text, base + low, base + high)
            # The last range that begins before the marker ends is the only one nearest to its end.
            place = bisect_right(starts, end - 1) - 1
            if place >= 0 and sealed[place][1] > start:
                yield _cut(start, end, sealed[place])


def _without_space(text: str, start: int, end: int) -> Range:
    """A marker may swallow white space around it; that is no part of its name."""
    found = text[start:end]
    return start + len(found) - len(found.lstrip()), end - (len(found) - len(found.rstrip()))


def _cut(start: int, end: int, content: Range) -> int:
    for place in (*content, start + 1):
        if start < place < end:
            return place
    raise TextNotEncodable("the text holds a marker of the model that is one character long")
