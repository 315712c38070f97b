"""Keeps one model's worker alive: starts it when it is needed, again when it died, more slowly when it keeps dying.

Knows nothing of the provider interface: the node of the house runs the same.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from ringfence_mlx.process import WorkerDied, WorkerProcess, WorkerSpec
from ringfence_mlx.wire import Frame

_FREE_DEATHS = 2
"""Deaths in a row after which the next start is immediate; from then on each doubles the pause."""

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0


class WorkerPaused(Exception):
    """The worker died too often; it may be started again in `retry_after_s`."""

    def __init__(self, deaths: int, retry_after_s: float) -> None:
        super().__init__(f"died {deaths} times in a row")
        self.deaths = deaths
        self.retry_after_s = retry_after_s


class ForkedProcess(Exception):
    """This process was forked from the one that owns the worker."""


class Supervisor:
    """One worker at a time for `spec`. Used from one event loop; a forked child can neither use nor end it."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.last_used_s = time.monotonic()
        self._owner_pid = os.getpid()
        self._worker: WorkerProcess | None = None
        self._starting: asyncio.Task[WorkerProcess] | None = None
        self._deaths = 0
        self._not_before_s = 0.0
        self._calls = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    @property
    def idle(self) -> bool:
        """Whether no call is under way or about to begin."""
        return self._calls == 0 and self._starting is None

    @property
    def facts(self) -> Frame:
        """What the worker said when it was ready; empty before."""
        return self._worker.facts if self._worker is not None else {}

    def begin(self) -> None:
        """Begins to start a worker if none lives; `start` waits for it.

        Raises:
            WorkerPaused: it died too often to be started already.
            WorkerDied: the supervisor was closed.
            ForkedProcess: this is not the process that owns it.
        """
        if os.getpid() != self._owner_pid:
            raise ForkedProcess
        if self._closed:
            raise WorkerDied("it was closed")
        if self._starting is not None or (self._worker is not None and self._worker.alive):
            return
        if (pause_s := self._not_before_s - time.monotonic()) > 0:
            raise WorkerPaused(self._deaths, pause_s)
        self._starting = asyncio.create_task(self._start(), name="ringfence-mlx-start")
        self._starting.add_done_callback(self._started)

    async def start(self) -> WorkerProcess:
        """The live worker, started first if need be.

        Raises:
            WorkerPaused: it died too often to be started already.
            WorkerFault: the model cannot be loaded.
            WorkerDied: the process ended while it was starting.
            ForkedProcess: this is not the process that owns it.
        """
        self.begin()
        if self._starting is not None:
            # One caller who gives up must not stop a start that others wait for.
            return await asyncio.shield(self._starting)
        if self._worker is None:
            raise WorkerDied("it was unloaded")
        return self._worker

    async def call(
        self, op: str, body: Mapping[str, Any], *, last: frozenset[str] = frozenset({"done"})
    ) -> AsyncGenerator[Frame, None]:
        """One call on the live worker: its frames, up to the last. Closing it cancels. Raises what `start` raises."""
        self._calls += 1
        try:
            worker = await self.start()
            async with aclosing(worker.call(op, body, last)) as frames:
                async for frame in frames:
                    yield frame
            self._deaths = 0
        finally:
            self._calls -= 1
            self.last_used_s = time.monotonic()

    async def ask(self, op: str, body: Mapping[str, Any] | None = None) -> Frame:
        """A call that is answered by one frame of its own name."""
        async with aclosing(self.call(op, body or {}, last=frozenset({op}))) as frames:
            answer = await anext(frames)
        self._deaths = 0
        return answer

    async def close(self) -> None:
        """Ends the worker; calls under way get `WorkerDied`. Idempotent; does nothing in a forked child."""
        if os.getpid() != self._owner_pid:
            return
        self._closed = True
        await self.unload()

    async def unload(self) -> None:
        """Ends the worker for its memory; the next call starts a new one."""
        if os.getpid() != self._owner_pid:
            return
        if (starting := self._starting) is not None:
            starting.cancel()
            await asyncio.wait([starting])
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    async def _start(self) -> WorkerProcess:
        self._worker = await WorkerProcess.start(self.spec, self._on_death)
        return self._worker

    def _started(self, task: asyncio.Task[WorkerProcess]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # whoever waits gets it; nobody may be left to

    def _on_death(self) -> None:
        self._deaths += 1
        over = self._deaths - _FREE_DEATHS
        if over >= 0:
            self._not_before_s = time.monotonic() + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**over)


__all__ = ["ForkedProcess", "Supervisor", "WorkerPaused"]
