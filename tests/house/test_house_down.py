"""A house that is down or full: what only the house may know goes nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from examples.house.asking import AT_ONCE
from examples.house.attacks import ON_ANSWERS, ON_EVIDENCE
from examples.house.cluster import Cluster
from examples.house.hostile_balancer import Attack, HostileBalancer
from examples.house.processes import free_port

from ringfence import AsyncAssistant, ProviderError
from ringfence.policy import read_policy
from ringfence.testing import PartnerServer

QUESTION = "What helps against quokka bites?"
DOWN = [
    attack
    for attack in (*ON_ANSWERS, *ON_EVIDENCE)
    if attack.name in {"says 503 to everything", "says 502 in HTML", "has no directory", "shows no node at all"}
]
_POLICY = """\
version: 1
name: down
recipients:
  in-house: {{ring: house, provider: house, model: scripted, directory: "{url}", trust: "{trust}",
             min_tier: software-dev}}
  rented:   {{ring: partner, provider: openai, model: gpt-5.2, url: "{partner}"}}
labels:
  public: {{}}
  health: {{declare: true}}
  unclassified: {{}}
unknown: unclassified
flow:
  - id: house-any
    allow: {{labels: "*", to: [house]}}
    require: {{attested: true}}
  - id: partner-public
    allow: {{labels: [public], to: [partner]}}
    consent: ask
route:
  - {{id: only, prefer: [in-house], fallback: [rented]}}
"""


@pytest.fixture(scope="module")
def partner() -> Iterator[PartnerServer]:
    with PartnerServer(keyless=True) as server:
        yield server


async def asked(url: str, cluster: Cluster, partner: PartnerServer, label: str) -> str:
    policy = read_policy(_POLICY.format(url=url, trust=cluster.trust, partner=partner.url))
    assistant = AsyncAssistant(policy, audit=False, retry=AT_ONCE, consent=lambda _: True)
    async with assistant:
        return str((await assistant.respond(QUESTION, labels=[label])).receipt.recipient)


@pytest.mark.parametrize("attack", DOWN, ids=lambda attack: attack.name)
async def test_what_only_the_house_may_know_is_not_pushed_to_a_partner(
    attack: Attack, balancer: HostileBalancer, cluster: Cluster, partner: PartnerServer
) -> None:
    balancer.attack = attack
    partner.play()
    with pytest.raises(ProviderError) as failed:
        await asked(balancer.url, cluster, partner, "health")
    assert QUESTION not in str(failed.value)
    assert partner.seen() == ()
    # The same house, the same moment: what a partner may know goes there, so it was the policy that stopped the other.
    assert await asked(balancer.url, cluster, partner, "public") == "rented"
    assert len(partner.seen()) == 1


async def test_nor_if_nothing_listens_there(cluster: Cluster, partner: PartnerServer) -> None:
    partner.play()
    async with asyncio.timeout(60):
        with pytest.raises(ProviderError):
            await asked(f"http://127.0.0.1:{free_port()}", cluster, partner, "health")
    assert partner.seen() == ()
