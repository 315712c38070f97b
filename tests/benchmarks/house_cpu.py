"""The CPU that a call takes: of the client's thread, and of the processes of the nodes. On Linux only.

Other processes that compute meanwhile, the engine and the balancer among them, are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.clock import median
from tests.benchmarks.row import Row

from ringfence import AsyncAssistant


async def cpu_rows(
    ways: Mapping[str, AsyncAssistant],
    ask: Callable[[AsyncAssistant, int], Awaitable[object]],
    *,
    what: str,
    nodes: Sequence[int],
    rounds: int,
) -> list[Row]:
    """The house's client and nodes against the client alone. `nodes` are process ids; `ask` waits for one round."""
    if not all(map(_tasks, nodes)):
        return []
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, assistant in ways.items():
            client_s, nodes_s = time.thread_time(), _cpu_s(nodes)
            await ask(assistant, number)
            client_s, nodes_s = time.thread_time() - client_s, _cpu_s(nodes) - nodes_s
            if number:
                taken[name].append((client_s, nodes_s))
    direct_ms = median(client_s for client_s, _ in taken["direct"]) * 1e3
    client_ms, nodes_ms = (median(each) * 1e3 for each in zip(*taken["house"], strict=True))
    note = f"client {client_ms:,.1f} + nodes {nodes_ms:,.1f} against {direct_ms:,.1f} ms, {rounds} rounds"
    return [Row(group="house", what=what, value=(client_ms + nodes_ms) / direct_ms, unit="×", note=note)]


def _cpu_s(processes: Sequence[int]) -> float:
    """What the threads of these processes that live now have computed, user and system (proc_pid_schedstat)."""
    return sum(int(task.read_text(encoding="ascii").split()[0]) for one in processes for task in _tasks(one)) / 1e9


def _tasks(process: int) -> list[Path]:
    return list(Path(f"/proc/{process}/task").glob("*/schedstat"))


__all__ = ["cpu_rows"]
