"""A scripted provider called directly and through the core: the two that are compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ringfence import AsyncAssistant
from ringfence.grant import _MINT, Grant  # pyright: ignore[reportPrivateUsage]  (a direct call stands in for the gate)
from ringfence.provider import ModelCard
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, TextPart
from ringfence.response import TextDelta
from ringfence.testing import Script, ScriptedProvider, text_events

QUESTION = "Are you still coming to dinner on Sunday? Please bring dessert, and call on the way."


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One provider, reached both ways. `card` and `request` are what a direct caller would keep."""

    assistant: AsyncAssistant
    provider: ScriptedProvider
    card: ModelCard
    request: Request

    @property
    def recipient(self) -> Recipient:
        """Where the calls go."""
        return self.assistant.policy.recipients["mlx"]

    async def _end_call(self) -> None:
        # The double remembers what it was sent; a benchmark of memory and caches must not.
        self.provider.requests.clear()
        self.provider.grants.clear()
        # A real backend is waited for, and the loop turns; only then does asyncio drop timers that were cancelled.
        await asyncio.sleep(0)

    async def direct(self, count: int) -> None:
        """`count` calls of plan and run, the text collected."""
        for _ in range(count):
            plan = self.provider.plan(self.request, self.recipient, self.card)
            grant = Grant(_MINT, self.request, recipient=self.recipient)
            async with aclosing(self.provider.run(plan, grant)) as events:
                "".join([event.text async for event in events if type(event) is TextDelta])
            await self._end_call()

    async def direct_stream(self, count: int) -> None:
        """`count` runs, every event drawn and dropped."""
        for _ in range(count):
            plan = self.provider.plan(self.request, self.recipient, self.card)
            grant = Grant(_MINT, self.request, recipient=self.recipient)
            async with aclosing(self.provider.run(plan, grant)) as events:
                async for _event in events:
                    pass
            await self._end_call()

    async def responded(self, count: int) -> None:
        """`count` calls of `respond`."""
        for _ in range(count):
            await self.assistant.respond(QUESTION)
            await self._end_call()

    async def streamed(self, count: int) -> None:
        """`count` streams, every event drawn and dropped."""
        for _ in range(count):
            async with self.assistant.stream(QUESTION) as events:
                async for _event in events:
                    pass
            await self._end_call()

    async def cancelled(self, count: int) -> None:
        """`count` streams that are closed after their second event."""
        for _ in range(count):
            async with self.assistant.stream(QUESTION) as events:
                await anext(events)
                await anext(events)
            await self._end_call()


@asynccontextmanager
async def pair(folder: Path, *, chunks: int = 1) -> AsyncGenerator[Pair]:
    """A pair under the built-in policy, its audit log in `folder`; an answer has `chunks` text deltas."""
    provider = ScriptedProvider(Script(events=text_events(*["word "] * chunks)))
    card = (await provider.models())[0]
    request = Request(messages=(Message("user", (TextPart(QUESTION),)),))
    async with AsyncAssistant(providers={"mlx": provider}, audit=folder / "audit") as assistant:
        yield Pair(assistant=assistant, provider=provider, card=card, request=request)
