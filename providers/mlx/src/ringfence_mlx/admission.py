"""Whether a model fits into the memory budget, and what would have to go for it. Pure arithmetic, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WORKER_OVERHEAD_BYTES = 350 * 1024 * 1024
"""What a worker takes beside weights and caches: Python, MLX, a BLAS and its buffers (measured: 250 to 330 MB)."""


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


__all__ = ["WORKER_OVERHEAD_BYTES", "Admission", "Resident", "admit"]
