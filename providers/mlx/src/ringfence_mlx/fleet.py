"""The workers of this machine, one per model, within one memory budget. Knows nothing of the provider interface."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ringfence_mlx.admission import LEAST_TOKENS, WORKER_OVERHEAD_BYTES, MemoryShare, Resident, admit, share_memory
from ringfence_mlx.options import Options
from ringfence_mlx.process import Mode, WorkerSpec
from ringfence_mlx.supervisor import ForkedProcess, Supervisor

_TOKENIZER_IDLE_S = 60.0
"""A worker that only counts tokens is cheap to start again."""

_SWEEP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What it takes to run one model. Bytes; `kv_bytes_per_token` over all layers."""

    name: str
    folder: Path
    weights_bytes: int
    kv_bytes_per_token: int
    context_tokens: int


def least_bytes(facts: ModelFacts) -> int:
    """The least memory with which a model is worth loading."""
    least_kv = min(LEAST_TOKENS, facts.context_tokens) * facts.kv_bytes_per_token
    return facts.weights_bytes + WORKER_OVERHEAD_BYTES + least_kv


class NoMemory(Exception):
    """A model does not fit. `could_wait` says that it would once others are idle."""

    def __init__(self, needed_bytes: int, budget_bytes: int, *, could_wait: bool) -> None:
        super().__init__("no memory")
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.could_wait = could_wait


@dataclass(slots=True, kw_only=True)
class _Member:
    supervisor: Supervisor
    share: MemoryShare
    name: str
    mode: Mode


class Fleet:
    """Supervisors by model. Used from one event loop."""

    def __init__(
        self,
        options: Options,
        *,
        budget_bytes: int,
        available_bytes: Callable[[], int],
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        """`available_bytes` and `environment` are asked, in a thread, whenever a worker is about to start."""
        self._options = options
        self._budget_bytes = budget_bytes
        self._available_bytes = available_bytes
        self._environment = environment
        self._members: dict[tuple[str, Mode], _Member] = {}
        self._admitting = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None
        self._owner_pid = os.getpid()

    @property
    def budget_bytes(self) -> int:
        """The memory that all models together may take."""
        return self._budget_bytes

    def running(self, name: str, mode: Mode) -> Supervisor | None:
        """The supervisor of `name` if its worker is alive."""
        member = self._members.get((name, mode))
        return member.supervisor if member is not None and member.supervisor.pid is not None else None

    async def member(self, facts: ModelFacts, mode: Mode) -> Supervisor:
        """The supervisor of a model, admitted to memory; idle models are unloaded for it, the longest unused first.

        Raises:
            NoMemory: it does not fit beside what is busy, or not at all.
            ForkedProcess: this is not the process that owns the workers.
        """
        if os.getpid() != self._owner_pid:
            raise ForkedProcess
        async with self._admitting:
            found = self._members.get((facts.name, mode))
            if found is not None and (found.supervisor.pid is not None or not found.supervisor.idle):
                return found.supervisor
            share = self._share(facts, mode)
            await self._make_room(share, without=(facts.name, mode))
            if found is None:
                found = self._add(facts, mode, share, await asyncio.to_thread(self._environment))
            found.supervisor.begin()  # from here on it counts as resident
            self._ensure_sweeper()
            return found.supervisor

    async def drop(self, name: str) -> None:
        """Ends the workers of one model; calls under way get `WorkerDied`."""
        for key in [key for key in self._members if key[0] == name]:
            await self._members.pop(key).supervisor.close()

    async def close(self) -> None:
        """Ends every worker. Idempotent; does nothing in a forked child."""
        if os.getpid() != self._owner_pid:
            return
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        members = list(self._members.values())
        self._members.clear()
        await asyncio.gather(*(member.supervisor.close() for member in members))

    def _share(self, facts: ModelFacts, mode: Mode) -> MemoryShare:
        return share_memory(
            weights_bytes=0 if mode == "tokenizer" else facts.weights_bytes,
            kv_bytes_per_token=facts.kv_bytes_per_token if mode == "generate" else 0,
            context_tokens=facts.context_tokens,
            prefix_cache_bytes=self._options.prefix_cache_bytes if mode == "generate" else 0,
            budget_bytes=self._budget_bytes,
        )

    async def _make_room(self, share: MemoryShare, *, without: tuple[str, Mode]) -> None:
        residents = [
            Resident(
                name=f"{name}/{mode}",
                admitted_bytes=member.share.total_bytes,
                last_used_s=member.supervisor.last_used_s,
                idle=member.supervisor.idle,
            )
            for (name, mode), member in self._members.items()
            if (name, mode) != without and (member.supervisor.pid is not None or not member.supervisor.idle)
        ]
        # The budget is a promise of the app; what the machine has left may by now be less.
        available = await asyncio.to_thread(self._available_bytes)
        budget = min(self._budget_bytes, sum(one.admitted_bytes for one in residents) + available)
        admission = admit(share.total_bytes, budget, residents)
        if admission.short_bytes:
            raise NoMemory(share.total_bytes, budget, could_wait=admission.could_wait)
        for (name, mode), member in list(self._members.items()):
            if f"{name}/{mode}" in admission.unload:
                await member.supervisor.unload()

    def _add(self, facts: ModelFacts, mode: Mode, share: MemoryShare, environment: Mapping[str, str]) -> _Member:
        spec = WorkerSpec(
            mode=mode,
            folder=facts.folder,
            environment=environment,
            context_tokens=facts.context_tokens,
            limits={
                "kv_bytes": share.kv_bytes,
                "prefix_cache_bytes": share.prefix_cache_bytes,
                "kv_bytes_per_token": facts.kv_bytes_per_token,
                "batch": self._options.batch,
            },
            start_timeout_s=self._options.start_timeout_s,
            hang_timeout_s=self._options.hang_timeout_s,
        )
        member = _Member(supervisor=Supervisor(spec), share=share, name=facts.name, mode=mode)
        self._members[facts.name, mode] = member
        return member

    def _ensure_sweeper(self) -> None:
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep(), name="ringfence-mlx-idle")

    async def _sweep(self) -> None:
        """Unloads what nobody used for long enough; ends once nothing is loaded."""
        while any(member.supervisor.pid is not None or not member.supervisor.idle for member in self._members.values()):
            await asyncio.sleep(min(_SWEEP_S, self._options.idle_unload_s or _SWEEP_S))
            for member in list(self._members.values()):
                limit_s = _TOKENIZER_IDLE_S if member.mode == "tokenizer" else self._options.idle_unload_s
                supervisor = member.supervisor
                if limit_s is None or supervisor.pid is None or not supervisor.idle:
                    continue
                if time.monotonic() - supervisor.last_used_s >= limit_s:
                    await supervisor.unload()


__all__ = ["Fleet", "ModelFacts", "NoMemory", "least_bytes"]
