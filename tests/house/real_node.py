"""One real node with a scripted service, in this process, and apps that ask it as callers with a name."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ringfence import AsyncAssistant, Retry
from ringfence.policy import read_policy
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import DevelopmentCa
from ringfence_house.attestation.trust import make_trust
from ringfence_house.releases.reference import Device
from ringfence_house.releases.repository import Repository
from ringfence_house.testing.fleet import release
from ringfence_house_node.attestors.development import DevelopmentAttestor
from ringfence_house_node.server.app import public_app
from ringfence_house_node.server.callers import Callers
from ringfence_house_node.server.limits import Limits
from ringfence_house_node.server.metrics import Outcome
from ringfence_house_node.server.node import Node
from ringfence_house_node.server.serving import Address, Server, bind
from ringfence_house_node.service import Answer, Call, Readiness

RELEASE = release("r1", model="scripted")
_SERIAL, _UEID = "DEVTEST0001", "dev-ueid"
_POLICY = """\
version: 1
name: node
recipients:
  own: {{ring: house, provider: house, model: scripted, directory: "{url}", trust: "{trust}", min_tier: software-dev,
        secret: "env:{secret}"}}
labels: {{internal: {{declare: true}}, unclassified: {{}}}}
unknown: unclassified
flow:
  - {{id: houses, allow: {{labels: "*", to: [house]}}, require: {{attested: true}}}}
route:
  - {{id: only, prefer: [own]}}
"""


@dataclass
class Held:
    """A service that answers nobody before it is let go; `order` is what it was asked, in turn."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    order: list[str] = field(default_factory=list[str])
    readiness: Readiness = "ready"

    async def start(self) -> None:
        """Nothing computes."""

    async def close(self) -> None:
        """Nothing was started."""

    async def respond(self, call: Call) -> Answer:
        """Answers as soon as it is let go."""
        self.order.append(json.loads(call.body)["messages"][-1]["content"])
        return Answer(status=200, media_type="text/event-stream", body=self._words(), stream=True)

    async def _words(self) -> AsyncGenerator[bytes, None]:
        await self.open.wait()
        yield b'data: {"choices":[{"index":0,"delta":{"content":"here"}}]}\n\n'
        yield b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        yield b"data: [DONE]\n\n"


@dataclass(frozen=True, kw_only=True)
class Running:
    """A node that is served."""

    node: Node
    service: Held
    url: str
    trust: Path

    def ended(self, outcome: Outcome) -> float:
        """How many requests ended so."""
        line = next(line for line in self.node.metrics.text().splitlines() if f'="{outcome}"'.encode() in line)
        return float(line.split()[-1])

    def app(self, caller: str, **retry: Any) -> AsyncAssistant:
        """An app with the token of `caller`."""
        text = _POLICY.format(url=self.url, trust=self.trust, secret=_variable(caller))
        return AsyncAssistant(read_policy(text), audit=False, retry=Retry(**retry))


def _variable(caller: str) -> str:
    return f"TOKEN_OF_{caller.upper()}"


@asynccontextmanager
async def real_node(
    folder: Path, limits: Limits, callers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Running, None]:
    """A node on a free port of loopback, with its own repository, that knows `callers` by their tokens."""
    for caller in callers:
        monkeypatch.setenv(_variable(caller), f"token-of-{caller}")
    digests = {hashlib.sha256(f"token-of-{caller}".encode()).hexdigest(): caller for caller in callers}
    now = time.time()
    attestor = DevelopmentAttestor.open(folder / "ca", folder / "ak.pem", serial=_SERIAL, ueid=_UEID, os_version="15.1")
    repository = Repository.create(folder / "releases", keys=folder / "keys", now=now)
    repository.add_release(RELEASE)
    repository.add_device(Device(serial=_SERIAL, ueid=_UEID))
    repository.publish(now)
    trust = folder / "house.trust.json"
    trust.write_bytes(make_trust(repository.root_bytes(), (DevelopmentCa.open(folder / "ca", now).root,)))
    claim: ReleaseClaim = {
        "id": RELEASE.id,
        "code": RELEASE.code,
        "model": RELEASE.model_digest,
        "config": RELEASE.config,
    }
    service = Held()
    node = Node(
        service=service, attestor=attestor, release=claim, model="scripted", limits=limits, callers=Callers(digests)
    )
    node.ring.rotate()
    public = bind(Address(host="127.0.0.1", port=0))
    server = Server(public_app(node, releases=folder / "releases"), public)
    try:
        yield Running(node=node, service=service, url=public.url, trust=trust)
    finally:
        service.open.set()
        node.cut()
        await server.close()


async def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds; a test that waits in vain fails."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  (what is waited for is no event)
            await asyncio.sleep(0.005)
