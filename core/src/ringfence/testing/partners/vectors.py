"""Embeddings made from the text: the same text gives the same vector, of Euclidean norm 1."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence


def vector_of(text: str, dimensions: int) -> tuple[float, ...]:
    """A unit vector that depends on `text` alone."""
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = [value / 32_768 + 1e-9 for (value,) in struct.iter_unpack("<h", digest)]
    norm = math.sqrt(math.fsum(value * value for value in raw))
    return tuple(value / norm for value in raw)


def vectors_for(texts: Sequence[str], played: Sequence[Sequence[float]], dimensions: int) -> list[tuple[float, ...]]:
    """One vector for each text: those of the scene in order, again and again; without any, made from the texts."""
    if played:
        return [tuple(played[index % len(played)]) for index in range(len(texts))]
    return [vector_of(text, dimensions) for text in texts]
