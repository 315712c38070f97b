"""`MlxProvider`: the provider interface on top of the fleet of workers. It imports no MLX, and neither does the app."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import ClassVar, cast

from ringfence.errors import InvalidRequest, Phase, Unsupported
from ringfence.grant import Grant
from ringfence.provider import (
    Availability,
    Available,
    DownloadProgress,
    Embeddings,
    Finding,
    Manifest,
    ModelCard,
    Plan,
    Provider,
    ProviderContext,
)
from ringfence.recipient import Recipient
from ringfence.registry import load_manifest
from ringfence.request import Request
from ringfence.response import ProviderEvent
from ringfence_mlx.environment import worker_environment
from ringfence_mlx.events import events_of
from ringfence_mlx.failures import as_provider_error, closed_error, forked_error
from ringfence_mlx.fleet import Fleet, ModelFacts
from ringfence_mlx.machine import blas, memory
from ringfence_mlx.models.store import ModelFolder, ModelStore
from ringfence_mlx.options import Options
from ringfence_mlx.planning import NativePlan, make_plan
from ringfence_mlx.process import Mode, WorkerDied
from ringfence_mlx.readiness import memory_fault, options_fault, package_fault, platform_fault
from ringfence_mlx.supervisor import Supervisor
from ringfence_mlx.verification import Verification

_SHARE_OF_AVAILABLE = 0.8
"""Of the memory that is available when the provider is opened, if the app sets no budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What `open` made. `owner_pid`: a fork copies this object, and its copy must not touch the workers."""

    store: ModelStore
    fleet: Fleet
    verification: Verification
    loop: asyncio.AbstractEventLoop
    owner_pid: int


class MlxProvider(Provider):
    """MLX models on this machine, each in a process of its own."""

    manifest: ClassVar[Manifest] = load_manifest("ringfence_mlx")

    def __init__(self) -> None:
        self._options = Options()
        self._opened: _Opened | None = None

    # ------------------------------------------------------------ life

    async def open(self, context: ProviderContext) -> None:
        """Takes the context. No worker is started and nothing is loaded.

        Raises:
            InvalidRequest: an option is unknown or ill-typed.
        """
        self._options = Options.parse(context.options)
        fleet = Fleet(
            self._options,
            budget_bytes=self._options.memory_bytes or int(memory.available_bytes() * _SHARE_OF_AVAILABLE),
            available_bytes=memory.available_bytes,
            # The proof of a BLAS is kept: without it every worker would start up to a second later.
            environment=lambda: blas.worker_environment(blas.best_blas(context.cache_dir), worker_environment()),
        )
        store = ModelStore(context.cache_dir)
        loop = asyncio.get_running_loop()
        self._opened = _Opened(
            store=store,
            fleet=fleet,
            verification=Verification(store.verify, fleet.drop),
            loop=loop,
            owner_pid=os.getpid(),
        )

    async def close(self) -> None:
        """Ends every worker; running requests get `Closed`. Idempotent; a forked child ends nothing of its parent."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.fleet.close()

    # ------------------------------------------------------------ models

    async def models(self) -> Sequence[ModelCard]:
        """The models on this machine and those known by name."""
        return [entry.card for entry in await asyncio.to_thread(self._here().store.list)]

    async def availability(self, recipient: Recipient) -> Availability:
        """Whether the model of `recipient` could run now; loads nothing."""
        opened = self._here()
        return await asyncio.to_thread(_availability, opened.store, opened.fleet.budget_bytes, recipient)

    async def card(self, recipient: Recipient) -> ModelCard:
        """The facts of the model of `recipient`.

        Raises:
            Unavailable: there is no such model here.
        """
        return await asyncio.to_thread(self._here().store.card, recipient.model)

    def download(self, model: str) -> AsyncGenerator[DownloadProgress, None]:
        """Brings `model` to this machine."""
        return self._here().store.download(model)

    async def remove(self, model: str) -> int:
        """Deletes `model` from this machine, unloaded first; returns the bytes freed."""
        opened = self._here()
        await opened.fleet.drop(model)
        return await asyncio.to_thread(opened.store.remove, model)

    # ------------------------------------------------------------ requests

    def plan(self, request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:  # noqa: ARG002
        """Translates; pure.

        Raises:
            Unsupported: a setting, part or tool that this model cannot honour.
        """
        return make_plan(request, card, self._options.adapters)

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        """Answers `plan` under `grant`; closing the generator cancels at once here and at the worker's next step."""
        # INVARIANT 4: nothing of the request reaches the worker before the grant is spent.
        grant.spend(plan.request)
        native = _native(plan, "generate")
        phase: Phase = "connect"
        with self._errors(lambda: phase):
            supervisor = await self._supervisor(native.model, "generate")
            grant.connected = True
            phase = "before_first_event"
            async with aclosing(supervisor.call("generate", {"job": native.job})) as frames:
                async for frame in frames:
                    for event in events_of(frame):
                        phase = "mid_stream"
                        yield event

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        """Vectors of the texts of `plan`, in order."""
        grant.spend(plan.request)
        native = _native(plan, "embed")
        phase: Phase = "connect"
        with self._errors(lambda: phase):
            supervisor = await self._supervisor(native.model, "embed")
            grant.connected = True
            phase = "before_first_event"
            reply = await supervisor.ask("embed", {"texts": native.texts})
        vectors = tuple(tuple(map(float, vector)) for vector in reply["vectors"])
        return Embeddings(
            vectors=vectors, dimensions=len(vectors[0]) if vectors else 0, input_tokens=int(reply["input_tokens"])
        )

    async def count_tokens(self, plan: Plan[object], grant: Grant) -> int:
        """The tokens that the model of `plan` would read; a worker without weights counts if none is loaded."""
        grant.spend(plan.request)
        native = cast("NativePlan", plan.native)
        asked = {"texts": native.texts} if native.kind == "embed" else {"job": native.job}
        with self._errors(lambda: "plan"):
            # A worker that embeds does nothing else.
            supervisor = self._here().fleet.running(native.model, "generate")
            supervisor = supervisor or await self._supervisor(native.model, "tokenizer")
            await supervisor.start()
            grant.connected = True
            return int((await supervisor.ask("count", asked))["tokens"])

    async def prewarm(self, recipient: Recipient) -> None:
        """Loads the model of `recipient`; its first real token has been made when this returns."""
        with self._errors(lambda: "connect"):
            card = await self.card(recipient)
            await self._supervisor(recipient.model, "generate" if "text" in card.capabilities else "embed")

    async def diagnose(self) -> Sequence[Finding]:
        """What `doctor` prints; loads no model."""
        from ringfence_mlx.diagnosis import diagnose  # noqa: PLC0415  (only doctor asks)

        opened = self._here()
        return await asyncio.to_thread(diagnose, opened.store, opened.fleet.budget_bytes)

    # ------------------------------------------------------------ inside

    def _here(self) -> _Opened:
        opened = self._opened
        if opened is None:
            raise closed_error()
        if opened.owner_pid != os.getpid():
            raise forked_error()
        if opened.loop is not asyncio.get_running_loop():
            raise InvalidRequest("the provider mlx was opened on another event loop", way_out="open one per loop")
        return opened

    async def _supervisor(self, model: str, mode: Mode) -> Supervisor:
        """The supervisor of `model` with its worker ready, loaded first if need be."""
        opened = self._here()
        # A loaded model needs no look at the disk.
        if (running := opened.fleet.running(model, mode)) is not None:
            if mode != "tokenizer":
                # INVARIANT: a worker that is ready before its files are checked serves nobody yet.
                await opened.verification.passed(model, running)
            return running
        facts = _facts(model, await asyncio.to_thread(opened.store.resolve, model))
        supervisor = await opened.fleet.member(facts, mode)
        if mode == "tokenizer":
            return supervisor
        # The hashes are checked while the worker starts; no request reaches it before they are right.
        opened.verification.begin(model, supervisor)
        checked, started = await asyncio.gather(
            opened.verification.passed(model, supervisor), supervisor.start(), return_exceptions=True
        )
        if isinstance(checked, BaseException):
            raise checked
        if isinstance(started, asyncio.CancelledError):  # the start was cancelled, and not this task
            raise WorkerDied("it was unloaded")
        if isinstance(started, BaseException):
            raise started
        return supervisor

    @contextmanager
    def _errors(self, phase: Callable[[], Phase]) -> Generator[None]:
        """Turns what goes wrong below into errors of the provider interface, in the phase it happened in."""
        try:
            yield
        except Exception as error:
            mapped = as_provider_error(error, phase(), closed=self._opened is None)
            if mapped is None:
                raise
            raise mapped from None


def _facts(model: str, folder: ModelFolder) -> ModelFacts:
    return ModelFacts(
        name=model,
        folder=folder.path,
        weights_bytes=folder.loaded_bytes,
        kv_bytes_per_token=folder.kv_bytes_per_token,
        context_tokens=folder.card.context_tokens,
    )


def _availability(store: ModelStore, budget_bytes: int, recipient: Recipient) -> Availability:
    if (fault := platform_fault() or package_fault() or options_fault(recipient)) is not None:
        return fault
    model = recipient.model
    found = store.availability(model)
    if not isinstance(found, Available):
        return found
    return memory_fault(_facts(model, store.resolve(model)), budget_bytes) or found


def _native(plan: Plan[object], kind: str) -> NativePlan:
    native = cast("NativePlan", plan.native)
    if native.kind != kind:
        raise Unsupported(f"the plan is for '{native.kind}'", setting="task", way_out=f"use it for {native.kind}")
    return native


__all__ = ["MlxProvider"]
