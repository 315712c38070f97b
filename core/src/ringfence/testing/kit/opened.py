"""One open provider, and one request taken through the real gate to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from ringfence.grant import Grant
from ringfence.privacy.gate import Gate
from ringfence.provider import Capability, Embeddings, Embeds, ModelCard, Plan, Provider, ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Message, Request
from ringfence.response import Adjustment, Finish, ProviderEvent, Usage
from ringfence.routing.assemble import Assembler
from ringfence.routing.providers import require_available
from ringfence.testing.kit.expect import expect, fail
from ringfence.testing.scenes import Seen
from ringfence.transport import Clients

LIMIT_S = 60.0
"""How long one run may take before the kit calls it hung."""

_LABELS = frozenset({"unclassified"})


@dataclass(slots=True, kw_only=True, repr=False)
class Outcome:
    """What came of one request. `events` go with the moment at which each came (`time.monotonic`)."""

    events: list[tuple[float, ProviderEvent]] = field(default_factory=list["tuple[float, ProviderEvent]"])
    error: BaseException | None = None
    message: Message | None = None
    finish: Finish | None = None
    usage: Usage = field(default_factory=Usage)
    adjustments: tuple[Adjustment, ...] = ()
    embeddings: Embeddings | None = None
    plan: Plan[object] | None = None
    grant: Grant | None = None
    seen: tuple[Seen, ...] = ()

    @property
    def body(self) -> bytes:
        """The body of the one request that the backend saw."""
        expect(len(self.seen) == 1, f"the backend saw {len(self.seen)} requests where one was asked for")
        return self.seen[0].body


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ready:
    """A plan, and the grant to send it."""

    plan: Plan[object]
    grant: Grant
    recipient: Recipient


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Opened:
    """A provider that was opened with a real context, behind a real gate."""

    provider: Provider
    context: ProviderContext
    gate: Gate

    def recipient(self, kind: str = "text") -> Recipient:
        """The recipient for requests of `kind`."""
        recipients = self.gate.policy.recipients
        return recipients.get(f"kit-{kind}") or recipients["kit-text"]

    async def card(self, recipient: Recipient) -> ModelCard:
        """The card of `recipient`, with the capabilities that the policy gives it, as the core sees it."""
        card = await self.provider.card(recipient)
        if recipient.capabilities is None:
            return card
        return replace(card, capabilities=cast("frozenset[Capability]", recipient.capabilities))

    async def ready(self, request: Request, kind: str = "text") -> Ready:
        """Plans `request` and has the gate make its grant.

        Raises:
            RingfenceError: the provider is not available, or refuses the request.
        """
        prepared = self.gate.prepare(self.gate.clear(request), self.recipient(kind).name)
        require_available(await self.provider.availability(prepared.recipient), prepared.recipient.model)
        card = await self.card(prepared.recipient)
        plan = self.provider.plan(prepared.request, prepared.recipient, card)
        return Ready(plan=plan, grant=self.gate.grant(prepared), recipient=prepared.recipient)

    async def outcome(self, request: Request, kind: str = "text") -> Outcome:
        """Everything from plan to end; an error is part of the outcome."""
        outcome = Outcome()
        try:
            ready = await self.ready(request, kind)
            outcome.plan, outcome.grant, outcome.adjustments = ready.plan, ready.grant, ready.plan.adjustments
            await self.finish(ready, outcome)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001  (the rules judge it)
            outcome.error = error
        return outcome

    async def finish(self, ready: Ready, outcome: Outcome) -> None:
        """Runs what is ready to its end.

        Raises:
            Exception: whatever the provider raised.
        """
        try:
            async with asyncio.timeout(LIMIT_S):
                if ready.plan.request.task == "embed":
                    await self._embed(ready, outcome)
                else:
                    await self._run(ready, outcome)
        except TimeoutError:
            fail(f"the run was not over after {LIMIT_S:g} s")
        finally:
            ready.grant.revoke()

    async def _embed(self, ready: Ready, outcome: Outcome) -> None:
        provider = self.provider
        if not isinstance(provider, Embeds):
            fail("the card says embed, and the provider has no embed()")
        outcome.embeddings = await provider.embed(ready.plan, ready.grant)

    async def _run(self, ready: Ready, outcome: Outcome) -> None:
        assembler = Assembler(self.provider.manifest.name, _LABELS, ready.grant.recipient.url)
        async with aclosing(self.provider.run(ready.plan, ready.grant)) as run:
            async for event in run:
                expect(ready.grant.spent, "an event came before the grant was spent")
                expect(ready.grant.connected, "an event came before grant.connected was set")
                outcome.events.append((time.monotonic(), event))
                assembler.add(event)
        outcome.usage, outcome.finish = assembler.usage, assembler.finish
        expect(outcome.finish is not None, "the run ended without a finish event and without an error")
        outcome.message = assembler.message()


@asynccontextmanager
async def opened(
    make: Callable[[], Provider], gate: Gate, options: Mapping[str, object], folder: Path
) -> AsyncGenerator[Opened, None]:
    """A new provider, opened; closed at the end, and its clients after it."""
    async with reopened(make(), gate, options, folder) as found:
        yield found


@asynccontextmanager
async def reopened(
    provider: Provider, gate: Gate, options: Mapping[str, object], folder: Path
) -> AsyncGenerator[Opened, None]:
    """`provider`, opened on the running loop; closed at the end, and its clients after it."""
    from ringfence.paths import cache_dir  # noqa: PLC0415  (brings platformdirs)

    clients = Clients()
    name = provider.manifest.name
    context = ProviderContext(
        cache_dir=cache_dir() / name,
        state_dir=folder / "state",
        logger=logging.getLogger("ringfence").getChild(name),
        options=dict(options),
        monotonic_s=time.monotonic,
        http=lambda recipient: clients.client(recipient, provider.manifest),
        directory=clients.directory,
    )
    try:
        await provider.open(context)
        yield Opened(provider=provider, context=context, gate=gate)
    finally:
        await provider.close()
        await clients.aclose()


__all__ = ["LIMIT_S", "Opened", "Outcome", "Ready", "opened", "reopened"]
