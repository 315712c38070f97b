"""Computed prompt prefixes, kept for the next turn of the same tenant.

INVARIANT: a key holds the adapter and the tenant, so no caller ever meets another's prefix: not in its answer, not in
its count of cached tokens and not in its time to the first token. A request without a tenant neither finds nor leaves
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringfence_mlx.worker.vendor import evaluate, new_prompt_cache

_MOST_PREFIXES = 64


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Prefix:
    """A computed cache for the first tokens of a prompt, and how many they are. `cache` belongs to the caller."""

    cache: list[Any] | None
    tokens: int


class PrefixCache:
    """At most `max_bytes` of key-value caches; the oldest go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries = new_prompt_cache(entries=_MOST_PREFIXES, max_bytes=max_bytes)

    def find(self, adapter: str | None, tenant: str | None, prompt: Sequence[int]) -> Prefix:
        """A copy of the longest prefix of `prompt` known to this tenant; never all of it: one token is left to run."""
        if tenant is None:
            return Prefix(cache=None, tokens=0)
        head = list(prompt[:-1])
        if not head:
            return Prefix(cache=None, tokens=0)
        cache, rest = self._entries.fetch_nearest_cache((adapter, tenant), head)
        return Prefix(cache=cache, tokens=len(head) - len(rest) if cache is not None else 0)

    def keep(self, adapter: str | None, tenant: str | None, tokens: Sequence[int], cache: list[Any]) -> None:
        """Takes `cache`, which holds exactly `tokens`, into this tenant's entries."""
        if tenant is None or not tokens or sum(layer.nbytes for layer in cache) > self._max_bytes:
            return
        # Evaluated now: a lazy slice would keep the whole batch's arrays alive.
        evaluate([layer.state for layer in cache])
        self._entries.insert_cache((adapter, tenant), list(tokens), cache)

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.trim_to(n_sequences=0)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._entries.nbytes


__all__ = ["Prefix", "PrefixCache"]
