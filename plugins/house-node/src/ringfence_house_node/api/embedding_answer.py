"""Vectors as the OpenAI API has them."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence

import msgspec

from ringfence.provider import Embeddings


def embedding_answer(model: str, made: Embeddings, *, packed: bool) -> bytes:
    """The answer; `packed` for base64 of little-endian 32-bit numbers."""
    data = [
        {"object": "embedding", "index": place, "embedding": _packed(vector) if packed else vector}
        for place, vector in enumerate(made.vectors)
    ]
    usage = {"prompt_tokens": made.input_tokens, "total_tokens": made.input_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def _packed(vector: Sequence[float]) -> str:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


__all__ = ["embedding_answer"]
