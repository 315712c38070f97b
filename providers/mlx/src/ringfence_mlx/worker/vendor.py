"""The edge to mlx and mlx-lm where their own types say nothing: the one place that has to look away."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import mlx.core as mx
from mlx_lm import utils
from mlx_lm.generate import BatchGenerator
from mlx_lm.models import cache
from mlx_lm.tokenizer_utils import load as _load_tokenizer

evaluate: Callable[..., None] = mx.eval

# INVARIANT: no code from a model folder is run. Left unsaid, transformers would ask on a terminal.
_NO_CODE = {"trust_remote_code": False}


class PromptCache(Protocol):
    """`mlx_lm.models.cache.LRUPromptCache`."""

    nbytes: int

    def fetch_nearest_cache(self, key: object, tokens: list[int]) -> tuple[list[Any] | None, list[int]]:
        """A copy of the best cache, and the tokens it lacks."""
        ...

    def insert_cache(self, key: object, tokens: list[int], prompt_cache: list[Any]) -> None:
        """Keeps a cache of exactly these tokens."""
        ...

    def trim_to(self, *, n_sequences: int) -> None:
        """Drops the oldest beyond so many."""
        ...


def new_prompt_cache(*, entries: int, max_bytes: int) -> PromptCache:
    """An empty one of at most so many entries and bytes."""
    return cast("PromptCache", cache.LRUPromptCache(max_size=entries, max_bytes=max_bytes))


def new_batch_generator(model: Any, **settings: Any) -> Any:
    """`mlx_lm.generate.BatchGenerator`."""
    return BatchGenerator(model, **settings)


def load(folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """The model, its tokenizer and its config; weights are read when they are evaluated. Raises what mlx-lm raises."""
    loaded = utils.load(
        str(folder), tokenizer_config=dict(_NO_CODE), lazy=True, return_config=True, trust_remote_code=False
    )
    return cast("tuple[Any, Any, dict[str, Any]]", loaded)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer alone, as `load` would give it."""
    return _load_tokenizer(folder, dict(_NO_CODE))


__all__ = ["PromptCache", "evaluate", "load", "load_tokenizer", "new_batch_generator", "new_prompt_cache"]
