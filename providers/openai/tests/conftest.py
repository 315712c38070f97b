"""The provider on a loopback double of the partner, over real sockets, and short ways to ask it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import ringfence.grant
from ringfence.grant import Grant
from ringfence.provider import Plan, ProviderContext
from ringfence.recipient import Recipient, Secret
from ringfence.request import Message, Request, Settings, TextPart
from ringfence.response import Finish, ProviderEvent, TextDelta, Usage, UsageReport
from ringfence.routing.assemble import Assembler
from ringfence.testing.partners import PartnerServer
from ringfence.testing.scenes import Backend, Scene, Seen
from ringfence.transport import Clients
from ringfence_openai.provider import OpenAIProvider

KEY = "sk-test-0123456789"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one run gave."""

    events: list[ProviderEvent]

    @property
    def message(self) -> Message:
        assembler = Assembler("openai", frozenset())
        for event in self.events:
            assembler.add(event)
        assert assembler.finish is not None
        return assembler.message()

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def finish(self) -> Finish:
        last = self.events[-1]
        assert isinstance(last, Finish)
        return last

    @property
    def usage(self) -> Usage:
        return [event.usage for event in self.events if isinstance(event, UsageReport)][-1]


@dataclass(frozen=True, kw_only=True)
class Kit:
    """A provider and its recipient at the double."""

    provider: OpenAIProvider
    backend: Backend
    recipient: Recipient

    def at(self, **fields: Any) -> Kit:
        """The same with another recipient at the same double; `options` are added to those there are."""
        options = {**self.recipient.options, **fields.pop("options", {})}
        return Kit(
            provider=self.provider, backend=self.backend, recipient=recipient(self.backend, options=options, **fields)
        )

    def request(self, text: str = "What is the capital of France?", **fields: Any) -> Request:
        """`fields` are those of `Request`, and those of `Settings` by name."""
        names = set(Settings.__dataclass_fields__)
        settings = {name: fields.pop(name) for name in list(fields) if name in names}
        messages = fields.pop("messages", (Message("user", (TextPart(text),)),))
        return Request(messages=messages, settings=Settings(**settings), **fields)

    async def plan(self, request: Request) -> Plan[object]:
        card = await self.provider.card(self.recipient)
        if self.recipient.capabilities is not None:
            import dataclasses

            card = dataclasses.replace(card, capabilities=self.recipient.capabilities)  # type: ignore[arg-type]
        return self.provider.plan(request, self.recipient, card)

    def grant(self, request: Request) -> Grant:
        mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
        return Grant(mint, request, recipient=self.recipient)

    async def run(self, request: Request) -> AsyncGenerator[ProviderEvent, None]:
        return self.provider.run(await self.plan(request), self.grant(request))

    async def ask(self, text: str = "Hello", *scenes: Scene, **fields: Any) -> Answer:
        if scenes:
            self.backend.play(*scenes)
        events: list[ProviderEvent] = []
        async with aclosing(await self.run(self.request(text, **fields))) as run:
            async for event in run:
                events.append(event)  # noqa: PERF401  (what came is kept where a later event raises)
        return Answer(events=events)

    def sent(self) -> Any:
        """The body of the last request."""
        return json.loads(self.backend.seen()[-1].body)

    def last(self) -> Seen:
        return self.backend.seen()[-1]


def recipient(backend: Backend, **fields: Any) -> Recipient:
    fields = {"name": "far", "ring": "partner", "provider": "openai", "model": "gpt-5.5", **fields}
    fields.setdefault("capabilities", ALL)
    fields.setdefault("secret", Secret("env:TEST_OPENAI_KEY"))
    return Recipient(url=backend.url, **fields)


ALL = frozenset(
    {
        "text",
        "image_input",
        "file_input",
        "tools",
        "output_schema",
        "reasoning",
        "draw",
        "embed",
        "transcribe",
        "speak",
        "count_tokens",
    }
)


@pytest.fixture(scope="module")
def partner() -> Generator[PartnerServer]:
    with PartnerServer() as server:
        yield server


@pytest_asyncio.fixture
async def openai(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[OpenAIProvider]:
    monkeypatch.setenv("TEST_OPENAI_KEY", KEY)
    clients = Clients()
    provider = OpenAIProvider()
    await provider.open(
        ProviderContext(
            cache_dir=tmp_path / "cache",
            state_dir=tmp_path / "state",
            logger=logging.getLogger("ringfence.openai"),
            monotonic_s=time.monotonic,
            http=lambda to: clients.client(to, provider.manifest),
        )
    )
    yield provider
    await provider.close()
    await clients.aclose()


@pytest.fixture(params=["responses", "chat"])
def kit(request: pytest.FixtureRequest, partner: PartnerServer, openai: OpenAIProvider) -> Kit:
    """Both APIs, one after the other."""
    return _kit(request.param, partner, openai)


@pytest.fixture
def responses(partner: PartnerServer, openai: OpenAIProvider) -> Kit:
    return _kit("responses", partner, openai)


@pytest.fixture
def chat(partner: PartnerServer, openai: OpenAIProvider) -> Kit:
    return _kit("chat", partner, openai)


def _kit(api: str, partner: PartnerServer, provider: OpenAIProvider) -> Kit:
    backend = partner.openai
    backend.play()
    return Kit(provider=provider, backend=backend, recipient=recipient(backend, options={"api": api}))
