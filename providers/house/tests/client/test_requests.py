"""What leaves: one POST of ciphertext for each grant, and nothing of the request outside of it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import httpx2
import pytest
from providers.house.tests.client.support import PROMPT, TEXT, WORDS, Client, ask, saying

from ringfence.errors import GateError
from ringfence.recipient import Secret
from ringfence_house.client import sealing
from ringfence_house.client.inner import inner_request
from ringfence_house.errors import NodeUnavailable
from ringfence_house.protocol.bhttp import BinaryRequest
from ringfence_house.protocol.names import EVIDENCE_FIELD, EXPECT_FIELD, KEY_PROBLEM, TENANT_FIELD
from ringfence_house.testing import HouseServer, Machine, Outside, Received

KEY = "secret-of-the-caller-81"
LOST = b'{"type": "%b"}' % KEY_PROBLEM.encode()


def opened(house: HouseServer) -> BinaryRequest:
    found = house.received[-1].opened
    assert found is not None
    return found


def fields(house: HouseServer) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in opened(house).fields}


def machine_of(house: HouseServer, received: Received) -> Machine:
    machine = house.fleet.machine(received.headers["ringfence-node"])
    assert machine is not None
    return machine


async def test_nothing_of_the_request_is_outside(house: HouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOUSE_KEY", KEY)
    await ask(house, secret=Secret("env:HOUSE_KEY"), tenant="customer-7")
    (received,) = house.received
    assert (received.method, received.path, received.query) == ("POST", "/house/v1/ohttp", "")
    assert received.headers.keys() == {"host", "accept-encoding", "content-type", "content-length", "ringfence-node"}
    assert received.headers["content-type"] == "message/ohttp-chunked-req"
    outside = f"{received.headers}".encode() + received.body
    for word in (PROMPT, KEY, "customer-7", "some-model", "chat/completions", "openai", "python"):
        assert word.encode() not in outside
    assert PROMPT.encode() in opened(house).content


async def test_the_inner_request_says_what_the_protocol_asks(
    house: HouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_KEY", KEY)
    await ask(house, secret=Secret("env:HOUSE_KEY"), tenant="customer-7")
    inner, said = opened(house), fields(house)
    assert (inner.method, inner.scheme, inner.authority) == ("POST", "https", "house.ringfence.invalid")
    assert inner.path == "/v1/chat/completions"
    assert said.keys() == {
        *("content-type", "accept", "authorization", "date"),
        *(EVIDENCE_FIELD, EXPECT_FIELD, TENANT_FIELD),
    }
    machine = machine_of(house, house.received[0])
    assert said[EVIDENCE_FIELD] == machine.evidence.digest
    assert said[EXPECT_FIELD] == "r1 some-model"
    assert said["authorization"] == f"Bearer {KEY}"
    assert abs(parsedate_to_datetime(said["date"]).timestamp() - time()) < 60
    assert b'"stream":true' in inner.content


async def test_lengths_are_of_a_few_sizes(house: HouseServer) -> None:
    async with Client(house) as client:
        for words in (1, 2, 7, 30, 60):
            await client.ask("a " * words)
    assert len({len(received.body) for received in house.received}) == 1


async def test_tenants_are_told_apart_and_not_named(house: HouseServer) -> None:
    async with Client(house, tenant="customer-7") as client:
        await client.ask()
        first = fields(house)[TENANT_FIELD]
        await client.ask()
        assert fields(house)[TENANT_FIELD] == first
    async with Client(house, tenant="customer-7") as client:
        await client.ask()
        assert fields(house)[TENANT_FIELD] != first
    await ask(house)
    assert TENANT_FIELD not in fields(house)


async def test_each_grant_makes_one_request(house: HouseServer) -> None:
    async with Client(house, attempts=3) as client:
        await client.ask()
        assert len(house.received) == 1
        await client.ask()
        assert len(house.received) == 2
        assert house.received[0].body[:100] != house.received[1].body[:100]


async def test_a_large_request_goes_whole(house: HouseServer) -> None:
    text = PROMPT + "x" * 3_000_000
    assert (await ask(house, text)).text == TEXT
    assert text.encode() in opened(house).content


async def test_a_redacted_value_is_never_sealed(house: HouseServer) -> None:
    """The transport cannot look into ciphertext, so the plaintext is inspected before it is sealed."""
    import ringfence.grant
    from ringfence.grant import Grant

    async with Client(house) as client:
        await client.ask()
        card = await client.provider.card(client.recipient)
        house.received.clear()
        from ringfence.request import Message, Request, TextPart

        request = Request(messages=(Message("user", (TextPart(PROMPT),)),))
        mint = ringfence.grant._MINT  # pyright: ignore[reportPrivateUsage]  # tests stand in for the gate
        grant = Grant(mint, request, recipient=client.recipient, hidden=frozenset({"canary-3f9c"}))
        with pytest.raises(GateError, match="redacted"):
            async for _ in client.provider.run(client.provider.plan(request, client.recipient, card), grant):
                pass
    assert not house.received


async def test_nothing_goes_to_a_node_whose_proof_expired_while_it_was_sealed(
    house: HouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(house) as client:
        await client.ask()
        house.received.clear()
        nodes = client.provider._houses["house"].nodes  # pyright: ignore[reportPrivateUsage]
        seal = sealing._sealed_for  # pyright: ignore[reportPrivateUsage]

        def slowly(*given: Any) -> object:
            nodes._clock = lambda: time() + 3600  # pyright: ignore[reportPrivateUsage]
            return seal(*given)

        monkeypatch.setattr(sealing, "_sealed_for", slowly)
        asked = await client.ask()
    assert isinstance(asked.error, NodeUnavailable)
    assert not house.received


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "https://house.ringfence.invalid/v1/audio/speech"),
        ("POST", "https://house.ringfence.invalid/v1/chat/completions?to=elsewhere"),
        ("POST", "https://house.ringfence.invalid:8443/v1/chat/completions"),
        ("POST", "http://house.ringfence.invalid/v1/chat/completions"),
        ("POST", "https://elsewhere.example/v1/chat/completions"),
        ("GET", "https://house.ringfence.invalid/v1/chat/completions"),
    ],
)
async def test_nothing_is_made_for_another_place(house: HouseServer, method: str, url: str) -> None:
    async with Client(house) as client:
        await client.ask()
        (node, *_) = client.provider._houses["house"].nodes.valid  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(GateError):
        inner_request(httpx2.Request(method, url, content=b"{}"), node, tenant=None, now=time())


async def test_a_lost_key_is_looked_for_once_and_another_node_asked(house: HouseServer) -> None:
    async with Client(house, attempts=3) as client:
        await client.ask()
        lost = {machine.kid for machine in house.fleet.machines[:2]}
        house.received.clear()
        house.script.outside = lambda machine: (
            Outside(status=404, media_type="application/problem+json", body=LOST)
            if machine is not None and machine.kid in lost
            else None
        )
        for _ in range(5):
            assert (await client.ask()).text == TEXT
    assert len(house.received) <= 5 + len(lost)


async def test_when_every_key_was_rotated_the_new_ones_are_found(house: HouseServer) -> None:
    async with Client(house, attempts=4) as client:
        assert (await client.ask()).text == TEXT
        for machine in house.fleet.machines:
            machine.renew()
        assert (await client.ask()).text == TEXT
        assert house.received[-1].opened is not None


async def test_a_node_that_was_proved_anew_is_verified_anew(house: HouseServer) -> None:
    """The node answers 412 inside to a digest that is not its own any more."""
    from providers.house.tests.client.support import refusing

    async with Client(house, attempts=4) as client:
        await client.ask()
        for machine in house.fleet.machines:
            machine.issue(life_s=3000)
        current = {machine.evidence.digest for machine in house.fleet.machines}

        def stale(request: BinaryRequest, machine: Machine) -> object:
            digest = dict(request.fields)[EVIDENCE_FIELD.encode()].decode()
            return saying(*WORDS) if digest in current else refusing(412, "evidence_stale")

        house.script.inside = stale  # type: ignore[assignment]
        assert (await client.ask()).text == TEXT
