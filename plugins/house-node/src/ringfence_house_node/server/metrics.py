"""What Prometheus may know: counts and times, nothing of content and nothing of who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Outcome: TypeAlias = Literal["answered", "refused", "full", "over_share", "cut", "gone", "unopened", "not_taken"]
OUTCOMES: tuple[Outcome, ...] = (
    *("answered", "refused", "full", "over_share", "cut", "gone", "unopened", "not_taken"),
)
"""How a request can end: answered whole; refused inside, for what it asks, for want of room, for its caller's share;
cut; left by its client; not opened; not taken for its size or for the state of the node."""

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)


class Metrics:
    """The node's numbers. INVARIANT: every label has a closed set of values, none of which a request can choose."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "ringfence_node_requests", "Encapsulated requests by how they ended.", ["outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "ringfence_node_request_seconds", "From opened to ended.", buckets=_SECONDS, registry=self._registry
        )
        for outcome in OUTCOMES:
            self._requests.labels(outcome)

    def watch(self, name: str, says: str, value: Callable[[], float]) -> None:
        """A gauge that is asked when it is read."""
        Gauge(f"ringfence_node_{name}", says, registry=self._registry).set_function(value)

    def ended(self, outcome: Outcome, seconds: float | None = None) -> None:
        """Counts one request that ended, and how long it took where it was opened."""
        self._requests.labels(outcome).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self._registry)


__all__ = ["OUTCOMES", "Metrics", "Outcome"]
