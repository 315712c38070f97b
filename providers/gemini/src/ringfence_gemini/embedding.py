"""The two answers that are no events: vectors, and a count of tokens."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ringfence.errors import StreamBroken
from ringfence.provider import Embeddings
from ringfence_gemini.wire import EmbeddingBatch, TokenCount

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")
_UNREADABLE = "Gemini answered something that cannot be read"


def embeddings_of(body: bytes, texts: int) -> Embeddings:
    """The vectors in `body`, one for each of `texts`.

    Raises:
        StreamBroken: it holds something else.
    """
    batch = _decoded(body, EmbeddingBatch)
    vectors = tuple(_normal(one.values) for one in batch.embeddings)
    lengths = {len(vector) for vector in vectors}
    if len(vectors) != texts or len(lengths) > 1 or 0 in lengths:
        raise StreamBroken("Gemini did not answer one vector for each text", phase="before_first_event")
    usage = batch.usage_metadata
    tokens = 0 if usage is None else usage.prompt_token_count or 0
    return Embeddings(vectors=vectors, dimensions=max(lengths, default=0), input_tokens=tokens)


def count_of(body: bytes) -> int:
    """The count in `body`.

    Raises:
        StreamBroken: it holds none.
    """
    return _decoded(body, TokenCount).total_tokens


def _normal(values: Sequence[float]) -> tuple[float, ...]:
    """`values` scaled to norm 1: the API does so only at its full number of dimensions.

    Raises:
        StreamBroken: no scale makes it so.
    """
    norm = math.hypot(*values)
    # INVARIANT: a vector has norm 1. None without a direction, or beyond what a number holds, can have it.
    if values and not sys.float_info.min <= norm < math.inf:
        raise StreamBroken("Gemini answered a vector that has no direction", phase="before_first_event")
    return tuple(value / norm for value in values)


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        raise StreamBroken(_UNREADABLE, phase="before_first_event") from None
