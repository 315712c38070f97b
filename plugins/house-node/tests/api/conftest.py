"""The API of a node in front of a scripted engine, and the two clients that speak to it: the vendor's SDK and ours."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest_asyncio
from openai import AsyncOpenAI

import ringfence.grant
from ringfence import AsyncAssistant
from ringfence.errors import RingfenceError
from ringfence.grant import Grant
from ringfence.provider import Capability, Embeddings, Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Request, TextPart
from ringfence.response import ProviderEvent
from ringfence.testing import Script, ScriptedProvider
from ringfence_house_node.api.answering import Api
from ringfence_house_node.engine.assistant import engine_assistant
from ringfence_house_node.engine.limits import limits_of
from ringfence_house_node.engine.settings import EngineServer, EngineSettings
from ringfence_house_node.service import Call
from ringfence_openai.provider import OpenAIProvider

MODEL = "house-model"
ORIGIN = "https://house.ringfence.invalid"
EVERY: frozenset[Capability] = frozenset(
    {"text", "image_input", "file_input", "tools", "output_schema", "reasoning", "embed"}
)


class Engine(ScriptedProvider):
    """Plays scripts, and makes a vector of the length of each text."""

    manifest = replace(ScriptedProvider.manifest, capabilities=EVERY)

    async def embed(self, plan: Plan[object], grant: Grant) -> Embeddings:
        grant.spend(plan.request)
        self.requests.append(plan.request)
        texts = [part.text for part in plan.request.messages[0].parts if isinstance(part, TextPart)]
        vectors = tuple((1.0, 0.0) if len(text) % 2 else (0.0, 1.0) for text in texts)
        return Embeddings(vectors=vectors, dimensions=2, input_tokens=sum(map(len, texts)))


class ToNode(httpx2.AsyncBaseTransport):
    """Hands a client's requests to the API, as the sealed endpoint does."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        answer = await self._node.api.respond(Call(path=request.url.path, body=body, tenant=self._node.tenant))
        headers = {"content-type": answer.media_type}
        if answer.retry_after_s is not None:
            headers["retry-after"] = str(answer.retry_after_s)
        return httpx2.Response(answer.status, headers=headers, stream=_Body(answer.body))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, body: AsyncGenerator[bytes, None]) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


@dataclass(kw_only=True)
class Node:
    """One node, and what its engine was asked."""

    api: Api
    engine: Engine
    assistant: AsyncAssistant
    tenant: str | None = None
    failures: list[RingfenceError] = field(default_factory=list[RingfenceError])
    signs: list[None] = field(default_factory=list[None])

    async def call(self, body: object, path: str = "/v1/chat/completions") -> tuple[int, list[bytes]]:
        """The status, and the pieces of the body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.api.respond(Call(path=path, body=data, tenant=self.tenant))
        async with aclosing(answer.body) as pieces:
            return answer.status, [piece async for piece in pieces]

    async def chat(self, **fields: Any) -> tuple[int, Any]:
        """The status and the JSON of a chat request that is not streamed."""
        status, pieces = await self.call(chat_body(**fields))
        return status, json.loads(b"".join(pieces))

    async def stream(self, **fields: Any) -> list[Any]:
        """The events of a stream, the last of them `[DONE]` or an error."""
        status, pieces = await self.call(chat_body(stream=True, **fields))
        assert status == 200
        assert all(piece.endswith(b"\n\n") for piece in pieces if piece)
        events = [event.removeprefix(b"data: ") for event in b"".join(pieces).split(b"\n\n") if event]
        return [event if event == b"[DONE]" else json.loads(event) for event in events]

    @property
    def asked(self) -> Request:
        """What the engine was asked last."""
        return self.engine.requests[-1]

    def sdk(self) -> AsyncOpenAI:
        """The vendor's client, at the node."""
        client = httpx2.AsyncClient(transport=ToNode(self))
        return AsyncOpenAI(api_key="none", base_url=f"{ORIGIN}/v1", http_client=client, max_retries=0)


def chat_body(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **fields}


MakeNode = Callable[..., Node]


@pytest_asyncio.fixture
async def make_node() -> AsyncIterator[MakeNode]:
    """Makes a node: its scripts, and the settings of its engine."""
    made: list[AsyncAssistant] = []

    def make(*scripts: Script | list[ProviderEvent] | str, server: EngineServer | None = None, **fields: Any) -> Node:
        engine = Engine(*scripts)
        if server is None:
            settings = EngineSettings(kind="mlx", model=MODEL, **fields)
        else:
            url = "http://127.0.0.1:9/v1"
            settings = EngineSettings(kind="openai", model=MODEL, url=url, server=server, **fields)
        assistant = engine_assistant(settings, providers={"mlx": engine, "openai": engine})
        made.append(assistant)
        node = Node(api=cast("Api", None), engine=engine, assistant=assistant)
        node.api = Api(
            assistant=assistant,
            model=MODEL,
            limits=limits_of(settings),
            of_a_server=server is not None,
            alive=lambda: node.signs.append(None),
            failed=node.failures.append,
        )
        return node

    yield make
    for assistant in made:
        await assistant.close()


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our own client of the Chat Completions, as the house's provider uses it."""

    provider: OpenAIProvider

    async def events(self, request: Request) -> list[ProviderEvent]:
        plan, grant = await self._planned(request)
        async with aclosing(self.provider.run(plan, grant)) as run:
            return [event async for event in run]

    async def vectors(self, request: Request) -> Embeddings:
        plan, grant = await self._planned(request)
        return await self.provider.embed(plan, grant)

    async def _planned(self, request: Request) -> tuple[Plan[object], Grant]:
        options = {"extended_sampling": True}
        recipient = Recipient(
            name="house", ring="house", provider="openai", model=MODEL, url=f"{ORIGIN}/v1", options=options
        )
        card = replace(await self.provider.card(recipient), capabilities=EVERY)
        mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
        return self.provider.plan(request, recipient, card), Grant(mint, request, recipient=recipient)


@pytest_asyncio.fixture
async def ours_at(tmp_path: Path) -> AsyncIterator[Callable[[Node], Any]]:
    """Makes our client of a node."""
    opened: list[OpenAIProvider] = []
    clients: list[httpx2.AsyncClient] = []

    async def make(node: Node) -> Ours:
        provider = OpenAIProvider()
        clients.append(httpx2.AsyncClient(transport=ToNode(node)))
        await provider.open(
            ProviderContext(
                cache_dir=tmp_path,
                state_dir=tmp_path,
                logger=logging.getLogger("ringfence"),
                monotonic_s=time.monotonic,
                http=lambda _: clients[-1],
            )
        )
        opened.append(provider)
        return Ours(provider=provider)

    yield make
    for provider in opened:
        await provider.close()
    for client in clients:
        await client.aclose()
