"""The embedded model and a provider on it: real parts, brought once and shared by the tests of a module."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
import pytest_asyncio

import ringfence.grant
from ringfence.grant import Grant
from ringfence.paths import cache_dir
from ringfence.provider import Available, ModelCard, Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Message, Request, Settings, TextPart
from ringfence.response import Finish, ProviderEvent, TextDelta, Usage, UsageReport
from ringfence_mlx.models.catalog import EMBEDDED_MODEL, EMBEDDING_MODEL
from ringfence_mlx.models.store import ModelStore
from ringfence_mlx.provider import MlxProvider


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one run gave."""

    events: list[ProviderEvent]

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
        return next(event.usage for event in self.events if isinstance(event, UsageReport))


@dataclass(frozen=True, kw_only=True)
class Kit:
    """A provider with the embedded model, and short ways to ask it."""

    provider: MlxProvider
    card: ModelCard

    @property
    def recipient(self) -> Recipient:
        return on_device(self.card.name)

    def request(self, text: str = "What is the capital of France?", **fields: Any) -> Request:
        """`fields` are those of `Request`, and those of `Settings` by name; at most 12 tokens unless said otherwise."""
        names = set(Settings.__dataclass_fields__)
        settings = {name: fields.pop(name) for name in list(fields) if name in names}
        settings.setdefault("max_output_tokens", 12)
        messages = fields.pop("messages", (Message("user", (TextPart(text),)),))
        return Request(messages=messages, settings=Settings(**settings), **fields)

    def plan(self, request: Request) -> Plan[object]:
        return self.provider.plan(request, self.recipient, self.card)

    def grant(self, request: Request) -> Grant:
        mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
        return Grant(mint, request, recipient=self.recipient)

    async def count(self, request: Request) -> int:
        return await self.provider.count_tokens(self.plan(request), self.grant(request))

    @staticmethod
    def on_device(model: str) -> Recipient:
        return on_device(model)

    def run(self, request: Request) -> AsyncGenerator[ProviderEvent, None]:
        return self.provider.run(self.plan(request), self.grant(request))

    async def answer(self, text: str = "What is the capital of France?", **fields: Any) -> Answer:
        async with aclosing(self.run(self.request(text, **fields))) as events:
            return Answer(events=[event async for event in events])

    def worker_pid(self) -> int | None:
        supervisor = self.fleet.running(self.card.name, "generate")
        return None if supervisor is None else supervisor.pid

    @property
    def fleet(self) -> Any:
        opened = self.provider._opened  # pyright: ignore[reportPrivateUsage]  # what no caller can see
        assert opened is not None
        return opened.fleet

    async def stats(self) -> dict[str, Any]:
        """The engine's own counts."""
        supervisor = self.fleet.running(self.card.name, "generate")
        return dict(await supervisor.ask("stats"))


def on_device(model: str) -> Recipient:
    """`model` as the policy would declare it."""
    return Recipient(name="mlx", ring="device", provider="mlx", model=model)


def no_network(recipient: Recipient) -> httpx2.AsyncClient:
    raise AssertionError(f"{recipient.name} is on the device ring, and asked for the network")


async def _bring(store: ModelStore, name: str) -> None:
    async for _ in store.download(name):
        pass


def _ensure(folder: Path, name: str) -> None:
    store = ModelStore(folder)
    if not isinstance(store.availability(name), Available):
        asyncio.run(_bring(store, name))


@pytest.fixture(scope="session")
def mlx_cache_dir() -> Path:
    """Where the embedded model is kept; it is brought there if it is not."""
    folder = cache_dir() / "mlx"
    _ensure(folder, EMBEDDED_MODEL)
    return folder


@pytest.fixture(scope="session")
def embedding_model(mlx_cache_dir: Path) -> str:
    """The model for embeddings; it is brought if it is not there."""
    _ensure(mlx_cache_dir, EMBEDDING_MODEL)
    return EMBEDDING_MODEL


_SMALL = """\
import json, pathlib, shutil, sys
import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs

source, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2], "model")
target.mkdir()
config = json.loads((source / "config.json").read_text())
config |= {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}
config |= {"num_attention_heads": 4, "num_key_value_heads": 2}
mx.random.seed(7)
model = Model(ModelArgs.from_dict(config))
mx.save_safetensors(str(target / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
(target / "config.json").write_text(json.dumps(config))
for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
    shutil.copy(source / name, target)
"""


@pytest.fixture(scope="session")
def small_model(mlx_cache_dir: Path) -> Path:
    """The folder of a model of two layers with random weights and the embedded one's words: the same code, faster."""
    folder = mlx_cache_dir / "small"
    if not folder.is_dir():
        embedded = ModelStore(mlx_cache_dir).resolve(EMBEDDED_MODEL).path
        with TemporaryDirectory(dir=mlx_cache_dir) as made:
            subprocess.run([sys.executable, "-c", _SMALL, str(embedded), made], check=True, timeout=120)
            with suppress(OSError):  # it is there: another process was as quick
                Path(made, "model").rename(folder)
    return folder


@pytest.fixture(scope="session")
def provider_context(mlx_cache_dir: Path) -> Callable[..., ProviderContext]:
    """Makes the context of a provider; keywords are options."""

    def make(**options: object) -> ProviderContext:
        return ProviderContext(
            cache_dir=mlx_cache_dir,
            state_dir=mlx_cache_dir / "state",
            logger=logging.getLogger("ringfence"),
            options=options,
            monotonic_s=time.monotonic,
            http=no_network,
        )

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kit(provider_context: Callable[..., ProviderContext]) -> AsyncIterator[Kit]:
    """One provider for the tests of a module; the model is loaded once."""
    provider = MlxProvider()
    await provider.open(provider_context())
    yield Kit(provider=provider, card=await provider.card(on_device(EMBEDDED_MODEL)))
    await provider.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small_kit(kit: Kit, small_model: Path) -> AsyncIterator[Kit]:
    """The provider of the module, asked for the small model; that is unloaded at the end."""
    yield Kit(provider=kit.provider, card=await kit.provider.card(on_device(str(small_model))))
    await kit.fleet.drop(str(small_model))
