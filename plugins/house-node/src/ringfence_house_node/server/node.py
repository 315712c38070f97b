"""The state of one node: what its parts share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house_node.attestors import Attestor
from ringfence_house_node.server.admission import Admission
from ringfence_house_node.server.body import Rooms
from ringfence_house_node.server.callers import Callers
from ringfence_house_node.server.keys import KeyRing
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.server.metrics import Metrics
from ringfence_house_node.server.replay import Replays
from ringfence_house_node.service import Explains, Service


class Node:
    """Keys, limits, the service and what runs now. Used from one event loop.

    Args:
        service: What answers.
        attestor: What vouches for the keys.
        release: `id`, `code`, `model` and `config`, as they go into the evidence.
        model: The name under which requests ask for the model.
        limits: The operator's numbers.
        callers: Who may ask.
        clock: Unix time.
    """

    def __init__(
        self,
        *,
        service: Service,
        attestor: Attestor,
        release: ReleaseClaim,
        model: str,
        limits: Limits | None = None,
        callers: Callers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.service = service
        self.release_id = release["id"]
        self.model = model
        self.limits = limits if limits is not None else Limits()
        self.callers = callers if callers is not None else Callers()
        self.clock = clock
        self.ring = KeyRing(
            attestor, release, life_s=self.limits.key_life_s, grace_s=self.limits.key_grace_s, clock=clock
        )
        self.admission = Admission(self.limits)
        self.replays = Replays()
        self.rooms = Rooms(self.limits)
        self.metrics = Metrics()
        self.draining = False
        self.running: set[asyncio.Task[None]] = set()
        self._watch()

    def obstacles(self) -> list[str]:
        """Why the node takes no requests now; empty where it does."""
        found = ["draining"] if self.draining else []
        if self.service.readiness != "ready":
            cause = self.service.cause if isinstance(self.service, Explains) else None
            found.append(f"engine {self.service.readiness}{f': {cause}' if cause else ''}")
        if self.ring.current is None:
            found.append("no attested key")
        return found

    async def drain(self) -> None:
        """Takes no new requests; returns when the running ones have ended, cut at the latest after `drain_s`."""
        self.draining = True
        if self.running:
            await asyncio.wait(self.running, timeout=self.limits.drain_s)
        self.cut()
        while self.running:
            await asyncio.wait(self.running)

    def cut(self) -> None:
        """Ends every request that runs, without a final chunk."""
        for task in self.running:
            task.cancel()

    def _watch(self) -> None:
        watch = self.metrics.watch
        watch("running", "Requests that hold a seat.", lambda: self.admission.running)
        watch("waiting", "Requests that wait for a seat.", lambda: self.admission.waiting)
        watch("load", "Share of the seats in use or waited for.", lambda: self.admission.load)
        watch("ready", "1 where the node takes requests.", lambda: float(not self.obstacles()))
        watch("keys", "Keys that requests may be sealed for.", lambda: len(self.ring.alive))
        watch("rotations", "Keys made since the start.", lambda: self.ring.rotations)
        watch("remembered", "Requests remembered against replay.", lambda: len(self.replays))


__all__ = ["Node"]
