"""How many prompt tokens one step takes: as many as the machine does in about 200 ms, so that a cancel is felt."""

from __future__ import annotations

TARGET_S = 0.2
_SMALLEST = 8
_LARGEST = 2048
_MOST_CHANGE = 2.0
"""One measurement at most doubles or halves the step: a machine under load must not make it swing."""


class PrefillSizer:
    """The step size in tokens, adapted to the measured speed; `sequences` are prefilled side by side."""

    __slots__ = ("_tokens",)

    def __init__(self, first_tokens: int = 64) -> None:
        self._tokens = float(first_tokens)

    def step_tokens(self, sequences: int) -> int:
        """Tokens a sequence may take in the next step, for `sequences` ≥ 1 at once; within 8 … 2048."""
        return max(_SMALLEST, min(_LARGEST, int(self._tokens / max(1, sequences))))

    def observe(self, tokens: int, duration_s: float) -> None:
        """Takes in that a step of `tokens`, all sequences together, lasted `duration_s`.

        Small steps say little, since the fixed cost outweighs them: under half the size they only ever lower it.
        """
        if tokens <= 0 or duration_s <= 0:
            return
        wanted = tokens * TARGET_S / duration_s
        if tokens < self._tokens / 2 and wanted > self._tokens:
            return
        bounded = max(self._tokens / _MOST_CHANGE, min(self._tokens * _MOST_CHANGE, wanted))
        self._tokens = max(_SMALLEST, min(_LARGEST, bounded))

    @property
    def tokens(self) -> int:
        """The tokens of one step, all sequences together."""
        return int(self._tokens)


__all__ = ["TARGET_S", "PrefillSizer"]
