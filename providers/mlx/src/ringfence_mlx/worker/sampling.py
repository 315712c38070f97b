"""From settings to a sampler and logits processors of mlx-lm, checked against the model first.

Several values kill mlx-lm's generation thread once they reach it (a `top_k` not below the vocabulary, a bias for a
token that does not exist), so none does. mlx-lm has no random state per request: the sampler here carries its own key,
so that a seed means the same alone and in a batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import mlx.core as mx
from mlx_lm.sample_utils import apply_min_p, apply_top_k, apply_top_p, greedy_sampler, make_logits_processors

from ringfence_mlx.worker.job import JobFault, Sampling

Sampler: TypeAlias = Callable[[mx.array], mx.array]
Processor: TypeAlias = Callable[[mx.array, mx.array], mx.array]

_COLDEST = 1e-4
"""Below it a temperature divides to infinity in half precision; the answer is the most likely token either way."""

SAMPLING_DEFAULTS = ("temperature", "top_p", "top_k", "min_p")
"""What a model's makers may set together, as one way of sampling."""

PENALTY_CONTEXT_TOKENS = 64
"""How far back the penalties look, prompt included."""


def with_defaults(sampling: Sampling, defaults: Mapping[str, float]) -> Sampling:
    """`sampling` with the model makers' values for what the caller left open.

    A caller who sets the temperature chooses the way of sampling: then the makers' other values of it are left out.
    """
    left_out = SAMPLING_DEFAULTS if sampling.temperature is not None else ()
    unset: dict[str, Any] = {
        name: value for name, value in defaults.items() if name not in left_out and getattr(sampling, name) is None
    }
    return replace(sampling, **unset)


def check(sampling: Sampling, vocabulary: int) -> None:
    """Refuses what this model cannot be given.

    Raises:
        JobFault: a token of `logit_bias` is not in the vocabulary.
    """
    outside = [token for token in sampling.logit_bias if not 0 <= token < vocabulary]
    if outside:
        raise JobFault("rejected", f"logit_bias names token {outside[0]}; this model has {vocabulary} tokens")


def make_sampler(sampling: Sampling, vocabulary: int) -> Sampler:
    """The sampler of one job. `temperature` unset or 0 is greedy; its input is log-probabilities (1, vocabulary)."""
    temperature = sampling.temperature or 0.0
    if temperature < _COLDEST:
        return greedy_sampler  # the same object for every job, so that a batch shares one call
    filters = _filters(sampling, vocabulary)
    seed = sampling.seed if sampling.seed is not None else int.from_bytes(os.urandom(8), "big")
    key = mx.random.key(seed)

    def sample(logprobs: mx.array) -> mx.array:
        nonlocal key
        logprobs = logprobs.astype(mx.float32)
        for narrow in filters:
            logprobs = narrow(logprobs)
        key, now = mx.random.split(key)
        return mx.random.categorical(logprobs * (1.0 / temperature), key=now)

    return sample


def _filters(sampling: Sampling, vocabulary: int) -> list[Sampler]:
    """The filters that do something, in mlx-lm's order; those that would keep every token are left out."""
    filters: list[Sampler] = []
    top_p, min_p, top_k = sampling.top_p, sampling.min_p, sampling.top_k
    if top_p is not None and 0 < top_p < 1:
        filters.append(lambda logprobs: apply_top_p(logprobs, top_p))
    if min_p:
        filters.append(lambda logprobs: apply_min_p(logprobs, min_p))
    if top_k is not None and 0 < top_k < vocabulary:
        filters.append(lambda logprobs: apply_top_k(logprobs, top_k))
    return filters


def make_processors(sampling: Sampling) -> list[Processor]:
    """Bias and penalties, in mlx-lm's order."""
    penalty = sampling.repetition_penalty
    processors: list[Processor] = make_logits_processors(
        logit_bias=dict(sampling.logit_bias) or None,
        repetition_penalty=None if penalty == 1 else penalty,
        repetition_context_size=PENALTY_CONTEXT_TOKENS,
        presence_penalty=sampling.presence_penalty,
        presence_context_size=PENALTY_CONTEXT_TOKENS,
        frequency_penalty=sampling.frequency_penalty,
        frequency_context_size=PENALTY_CONTEXT_TOKENS,
    )
    return processors


__all__ = [
    "PENALTY_CONTEXT_TOKENS",
    "SAMPLING_DEFAULTS",
    "Processor",
    "Sampler",
    "check",
    "make_processors",
    "make_sampler",
    "with_defaults",
]
