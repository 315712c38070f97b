"""Rounds that take turns, on the clock of the CPU: another process that computes meanwhile is not counted.

It still slows this one a little (caches, shared cores), in every round alike. So two things are compared only within
one round, and what is reported is the median over the rounds, with the least beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

Work: TypeAlias = Callable[[], object]


def cpu_s(work: Work) -> float:
    """CPU seconds of all threads of this process, user and system, that `work` took."""
    begin_s = time.process_time()
    work()
    return time.process_time() - begin_s


def take_turns(works: Mapping[str, Work], *, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each work, round by round; a first round warms up and does not count."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            gc.collect()
            used_s = cpu_s(work)
            if number:
                taken[name].append(used_s)
    return taken


def differences(longer: Sequence[float], shorter: Sequence[float], *, per: int) -> list[float]:
    """In each round, how much more the first took, divided by `per`."""
    return [(one - other) / per for one, other in zip(longer, shorter, strict=True)]


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """In each round, the first divided by the second."""
    return [one / other for one, other in zip(numerators, denominators, strict=True)]


median = statistics.median
