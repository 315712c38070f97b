"""Whether a model fits into the memory budget, and what would have to go for it. Pure arithmetic, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WORKER_OVERHEAD_BYTES = 350 * 1024 * 1024
"""What a worker takes beside weights and caches.

Measured with the embedded model: 150 MiB once loaded, some more while it reads a long prompt; the rest is room for
wider models.
"""


LEAST_TOKENS = 1024
"""A model for which not even this many tokens of keys and values fit is not worth loading."""

_FULL_CONTEXTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """A model in memory: what it was admitted with, when it was last used (monotonic seconds), whether it is idle."""

    name: str
    admitted_bytes: int
    last_used_s: float
    idle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`unload` names what has to go first, least recently used first. `short_bytes` > 0: it does not fit even then.

    `could_wait` says that it would fit once what is busy now became idle.
    """

    unload: tuple[str, ...] = ()
    short_bytes: int = 0
    could_wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryShare:
    """What one worker may take. `kv_bytes` are for the answers being made, `prefix_cache_bytes` for what is kept."""

    fixed_bytes: int
    kv_bytes: int
    prefix_cache_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.fixed_bytes + self.kv_bytes + self.prefix_cache_bytes


def share_memory(
    *, weights_bytes: int, kv_bytes_per_token: int, context_tokens: int, prefix_cache_bytes: int, budget_bytes: int
) -> MemoryShare:
    """The share of a model: room for two full contexts where the budget has it, never under `LEAST_TOKENS` of one.

    A share may be more than the budget; `admit` then refuses it, with the bytes that would be needed.
    """
    fixed = weights_bytes + WORKER_OVERHEAD_BYTES
    least = min(LEAST_TOKENS, context_tokens) * kv_bytes_per_token
    room = max(0, budget_bytes - fixed)
    kv_bytes = max(least, min(_FULL_CONTEXTS * context_tokens * kv_bytes_per_token, room * 3 // 4))
    return MemoryShare(
        fixed_bytes=fixed,
        kv_bytes=kv_bytes,
        prefix_cache_bytes=min(prefix_cache_bytes, max(0, room - kv_bytes)),
    )


def admit(needed_bytes: int, budget_bytes: int, residents: Sequence[Resident]) -> Admission:
    """What it takes to load a model of `needed_bytes` within `budget_bytes`."""
    free = budget_bytes - sum(resident.admitted_bytes for resident in residents)
    unload: list[str] = []
    for resident in sorted((one for one in residents if one.idle), key=lambda one: one.last_used_s):
        if free >= needed_bytes:
            break
        unload.append(resident.name)
        free += resident.admitted_bytes
    if free >= needed_bytes:
        return Admission(unload=tuple(unload))
    return Admission(short_bytes=needed_bytes - free, could_wait=needed_bytes <= budget_bytes)


__all__ = ["LEAST_TOKENS", "WORKER_OVERHEAD_BYTES", "Admission", "MemoryShare", "Resident", "admit", "share_memory"]
