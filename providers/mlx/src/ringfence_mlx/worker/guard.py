"""A wrapper that keeps one job's mistake out of the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Guarded:
    """Calls `inner`; what it raises is recorded in `failure`, and the logits go on as they came.

    mlx-lm runs the processors of all sequences in one step: an exception in one would end every other answer.
    """

    __slots__ = ("failure", "inner")

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner = inner
        self.failure: str | None = None

    def __call__(self, tokens: Any, logits: Any) -> Any:
        """What `inner` makes of `logits`, or `logits`."""
        if self.failure is not None:
            return logits
        try:
            return self.inner(tokens, logits)
        except Exception as error:  # noqa: BLE001  (the batch goes on; the engine reads `failure`)
            self.failure = type(error).__name__
            return logits


__all__ = ["Guarded"]
