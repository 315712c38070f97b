"""What time does to a house: keys rotate, evidence ends, nodes die, a balancer breaks connections."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from examples.house.asking import AT_ONCE, policy_text
from examples.house.attacks_on_proof import ON_EVIDENCE
from examples.house.cluster import INSTALL, Cluster
from examples.house.hostile_balancer import EVIDENCE, FAITHFUL, OHTTP, HostileBalancer
from examples.house.processes import answers
from tests.house.soak import ECHO, MODEL, Soak, house, soak

from ringfence import AsyncAssistant, ProviderError, Retry
from ringfence.policy import read_policy
from ringfence.testing import PartnerServer
from ringfence.testing.scenes import Scene

KEY_LIFE_S = 6


@pytest.fixture(scope="module")
def hasty(engine: PartnerServer) -> Iterator[Cluster]:
    """Nodes whose keys live for seconds."""
    with house(KEY_LIFE_S, engine) as cluster:
        yield cluster


@pytest.fixture
def slow(engine: PartnerServer) -> Iterator[Scene]:
    """An answer in pieces that come one by one."""
    scene = Scene(text=("one ", "two ", "three ", "four"), chunk_delay_s=0.15)
    engine.play(scene)
    yield scene
    engine.play()


@pytest.fixture
def front(hasty: Cluster) -> Iterator[HostileBalancer]:
    with HostileBalancer(directory=hasty.directory_address, nodes=hasty.node_addresses) as balancer:
        yield balancer


async def asked_until(assistant: AsyncAssistant, until_s: float) -> None:
    while time.monotonic() < until_s:
        await assistant.respond("again")
        await asyncio.sleep(0.2)


async def answered_before(assistant: AsyncAssistant, until_s: float) -> bool:
    while time.monotonic() < until_s:
        with contextlib.suppress(ProviderError):
            return (await assistant.respond("third")).text == f"{ECHO}third"
        await asyncio.sleep(0.2)
    return False


async def test_keys_rotate_under_load_and_nobody_notices(hasty: Cluster) -> None:
    calm = Soak(requests=80, at_once=2, kill_every_s=0, reset_every_s=0, balancer_every_s=0, pace_s=0.15)
    tally = await soak(calm, hasty)
    assert tally.errors == {}
    assert tally.faults == {}
    assert tally.right == calm.requests
    assert len(tally.nodes) > 2, "no key was followed by another"


async def test_a_directory_that_is_gone_is_missed_when_the_evidence_ends(
    hasty: Cluster, front: HostileBalancer
) -> None:
    policy = read_policy(policy_text(model=MODEL, url=front.url, trust=hasty.trust))
    gone = next(attack for attack in ON_EVIDENCE if attack.name == "has no directory")
    async with AsyncAssistant(policy, audit=False, retry=AT_ONCE) as assistant:
        assert (await assistant.respond("first")).text == f"{ECHO}first"
        front.attack = replace(gone, releases=gone.evidence)
        began = time.monotonic()
        # What was verified is good until its end.
        assert (await assistant.respond("second")).text == f"{ECHO}second"
        with pytest.raises(ProviderError) as failed:
            await asked_until(assistant, began + 60)
        sent = len(front.seen(OHTTP))
        with pytest.raises(ProviderError):
            await assistant.respond("canary-quokka")
        # Fails closed: nothing is sealed for a node that was verified once upon a time.
        assert len(front.seen(OHTTP)) == sent
        assert "canary" not in str(failed.value)
        front.attack = FAITHFUL
        assert await answered_before(assistant, time.monotonic() + 60)


@pytest.mark.system
async def test_haproxy_finds_the_node_and_holds_nothing_of_an_answer_back(hasty: Cluster, slow: Scene) -> None:
    if hasty.balancer is None:
        pytest.skip(f"haproxy is not installed ({INSTALL})")
    policy = read_policy(policy_text(model=MODEL, url=hasty.url, trust=hasty.trust))
    async with AsyncAssistant(policy, audit=False, retry=Retry(attempts=1)) as assistant:
        for _ in range(4):
            # Whichever node it was sealed for, and without a second try of the client's.
            assert (await assistant.respond("hello")).text == "".join(slow.text)
        async with assistant.stream("hello") as stream:
            came_s = [time.monotonic() async for text in stream.text() if text]
    assert len(came_s) == len(slow.text)
    # Pieces that were held back would come together.
    assert min(later - earlier for earlier, later in pairwise(came_s)) > slow.chunk_delay_s / 4


@pytest.mark.system
@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/", "/house/v1/ohttp/x", "/v1/chat/completions"])
def test_haproxy_shows_nothing_else_of_a_node(hasty: Cluster, path: str) -> None:
    if hasty.balancer is None:
        pytest.skip(f"haproxy is not installed ({INSTALL})")
    assert not answers(hasty.url + path)
    assert answers(hasty.url + EVIDENCE)


async def test_two_hundred_requests_through_what_breaks(hasty: Cluster) -> None:
    # Last, since it leaves nodes that have just begun anew, and a directory that still shows their old keys.
    rough = Soak(requests=200, at_once=4, kill_every_s=3, reset_every_s=1.5, balancer_every_s=5, pace_s=0.1)
    tally = await soak(rough, hasty)
    assert tally.faults == {}
    assert tally.holds, tally.errors
    assert tally.right + tally.errors.total() == rough.requests
    assert tally.right > rough.requests * 0.8
    assert tally.done["nodes killed"] > 0
    assert tally.done["connections reset"] > 0
