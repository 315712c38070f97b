"""How many prompt tokens one step takes: as many as the machine does in the time that others can be let wait.

A step costs a fixed part, for the weights are read once however few the tokens, and a part for each token. The fixed
part is what a decoding step takes, so both are known from what is measured anyway.
"""

from __future__ import annotations

import math

TARGET_S = 0.2
"""How long a step lasts while answers are being written: so long their next word is late."""

ALONE_S = 0.5
"""While none is: only a newcomer waits for its end, and a step that nobody wants is left in the middle."""

_SMALLEST = 8
_FEWEST_SEQUENCES = 4
"""So many prompts are read side by side on any machine, that a short one need not wait for the end of a long one."""

_SMALLEST_SHARE = 4
"""Tokens of each, where more are read side by side."""

_LARGEST = 2048
_FIXED_SHARE = 1 / 3
_FIXED_SHARE_ALONE = 1 / 6
"""How much of a step the fixed part may be: for that a step may last twice its target. It is a share, so that a
machine with other work does not read in ever smaller steps and waste the more."""
_LONGEST_IN_FIXED = 3
"""Where reading the weights takes longer than that, a step may last this many times as long."""

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

    def sequences(self, *, writing: bool) -> int:
        """How many prompts to read side by side; those begun together end together, and then share every step.

        `writing` says that answers are being written meanwhile.
        """
        return max(_FEWEST_SEQUENCES, self.tokens(writing=writing) // _SMALLEST_SHARE)

    def step_tokens(self, sequences: int, left_tokens: int = 0, *, writing: bool) -> int:
        """Tokens a sequence may take in the next step, for `sequences` ≥ 1 at once; within 1 … 2048.

        `left_tokens` is how long the longest of the prompts under way still is.
        """
        step = max(1, self.tokens(writing=writing) // sequences)
        return min(_LARGEST, left_tokens) if step < left_tokens <= _TAIL * step else step

    def observe_decode(self, sequences: int, duration_s: float) -> None:
        """Takes in that a decoding step of so many answers, a token each, lasted `duration_s`."""
        if sequences > 0 and duration_s > 0:
            tokens_s = sequences * (self._token_s or 0.0)
            self._fixed_s = _blend(self._fixed_s, max(duration_s / 2, duration_s - tokens_s))

    def observe_prefill(self, tokens: int, duration_s: float) -> None:
        """Takes in that a step of `tokens`, all sequences together, lasted `duration_s`.

        The short end of a prompt says nothing of the cost of a token, for the fixed part outweighs it.
        """
        if tokens >= _SMALLEST and duration_s > 0:
            beyond_fixed_s = duration_s - min(self._fixed_s or 0.0, duration_s / 2)
            self._token_s = max(_FASTEST_TOKEN_S, _blend(self._token_s, beyond_fixed_s / tokens))
            self._fastest_s = min(self._fastest_s, self._token_s)

    def tokens(self, *, writing: bool) -> int:
        """The tokens of one step, all sequences together."""
        if self._token_s is None:
            return _SMALLEST
        target_s, share = (TARGET_S, _FIXED_SHARE) if writing else (ALONE_S, _FIXED_SHARE_ALONE)
        fixed_s = self._fixed_s or 0.0
        in_time = (target_s - fixed_s) / self._token_s
        # A token costs more the longer the context is, the weights do not: what is worth it is known from the fastest.
        worth_it = fixed_s * (1 / share - 1) / self._fastest_s
        at_most = (max(2 * target_s, _LONGEST_IN_FIXED * fixed_s) - fixed_s) / self._token_s
        return int(max(_SMALLEST, min(_LARGEST, max(in_time, min(worth_it, at_most)))))


def _blend(known: float | None, measured: float) -> float:
    if known is None:
        return measured
    bounded = max(known / _MOST_CHANGE, min(known * _MOST_CHANGE, measured))
    return known + _WEIGHT * (bounded - known)


__all__ = ["ALONE_S", "TARGET_S", "PrefillSizer"]
