"""A model whose long steps are computed in parts, so that one which nobody wants any more can be left in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringfence_mlx.worker.vendor import evaluate

PARTS = 8
"""Of a step that reads prompts. Each costs one wait for the device; a step lasts half a second at most."""


class InParts:
    """`model`, with a call of `between` after each part of a step that reads; what that raises ends the step.

    mlx-lm builds a step's computation without doing any of it and then asks for the keys and values of all layers.
    Asked for a few layers at a time, in order, it computes the same, once.
    """

    def __init__(self, model: Any, between: Callable[[], None]) -> None:
        self._model = model
        self._between = between

    def __getattr__(self, name: str) -> Any:
        """Of the model itself: mlx-lm makes its caches by it."""
        return getattr(self._model, name)

    def __call__(self, tokens: Any, cache: list[Any]) -> Any:
        """What the model makes of `tokens`, an array (sequences, length)."""
        output = self._model(tokens, cache=cache)
        if tokens.shape[1] > 1:
            layers = -(-len(cache) // PARTS)
            for first in range(0, len(cache), layers):
                evaluate([layer.state for layer in cache[first : first + layers]])
                self._between()
        return output


__all__ = ["PARTS", "InParts"]
