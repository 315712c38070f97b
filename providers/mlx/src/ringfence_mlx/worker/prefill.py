"""How many prompt tokens one step takes: as many as the machine does in about 200 ms, so that a cancel is felt.

A step costs a fixed part, for the weights are read once however few the tokens, and a part for each token. The fixed
part is what a decoding step takes, so both are known from what is measured anyway.
"""

from __future__ import annotations

import math

TARGET_S = 0.2
_SMALLEST = 8
_LARGEST = 2048
_LARGEST_FIXED_SHARE = 1 / 3
"""Smaller steps would only waste the fixed part: for that a step may last twice the target, or 3 × the fixed part."""

_WEIGHT = 0.4
"""Of a new measurement: a machine under load must not make the step swing."""

_TAIL = 1.4
"""A step takes the rest of a prompt with it up to this many times its size: a short last one would cost the fixed part
again."""

_FASTEST_TOKEN_S = 1e-6

_MOST_CHANGE = 3.0
"""One measurement changes an estimate by this factor at most, whatever it says."""


class PrefillSizer:
    """The step size in tokens, from the measured speed; `sequences` are prefilled side by side."""

    __slots__ = ("_fastest_s", "_fixed_s", "_token_s")

    def __init__(self) -> None:
        self._fixed_s: float | None = None
        self._token_s: float | None = None
        self._fastest_s = math.inf

    def step_tokens(self, sequences: int, left_tokens: int = 0) -> int:
        """Tokens a sequence may take in the next step, for `sequences` ≥ 1 at once; within 8 … 2048.

        `left_tokens` is how long the longest of the prompts under way still is.
        """
        step = max(_SMALLEST, min(_LARGEST, self.tokens // max(1, sequences)))
        return min(_LARGEST, left_tokens) if step < left_tokens <= _TAIL * step else step

    def observe_decode(self, steps: int, duration_s: float) -> None:
        """Takes in that so many decoding steps lasted `duration_s` together."""
        if steps > 0 and duration_s > 0:
            self._fixed_s = _blend(self._fixed_s, duration_s / steps)

    def observe_prefill(self, tokens: int, duration_s: float) -> None:
        """Takes in that a step of `tokens`, all sequences together, lasted `duration_s`.

        The short end of a prompt says nothing of the cost of a token, for the fixed part outweighs it.
        """
        if tokens >= _SMALLEST and duration_s > 0:
            beyond_fixed_s = duration_s - min(self._fixed_s or 0.0, duration_s / 2)
            self._token_s = max(_FASTEST_TOKEN_S, _blend(self._token_s, beyond_fixed_s / tokens))
            self._fastest_s = min(self._fastest_s, self._token_s)

    @property
    def tokens(self) -> int:
        """The tokens of one step, all sequences together."""
        if self._token_s is None:
            return _SMALLEST
        fixed_s = self._fixed_s or 0.0
        in_time = (TARGET_S - fixed_s) / self._token_s
        # A token costs more the longer the context is, the weights do not: what is worth it is known from the fastest.
        worth_it = fixed_s * (1 / _LARGEST_FIXED_SHARE - 1) / self._fastest_s
        at_most = (max(2 * TARGET_S, fixed_s / _LARGEST_FIXED_SHARE) - fixed_s) / self._token_s
        return int(max(_SMALLEST, min(_LARGEST, max(in_time, min(worth_it, at_most)))))


def _blend(known: float | None, measured: float) -> float:
    if known is None:
        return measured
    bounded = max(known / _MOST_CHANGE, min(known * _MOST_CHANGE, measured))
    return known + _WEIGHT * (bounded - known)


__all__ = ["TARGET_S", "PrefillSizer"]
