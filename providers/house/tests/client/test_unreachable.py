"""A house that cannot be reached costs one look, which all who wait share; and then nobody waits for a while."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from providers.house.tests.client.support import PROMPT, TEXT, Client, nothing_left
from providers.house.tests.client.test_nodes import LIFE_S, NOW, Clock, House, found, node, watching

from ringfence.errors import AttestationFailed, ConnectFailed, Overloaded
from ringfence_house.client import nodes as nodes_module
from ringfence_house.client.directory import Directory
from ringfence_house.client.looking import Found, LookFailed
from ringfence_house.client.nodes import Nodes
from ringfence_house.errors import HouseUnreachable
from ringfence_house.testing import RESET, HouseServer

GONE = LookFailed("gone", unreachable=True)


class Slow(House):
    """A house at which each look takes some seconds of `clock`."""

    def __init__(self, clock: Clock, *answers: Found | LookFailed | Exception) -> None:
        super().__init__(*answers)
        self.clock = clock
        self.takes_s = 3.0

    async def look(self) -> Found:
        self.clock.passed_s += self.takes_s
        return await super().look()


async def told(nodes: Nodes) -> HouseUnreachable:
    with pytest.raises(HouseUnreachable) as raised:
        await nodes.ready()
    return raised.value


async def test_all_who_wait_share_one_look_and_each_gets_an_error_of_its_own() -> None:
    house = House(GONE)
    async with watching(house, Clock()) as nodes:
        errors = await asyncio.gather(*(told(nodes) for _ in range(50)))
    assert house.looks == 1
    assert len(set(map(id, errors))) == 50


async def test_for_a_while_nobody_waits_for_another_look_and_all_are_told_how_long() -> None:
    clock = Clock()
    house = House(GONE)
    async with watching(house, clock) as nodes:
        assert (await told(nodes)).retry_after_s == 1
        clock.passed_s = 0.75
        errors = [await told(nodes) for _ in range(20)]
    assert house.looks == 1
    assert {error.retry_after_s for error in errors} == {0.25}


async def test_who_waited_as_long_as_it_was_told_has_a_house_that_came_back() -> None:
    clock = Clock()
    house = House(GONE, found(node(1)))
    async with watching(house, clock) as nodes:
        clock.passed_s += (await told(nodes)).retry_after_s or 0.0
        assert [one.serial for one in await nodes.ready()] == ["S1"]
    assert house.looks == 2


async def test_a_look_that_took_long_is_remembered_for_longer_and_not_for_ever() -> None:
    clock = Clock()
    house = Slow(clock, GONE)
    async with watching(house, clock) as nodes:
        assert (await told(nodes)).retry_after_s == 6
        clock.passed_s += 6
        house.takes_s = 50.0
        assert (await told(nodes)).retry_after_s == 10


async def test_a_house_whose_proof_expired_is_told_at_once_too() -> None:
    clock = Clock()
    house = House(found(node(1)), GONE)
    async with watching(house, clock) as nodes:
        await nodes.ready()
        clock.passed_s = LIFE_S
        assert (await told(nodes)).retry_after_s == 1
        assert (await told(nodes)).retry_after_s == 1
    assert house.looks == 2


async def test_a_house_that_proves_nothing_is_looked_at_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not out of reach: whoever asks may find it mended."""
    monkeypatch.setattr(nodes_module, "_LEAST_S", 0.0)
    clock = Clock()
    house = Slow(clock, LookFailed("a lie"))
    async with watching(house, clock) as nodes:
        for looks in (1, 2, 3):
            with pytest.raises(AttestationFailed):
                await nodes.ready()
            assert house.looks == looks


async def test_what_is_known_of_a_house_that_cannot_be_reached_keeps_no_valid_node_back() -> None:
    clock = Clock()
    house = House(GONE, found(node(1, expires_at=NOW + 9 * LIFE_S)), GONE)
    async with watching(house, clock) as nodes:
        await told(nodes)
        clock.passed_s = 1
        await nodes.ready()
        nodes._fail(GONE)  # pyright: ignore[reportPrivateUsage]
        assert (await nodes.pick()).serial == "S1"


async def test_to_the_core_it_is_a_failed_connection_that_makes_way() -> None:
    """As one that is full: its overflow is asked at once; without overflow it is asked again."""
    assert issubclass(HouseUnreachable, ConnectFailed)
    assert issubclass(HouseUnreachable, Overloaded)
    assert HouseUnreachable("gone").retryable


async def test_a_connection_is_not_waited_for_as_long_as_a_file() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, stream=httpx2.ByteStream(b"{}"))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        assert await Directory("https://house.example", lambda: client).evidence() == b"{}"
    assert seen[0].extensions["timeout"]["connect"] == 5


async def test_a_house_that_comes_back_between_two_attempts_answers(house: HouseServer) -> None:
    """Where nothing else can be asked, a retry a moment later is what serves."""
    looks = 0

    def directory(fleet: object) -> object:
        nonlocal looks
        looks += 1
        return RESET if looks == 1 else house.fleet.directory()

    house.script.directory = directory  # type: ignore[assignment]
    async with Client(house, attempts=2) as client:
        assert (await client.ask()).text == TEXT
    assert looks == 2


async def test_many_requests_at_once_of_a_house_that_is_gone_cost_one_look(house: HouseServer) -> None:
    house.script.release_file = lambda path: RESET
    async with Client(house) as client:
        asked = await asyncio.gather(*(client.ask(PROMPT) for _ in range(20)))
        assert {type(one.error) for one in asked} == {HouseUnreachable}
    assert nothing_left(house)
    assert house.fetched == ["/house/releases/metadata/2.root.json"]
