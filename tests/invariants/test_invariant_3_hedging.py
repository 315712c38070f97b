"""Invariants 3 and 4 where requests are hedged: whoever is slow, flow and a grant of its own let each send out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given
from tests.invariants.support import (
    Asked,
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
    state,
    worlds,
)
from tests.invariants.test_invariant_3_routing import check, some_budget
from tests.policy.random_policies import NAMES
from tests.policy.reading import expected_plan

from ringfence.grant import Grant
from ringfence.policy.document import Document, FlowRule, Hedge
from ringfence.provider import Plan
from ringfence.response import ProviderEvent


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with cel(), state(), detectors(mail=Mail()):
        yield


class Slow(Recipients):
    """Recipients of which each lets some turns of the loop pass before its first event."""

    def __init__(self, random: Random, says_no: tuple[str, ...]) -> None:
        super().__init__(fates_of(random), says_no)
        self.under_way = self.most_under_way = 0
        for double in self.doubles.values():
            slowly = partial(self._slowly, double.run, random.choice((0, 9, 30, 90)))
            object.__setattr__(double, "run", slowly)

    async def _slowly(
        self, inner: Any, turns: int, plan: Plan[object], grant: Grant
    ) -> AsyncGenerator[ProviderEvent, None]:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        events: AsyncGenerator[ProviderEvent, None] = inner(plan, grant)
        try:
            async for event in events:
                for _ in range(turns):
                    await asyncio.sleep(0)
                turns = 0
                yield event
        finally:
            self.under_way -= 1
            await events.aclose()


def hedged(document: Document, random: Random) -> Document:
    """`document` whose route hedges at once to some of those that it does not prefer."""
    route = document.route[0]
    names = [name for name in NAMES if name not in route.prefer]
    hedge = Hedge(to=tuple(random.sample(names, random.randint(1, len(names)))), after_s=0)
    fallback = tuple(name for name in route.fallback if random.random() < 0.6)
    flow = tuple(one for rule in document.flow for one in _asking_outside(rule))
    return replace(document, flow=flow, route=(replace(route, hedge=hedge, fallback=fallback),))


def _asking_outside(rule: FlowRule) -> Iterator[FlowRule]:
    """`rule`, which asks for consent only where it names a partner: a hedge asks nobody."""
    partners = rule.to & {"partner", "openai"}
    if not rule.consent or not partners:
        yield replace(rule, consent=False)
        return
    yield replace(rule, to=partners)
    if inside := rule.to - partners:
        yield replace(rule, id=f"{rule.id}-inside", to=inside, consent=False)


async def asking(world: Recipients, document: Document, asked: Asked, *, stream: bool) -> None:
    await ask(world, policy_of(document), asked, stream=stream)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@law(60)
@given(worlds)
def test_invariant_3_a_hedge_is_sent_only_what_flow_allows_it_and_on_a_grant_of_its_own(drawn: World) -> None:
    rules, random = drawn
    limits = some_budget(random)
    document = hedged(replace(sending(rules, random), budgets=limits), random)
    asked = asked_of(random)
    world = Slow(random, random.choice(((), (), ("own",), ("mlx", "openai"))))
    with state():
        run(asking(world, document, asked, stream=random.random() < 0.5))
    for one in world.sent:
        check(document, asked, one)
        assert one.grant.recipient.name == one.to
        assert one.grant.over
    assert len({id(one.grant) for one in world.sent}) == len(world.sent)
    for budget in limits:
        assert len([one for one in world.sent if one.to in document.reached(budget.of)]) <= budget.limit
    # A hedge asks nobody, so one that is nothing else is asked for never.
    only_hedges = {place.recipient for place in expected_plan(document, asked.meant()) if place.stage == "hedge"}
    assert not only_hedges & set(world.asked)
    assert world.most_under_way <= 2
    assert world.under_way == 0


def test_hedges_are_sent_and_win_and_lose_in_what_is_drawn() -> None:
    """The law is about something: in its worlds two are under way at once."""
    both = 0
    for seed in range(60):
        random = Random(seed)
        document, world = hedged(sending((), random), random), Slow(random, ())
        with state():
            run(asking(world, document, asked_of(random), stream=False))
        both += world.most_under_way == 2
    assert both > 5
