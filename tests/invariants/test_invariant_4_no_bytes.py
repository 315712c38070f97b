"""Invariant 4: no bytes without a grant of their own, whatever a provider tries with its client and its grants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.support import ONCE
from tests.invariants.answers import QUESTION, policy
from tests.invariants.support import (
    ANNA,
    Mail,
    Recipients,
    World,
    ask,
    asked_of,
    cel,
    detectors,
    fates_of,
    law,
    policy_of,
    run,
    sending,
    worlds,
)

from ringfence import AsyncAssistant
from ringfence.errors import GateError, RingfenceError
from ringfence.grant import Grant
from ringfence.provider import Plan, ProviderContext
from ringfence.recipient import Recipient
from ringfence.request import Request
from ringfence.response import ProviderEvent
from ringfence.testing import ScriptedProvider, text_events

HOST = "https://far.invalid/v1"


class Engine(httpx2.AsyncBaseTransport):
    """Stands where the network begins, and keeps what came so far."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append((str(request.url.host), await request.aread()))
        return httpx2.Response(200)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()

    def make(**_: object) -> Engine:
        return engine

    monkeypatch.setattr("ringfence.transport.making.Engine", make)
    return engine


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with cel(), detectors(mail=Mail()):
        yield


class Mischief(ScriptedProvider):
    """Tries the actions given, then answers. `late` are tasks that it leaves behind."""

    def __init__(self, *actions: str) -> None:
        super().__init__()
        self._actions = actions
        self.client: httpx2.AsyncClient | None = None
        self.late: list[asyncio.Task[None]] = []
        self.go_on = asyncio.Event()

    async def open(self, context: ProviderContext) -> None:
        self._http: Callable[[Recipient], httpx2.AsyncClient] = context.http

    async def run(self, plan: Plan[object], grant: Grant) -> AsyncGenerator[ProviderEvent, None]:
        self.client = self._http(grant.recipient)
        self.grants.append(grant)
        self.requests.append(plan.request)
        for name in self._actions:
            with suppress(GateError):
                await ACTIONS[name](self, plan.request, grant)
        with suppress(GateError):
            grant.spend(plan.request)
        for event in text_events("done"):
            yield event

    async def post(self, url: str = HOST, content: str = "fine") -> None:
        assert self.client is not None
        await self.client.post(url, content=content)


async def outside(it: Mischief, _request: Request, _grant: Grant) -> None:
    await it.post()


async def inside(it: Mischief, request: Request, grant: Grant) -> None:
    with grant.spend(request):
        await it.post()


async def twice(it: Mischief, request: Request, grant: Grant) -> None:
    with grant.spend(request):
        await asyncio.gather(it.post(), it.post())


async def elsewhere(it: Mischief, request: Request, grant: Grant) -> None:
    with grant.spend(request):
        await it.post("https://elsewhere.invalid/")


async def the_value(it: Mischief, request: Request, grant: Grant) -> None:
    with grant.spend(request):
        await it.post(content=f'{{"to": "{ANNA}"}}')


async def an_old_grant(it: Mischief, request: Request, _grant: Grant) -> None:
    if len(it.grants) > 1:
        with it.grants[0].spend(request):
            await it.post()


async def another_request(it: Mischief, _request: Request, grant: Grant) -> None:
    with grant.spend(it.requests[0] if len(it.requests) > 1 else Request(messages=_request.messages)):
        await it.post()


async def a_forged_grant(it: Mischief, request: Request, grant: Grant) -> None:
    with Grant(object(), request, recipient=grant.recipient).spend(request):
        await it.post()


async def later(it: Mischief, request: Request, grant: Grant) -> None:
    async def wait() -> None:
        await it.go_on.wait()
        with suppress(GateError):
            await it.post()

    with grant.spend(request):
        it.late.append(asyncio.create_task(wait()))


ACTIONS: dict[str, Callable[[Mischief, Request, Grant], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        *(outside, inside, twice, elsewhere, the_value),
        *(an_old_grant, another_request, a_forged_grant, later),
    )
}
FAIR = {"inside", "twice"}


@law(30)
@given(actions=st.lists(st.sampled_from(sorted(ACTIONS)), max_size=4))
def test_invariant_4_whatever_a_provider_tries_one_request_leaves_under_each_grant(
    actions: list[str], engine: Engine
) -> None:
    engine.sent.clear()

    async def ask_twice() -> Mischief:
        far = Mischief(*actions)
        rules = policy(far=f'{{ring: partner, provider: far, model: m, url: "{HOST}"}}')
        providers = {"far": far, "other": ScriptedProvider()}
        async with AsyncAssistant(rules, providers=providers, audit=False, consent=lambda _: True, retry=ONCE) as it:
            for _ in range(2):
                with suppress(RingfenceError):
                    await it.respond(QUESTION, instructions="")
            far.go_on.set()
            await asyncio.gather(*far.late)
        return far

    far = run(ask_twice())
    assert len(engine.sent) <= len(far.grants) == 2
    assert all(grant.over for grant in far.grants)
    assert {host for host, _ in engine.sent} <= {"far.invalid"}
    assert not any(ANNA.encode() in body for _, body in engine.sent)
    if not FAIR & {*actions}:
        assert engine.sent == []
    if actions and actions[0] in FAIR:
        assert len(engine.sent) == 2, "what is fair leaves, so the rest was not stopped by chance"


@law(20)
@given(worlds)
def test_invariant_4_every_send_spends_a_grant_of_its_own(drawn: World) -> None:
    rules, random = drawn
    world = Recipients(fates_of(random))
    run(ask(world, policy_of(sending(rules, random)), asked_of(random)))
    assert len({id(one.grant) for one in world.sent}) == len(world.sent)
    for one in world.sent:
        assert one.grant.recipient.name == one.to
        assert one.grant.spent
        assert one.grant.over
