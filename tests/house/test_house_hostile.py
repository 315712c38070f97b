"""A balancer that the operator lost tries everything that it can: the client says no, or nothing at all was sent.

Nor does what only the house may know go elsewhere, where the house seems to be down.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from examples.house.asking import AT_ONCE, Outcome, ask
from examples.house.attacks import ON_ANSWERS, ON_REQUESTS, SLOWLY, cut_after
from examples.house.attacks_on_proof import ON_EVIDENCE, ON_RELEASES, with_stale_releases
from examples.house.cluster import Cluster
from examples.house.forged import own_root, published_again, under_own_ca
from examples.house.hostile_balancer import FAITHFUL, OHTTP, Attack, HostileBalancer
from examples.house.processes import free_port
from examples.house.sealed import parts

from ringfence import AsyncAssistant
from ringfence.errors import AttestationFailed, ProviderError, StreamBroken
from ringfence.policy import read_policy
from ringfence.testing import PartnerServer
from ringfence_house.attestation.development import SoftwareDev
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.trust import read_trust
from ringfence_house.attestation.verify import verify
from ringfence_house.releases.faults import Missing
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house.testing.fleet import Fleet

CANARY = "my PIN is 8812-quokka-aches"
QUESTION = f"{CANARY}; where do I keep it, and who may know of it?"
ANSWER = f"I was asked: {QUESTION}"
ONE_OF_TWO = "shows one node of two"
OF_ANOTHER = {"splices the tail of another answer", "gives another request's answer"}
DOWN = [
    attack
    for attack in (*ON_ANSWERS, *ON_EVIDENCE)
    if attack.name in {"says 503 to everything", "says 502 in HTML", "has no directory", "shows no node at all"}
]
OVERFLOWING = """\
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


def asked_of(engine: PartnerServer) -> int:
    """How often the question reached the engine."""
    return sum(CANARY.encode() in seen.body for seen in engine.seen())


def refused(outcome: Outcome) -> ProviderError:
    """The error of the house; nothing that it shows has the question in it."""
    assert outcome.text is None
    assert isinstance(outcome.error, ProviderError), outcome.said
    assert CANARY not in outcome.said
    assert outcome.receipt is not None
    assert outcome.receipt.outcome == "failed"
    return outcome.error


def assert_nothing_left(balancer: HostileBalancer) -> None:
    """No byte of the prompt: no sealed request was made, and what was sent does not hold it."""
    assert balancer.exchanges
    assert balancer.seen(OHTTP) == []
    assert all(exchange.request.body == b"" for exchange in balancer.exchanges)
    assert CANARY.encode() not in balancer.recorded()
    assert b"quokka" not in balancer.recorded()


async def test_through_a_faithful_balancer_the_answer_comes_sealed(
    balancer: HostileBalancer, policy: Callable[..., str], engine: PartnerServer
) -> None:
    engine.play()
    outcome = await ask(policy(min_nodes=2), QUESTION)
    assert outcome.text == ANSWER, outcome.said
    assert asked_of(engine) == 1
    assert outcome.receipt is not None
    assert str(outcome.receipt.attestation).startswith("DEVELOPMENT")
    [exchange] = balancer.seen(OHTTP)
    assert CANARY.encode() not in balancer.recorded()
    assert CANARY.encode() not in exchange.answer


@pytest.mark.parametrize("attack", [*ON_EVIDENCE, *ON_RELEASES], ids=lambda attack: attack.name)
async def test_a_house_that_does_not_prove_itself_is_sent_nothing(
    attack: Attack, balancer: HostileBalancer, policy: Callable[..., str], engine: PartnerServer
) -> None:
    balancer.attack = attack
    before = asked_of(engine)
    outcome = await ask(policy(min_nodes=2 if attack.name == ONE_OF_TWO else 1), QUESTION)
    refused(outcome)
    assert outcome.receipt is not None
    assert outcome.receipt.attestation_digest is None
    assert_nothing_left(balancer)
    assert asked_of(engine) == before


def test_the_evidence_under_a_ca_of_its_own_lacks_nothing_but_a_trusted_ca(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "fleet")
    reader = ReleaseReader(read_trust(fleet.trust).root, tmp_path / "kept", partial(released, fleet))
    now = time.time()
    genuine = json.loads(fleet.machines[0].evidence.encoded)
    forged = json.dumps(under_own_ca(genuine), sort_keys=True, separators=(",", ":")).encode()
    how: dict[str, Any] = {"min_tier": "software-dev", "model": None, "now": now}
    reference = reader.refresh(now)
    assert verify(forged, reference, [SoftwareDev([own_root()])], **how).serial == fleet.machines[0].serial
    with pytest.raises(EvidenceRefused):
        verify(forged, reference, [SoftwareDev([fleet.ca.root])], **how)


def released(fleet: Fleet, path: str) -> bytes:
    found = fleet.release_file(path)
    if found is None:
        raise Missing
    return found


async def test_releases_that_were_published_once_are_not_taken_for_those_of_now(
    balancer: HostileBalancer, cluster: Cluster, policy: Callable[..., str], engine: PartnerServer, tmp_path: Path
) -> None:
    engine.play()
    back, freeze = with_stale_releases(published_again(cluster.state))
    # The attack on the memory of a client is none on one without: to that one the older list is as good as the newer.
    balancer.attack = back
    assert (await ask(policy(), "a question of somebody else")).error is None
    balancer.attack = FAITHFUL
    assert (await ask(policy(), "a question of somebody else", kept=tmp_path)).error is None
    for attack, kept, why in ((back, tmp_path, "older than one that was seen"), (freeze, None, "has ended")):
        balancer.exchanges.clear()
        balancer.attack = attack
        error = refused(await ask(policy(), QUESTION, kept=kept))
        assert isinstance(error, AttestationFailed)
        assert why in str(error)
        assert_nothing_left(balancer)
    assert asked_of(engine) == 0


async def test_development_evidence_is_not_enough_where_the_policy_wants_apples(
    balancer: HostileBalancer, policy: Callable[..., str]
) -> None:
    error = refused(await ask(policy(min_tier="apple-mda"), QUESTION))
    assert isinstance(error, AttestationFailed)
    assert balancer.seen(OHTTP) == []


@pytest.mark.parametrize("attack", ON_REQUESTS, ids=lambda attack: attack.name)
async def test_a_request_that_was_touched_is_not_answered(
    attack: Attack, balancer: HostileBalancer, policy: Callable[..., str], engine: PartnerServer
) -> None:
    engine.play()
    if attack.name == "sends the request to another node":
        await both_nodes_asked(balancer, policy())
    balancer.exchanges.clear()
    balancer.attack = attack
    outcome = await ask(policy(), QUESTION)
    refused(outcome)
    # A replayed request was answered once, to the balancer, which cannot read the answer.
    sealed = len(balancer.seen(OHTTP))
    assert sealed
    assert asked_of(engine) == (sealed if attack.name == "replays the request" else 0)
    assert CANARY.encode() not in balancer.recorded()


@pytest.mark.parametrize("attack", [*ON_ANSWERS, *(cut_after(count) for count in range(4, 6))], ids=lambda a: a.name)
async def test_an_answer_that_was_touched_is_never_taken_for_whole(
    attack: Attack, balancer: HostileBalancer, policy: Callable[..., str], engine: PartnerServer
) -> None:
    engine.play(SLOWLY)
    if attack.name in OF_ANOTHER:
        assert (await ask(policy(), "a question of somebody else")).text == "".join(SLOWLY.text)
        [before] = balancer.seen(OHTTP)
        assert len(parts(bytes(before.answer)).chunks) > 3, "the attacks need chunks to work on"
    balancer.attack = attack
    error = refused(await ask(policy(), QUESTION))
    assert CANARY.encode() not in balancer.recorded()
    if isinstance(error, StreamBroken):
        assert "".join(SLOWLY.text).startswith(error.partial_text)


async def both_nodes_asked(balancer: HostileBalancer, policy: str) -> None:
    """Each node has answered through the balancer, which so knows of both."""
    balancer.attack = FAITHFUL
    for _ in range(20):
        assert (await ask(policy, "a question of somebody else")).error is None
        if len({exchange.request.fields["ringfence-node"] for exchange in balancer.seen(OHTTP)}) == 2:
            return
    raise AssertionError("one node was never chosen in twenty requests")


# ------------------------------------------------------------------ a house that is down
@pytest.fixture(scope="module")
def partner() -> Iterator[PartnerServer]:
    with PartnerServer(keyless=True) as server:
        yield server


async def asked_with_a_partner(url: str, cluster: Cluster, partner: PartnerServer, label: str) -> str:
    policy = read_policy(OVERFLOWING.format(url=url, trust=cluster.trust, partner=partner.url))
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
        await asked_with_a_partner(balancer.url, cluster, partner, "health")
    assert CANARY not in str(failed.value)
    assert partner.seen() == ()
    # The same house, the same moment: what a partner may know goes there, so it was the policy that stopped the other.
    assert await asked_with_a_partner(balancer.url, cluster, partner, "public") == "rented"
    assert len(partner.seen()) == 1


async def test_nor_if_nothing_listens_there(cluster: Cluster, partner: PartnerServer) -> None:
    partner.play()
    async with asyncio.timeout(60):
        with pytest.raises(ProviderError):
            await asked_with_a_partner(f"http://127.0.0.1:{free_port()}", cluster, partner, "health")
    assert partner.seen() == ()
