"""The nodes of a recipient over time: looked at again, never asked past their expiry, chosen by their load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace

import pytest
from providers.house.tests.client.support import TEXT, Client, nothing_left

from ringfence.errors import AttestationFailed, Closed, ConnectFailed, ProviderError
from ringfence.provider import Available
from ringfence_house.attestation.node import VerifiedNode
from ringfence_house.client import nodes as nodes_module
from ringfence_house.client.looking import Found, LookFailed
from ringfence_house.client.nodes import Nodes
from ringfence_house.errors import HouseUnreachable
from ringfence_house.protocol.hpke import generate
from ringfence_house.protocol.keyconfig import make_key_config
from ringfence_house.releases.reference import Device, Reference
from ringfence_house.testing import RESET, HouseServer
from ringfence_house.testing.fleet import release

NOW = 1_800_000_000.0
LIFE_S = 3600.0
of_a_request: ContextVar[str | None] = ContextVar("of_a_request", default=None)


def node(number: int, *, expires_at: float = NOW + LIFE_S) -> VerifiedNode:
    config = make_key_config(number, generate().public)
    return VerifiedNode(
        kid=config.kid,
        key_config=config,
        digest=f"{number:064x}",
        tier="apple-mda",
        serial=f"S{number}",
        release=release(now=NOW),
        issued_at=NOW,
        expires_at=expires_at,
    )


def found(*nodes: VerifiedNode) -> Found:
    releases = {one.release.id: one.release for one in nodes}
    devices = {one.serial: Device(serial=one.serial, ueid="u") for one in nodes}
    return Found(
        nodes=nodes, refused=0, reference=Reference(releases=releases, devices=devices, expires_at=NOW * 2, version=1)
    )


class Clock:
    """Unix time and durations that a test moves by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.set_by_s = 0.0
        """By how much somebody moved Unix time, and only that."""

    def now(self) -> float:
        return NOW + self.passed_s + self.set_by_s

    def monotonic_s(self) -> float:
        return self.passed_s


class House:
    """What a look finds, said by a test."""

    def __init__(self, *answers: Found | LookFailed | Exception) -> None:
        self.answers = list(answers)
        self.looks: int = 0
        self.at_once = self.most_at_once = 0

    async def look(self) -> Found:
        self.looks += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Found):
            return answer
        raise answer


@asynccontextmanager
async def watching(house: House, clock: Clock, min_nodes: int = 1) -> AsyncGenerator[Nodes]:
    nodes = Nodes(house.look, min_nodes=min_nodes, monotonic_s=clock.monotonic_s, clock=clock.now)
    try:
        yield nodes
    finally:
        await nodes.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  (the clock is not asyncio's)
            await asyncio.sleep(0.005)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks may follow one another at once."""
    monkeypatch.setattr(nodes_module, "_LEAST_S", 0.0)
    monkeypatch.setattr(nodes_module, "_MOST_S", 0.001)


async def test_many_who_want_it_share_one_look() -> None:
    house = House(found(node(1)))
    async with watching(house, Clock()) as nodes:
        picked = await asyncio.gather(*(nodes.pick() for _ in range(50)))
    assert {one.serial for one in picked} == {"S1"}
    assert house.looks == 1


@pytest.mark.usefixtures("quick")
async def test_a_node_that_the_next_look_does_not_find_is_not_asked_any_more() -> None:
    withdrawn, kept = node(1), node(2)
    house = House(found(withdrawn, kept), found(kept))
    async with watching(house, Clock()) as nodes:
        assert await nodes.ready() == (withdrawn, kept)
        assert nodes.holds(withdrawn)
        nodes.lost_key(withdrawn)
        await until(lambda: house.looks == 2 and house.at_once == 0)
        await until(lambda: nodes.valid == (kept,))
        assert not nodes.holds(withdrawn)


@pytest.mark.usefixtures("quick")
async def test_the_house_is_looked_at_again_in_the_background() -> None:
    clock = Clock()
    house = House(found(node(1, expires_at=NOW + 0.02)))
    async with watching(house, clock) as nodes:
        await nodes.ready()
        await until(lambda: house.looks > 5)
        before = len(asyncio.all_tasks())
        await asyncio.gather(nodes.ready(), nodes.ready())
        assert len(asyncio.all_tasks()) <= before
    assert house.most_at_once == 1
    looks = house.looks
    await asyncio.sleep(0.05)
    assert house.looks == looks


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_it_is_looked_at_between_half_and_four_fifths_of_its_life(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(low: float, high: float) -> float:
        return low + share * (high - low)

    monkeypatch.setattr("random.uniform", drawn)
    async with watching(House(found(node(1), node(2, expires_at=NOW + 2 * LIFE_S))), Clock()) as nodes:
        await nodes.ready()
        assert nodes._pause_s() == pytest.approx(LIFE_S * (0.5 + share * 0.3))  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("failure", [LookFailed("gone", unreachable=True), LookFailed("a lie"), RuntimeError("a bug")])
async def test_a_look_that_fails_changes_nothing_until_expiry_and_then_everything(failure: Exception) -> None:
    clock = Clock()
    house = House(found(node(1)), failure)
    async with watching(house, clock) as nodes:
        await nodes.ready()
        nodes._wanted.set()  # pyright: ignore[reportPrivateUsage]
        await until(lambda: house.looks > 3)
        clock.passed_s = LIFE_S - 1
        assert (await nodes.pick()).serial == "S1"
        clock.passed_s = LIFE_S
        with pytest.raises(ConnectFailed if "gone" in str(failure) else AttestationFailed) as raised:
            await nodes.pick()
        assert "bug" not in str(raised.value)
        house.answers[:] = [found(node(2, expires_at=NOW + 3 * LIFE_S))]
        await until(lambda: bool(nodes.valid))
        assert (await nodes.pick()).serial == "S2"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("what", ["release", "device"])
async def test_a_newer_word_of_the_repository_counts_although_the_directory_is_silent(what: str) -> None:
    first = found(node(1), node(2))
    releases, devices = dict(first.reference.releases), dict(first.reference.devices)
    if what == "release":
        releases = {name: replace(one, revoked=True) for name, one in releases.items()}
    else:
        devices["S1"] = replace(devices["S1"], revoked=True)
    newer = replace(first.reference, releases=releases, devices=devices)
    async with watching(House(first, LookFailed("silent", unreachable=True, reference=newer)), Clock()) as nodes:
        await nodes.ready()
        nodes._wanted.set()  # pyright: ignore[reportPrivateUsage]
        await until(lambda: len(nodes.valid) < 2)
        assert {one.serial for one in nodes.valid} == ({"S2"} if what == "device" else set())


async def test_a_clock_that_is_set_back_prolongs_no_proof() -> None:
    clock = Clock()
    async with watching(House(found(node(1)), LookFailed("blocked", unreachable=True)), clock) as nodes:
        await nodes.ready()
        clock.set_by_s = -30 * 86_400.0
        clock.passed_s = LIFE_S - 1
        assert (await nodes.pick()).serial == "S1"
        clock.passed_s = LIFE_S
        with pytest.raises(ConnectFailed):
            await nodes.pick()


async def test_a_clock_that_is_set_forward_ends_every_proof() -> None:
    """As it does while a machine sleeps, and the other clock stands still."""
    clock = Clock()
    async with watching(House(found(node(1)), LookFailed("blocked", unreachable=True)), clock) as nodes:
        await nodes.ready()
        clock.set_by_s = LIFE_S
        assert nodes.valid == ()


async def test_the_house_is_looked_at_in_time_although_the_clock_was_set_back() -> None:
    clock = Clock()
    async with watching(House(found(node(1))), clock) as nodes:
        await nodes.ready()
        clock.set_by_s = -30 * 86_400.0
        assert nodes._pause_s() <= LIFE_S  # pyright: ignore[reportPrivateUsage]


@pytest.mark.usefixtures("quick")
async def test_the_same_proof_shown_again_under_a_clock_set_back_ends_when_it_did() -> None:
    clock = Clock()
    house = House(found(node(1)))
    async with watching(house, clock) as nodes:
        await nodes.ready()
        clock.set_by_s, clock.passed_s = -LIFE_S, LIFE_S / 2
        nodes._wanted.set()  # pyright: ignore[reportPrivateUsage]
        await until(lambda: house.looks > 1 and not nodes._looking)  # pyright: ignore[reportPrivateUsage]
        clock.passed_s = LIFE_S
        assert nodes.valid == ()


async def test_a_clock_that_is_set_back_during_a_look_prolongs_nothing() -> None:
    clock = Clock()

    class Moved(House):
        async def look(self) -> Found:
            clock.set_by_s -= LIFE_S
            return await super().look()

    async with watching(Moved(found(node(1))), clock) as nodes:
        await nodes.ready()
        clock.passed_s = LIFE_S
        assert nodes.valid == ()


class Stopped(House):
    """Its first look never ends by itself."""

    async def look(self) -> Found:
        if self.looks == 0:
            self.looks += 1
            await asyncio.Event().wait()
        return await super().look()


@pytest.mark.usefixtures("quick")
async def test_who_waits_for_a_look_that_is_stopped_is_told_and_the_next_begins_a_new_one() -> None:
    """An app may cancel every task there is."""
    house = Stopped(found(node(1)))
    async with watching(house, Clock()) as nodes, asyncio.timeout(20):
        waiting = [asyncio.ensure_future(nodes.ready()) for _ in range(3)]
        await until(lambda: house.looks == 1)
        for task in asyncio.all_tasks() - {*waiting, asyncio.current_task()}:
            task.cancel()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in told] == [HouseUnreachable] * 3
        assert len(set(map(id, told))) == 3
        assert [one.serial for one in await nodes.ready()] == ["S1"]


@pytest.mark.usefixtures("quick")
async def test_a_house_that_nobody_looks_at_any_more_is_looked_at_by_the_next() -> None:
    clock = Clock()
    house = House(found(node(1)), LookFailed("gone", unreachable=True))
    async with watching(house, clock) as nodes:
        await nodes.ready()
        clock.passed_s = LIFE_S
        nodes._wanted.set()  # pyright: ignore[reportPrivateUsage]
        await until(lambda: nodes.failure is not None)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()
        await asyncio.wait({task})
        house.answers[:] = [found(node(2, expires_at=NOW + 3 * LIFE_S))]
        assert [one.serial for one in await nodes.ready()] == ["S2"]


async def test_fewer_machines_than_there_have_to_be_are_none() -> None:
    clock = Clock()
    house = House(found(node(1), node(2, expires_at=NOW + LIFE_S / 2)), LookFailed("gone", unreachable=True))
    async with watching(house, clock, min_nodes=2) as nodes:
        assert len(await nodes.ready()) == 2
        clock.passed_s = LIFE_S / 2
        with pytest.raises(ProviderError):
            await nodes.ready()


async def test_the_task_keeps_nothing_of_the_first_request() -> None:
    """Its grant least of all, which stands in a context variable."""
    of_a_request.set("a grant")
    seen: list[str | None] = []

    class Looked(House):
        async def look(self) -> Found:
            seen.append(of_a_request.get())
            return await super().look()

    async with watching(Looked(found(node(1))), Clock()) as nodes:
        await nodes.ready()
    assert seen == [None]


async def test_a_house_that_drips_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module, "_LOOK_S", 0.01)

    class Drips(House):
        async def look(self) -> Found:
            await asyncio.sleep(60)
            raise AssertionError

    async with watching(Drips(found(node(1))), Clock()) as nodes:
        with pytest.raises(ConnectFailed, match="too long"):
            await nodes.ready()


async def test_closing_ends_who_waits() -> None:
    class Never(House):
        async def look(self) -> Found:
            await asyncio.Event().wait()
            raise AssertionError

    nodes = Nodes(Never(found(node(1))).look, min_nodes=1, monotonic_s=time.monotonic)
    waiting = [asyncio.ensure_future(nodes.ready()) for _ in range(3)]
    await asyncio.sleep(0.01)
    await nodes.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended] == [Closed] * 3
    with pytest.raises(Closed):
        await nodes.pick()


async def test_the_busy_are_chosen_less_often_and_the_full_hardly() -> None:
    clock = Clock()
    idle, busy, full = node(1), node(2), node(3)
    async with watching(House(found(idle, busy, full)), clock) as nodes:
        await nodes.ready()
        for one, share in ((idle, 0.0), (busy, 0.75), (full, 1.0)):
            nodes.standing.tell_load(one, share)
        drawn = Counter([(await nodes.pick()).serial for _ in range(2000)])
        assert drawn["S1"] > 2.5 * drawn["S2"] > 5 * drawn["S3"]
        assert nodes.standing.utilisation(nodes.valid) == pytest.approx(1.75 / 3)
        # A figure tells something for a while only, so that a house that was full is asked again.
        clock.passed_s = 60
        assert nodes.standing.utilisation(nodes.valid) is None


async def test_a_machine_put_aside_is_asked_only_where_there_is_no_other() -> None:
    clock = Clock()
    one, other = node(1), node(2)
    async with watching(House(found(one, other)), clock) as nodes:
        await nodes.ready()
        nodes.standing.put_aside(one, 5.0)
        assert {(await nodes.pick()).serial for _ in range(50)} == {"S2"}
        assert nodes.another(one)
        assert not nodes.another(other)
        nodes.standing.put_aside(other, 5.0)
        assert {(await nodes.pick()).serial for _ in range(50)} == {"S1", "S2"}
        clock.passed_s = 5.0
        assert nodes.another(other)


async def test_after_three_machines_that_do_not_answer_the_next_is_not_asked_at_once() -> None:
    """The core waits longer and longer then, so that many attempts make no storm."""
    clock = Clock()
    machines = [node(number) for number in range(1, 7)]
    async with watching(House(found(*machines)), clock) as nodes:
        await nodes.ready()
        waits: list[float | None] = []
        for _ in range(4):
            nodes.standing.failed(await nodes.pick())
            waits.append(nodes.retry_after_s)
        assert waits == [0.0, 0.0, None, None]
        clock.passed_s = 5.0
        assert nodes.retry_after_s == 0


async def test_a_machine_is_put_aside_for_longer_each_time_that_it_does_not_answer() -> None:
    clock = Clock()
    one, other = node(1), node(2)
    async with watching(House(found(one, other)), clock) as nodes:
        await nodes.ready()

        def aside_s() -> float:
            nodes.standing.failed(one)
            began_s = clock.passed_s
            while not nodes.another(other):
                clock.passed_s += 1.0
            return clock.passed_s - began_s

        assert [aside_s() for _ in range(6)] == [5, 10, 20, 40, 60, 60]
        nodes.standing.answered(one)
        assert aside_s() == 5


# ---------------------------------------------------------------- in a provider


async def test_a_house_that_is_gone_is_used_until_its_proof_expires(
    house: HouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes_module, "_LEAST_S", 0.0)
    async with Client(house) as client:
        assert (await client.ask()).text == TEXT
        house.script.directory = lambda fleet: RESET
        house.script.release_file = lambda path: RESET
        assert (await client.ask()).text == TEXT
        assert await client.provider.availability(client.recipient) == Available()
        house.received.clear()
        nodes = client.provider._houses["house"].nodes  # pyright: ignore[reportPrivateUsage]
        nodes._clock = lambda: time.time() + LIFE_S  # pyright: ignore[reportPrivateUsage]
        asked = await client.ask()
        assert isinstance(asked.error, ConnectFailed)
        (finding,) = await client.provider.diagnose()
        assert finding.level == "fault"
    assert nothing_left(house)


async def test_a_recipient_that_the_policy_changed_gets_a_house_of_its_own(house: HouseServer) -> None:
    async with Client(house) as client:
        await client.ask()
        before = client.provider._houses["house"]  # pyright: ignore[reportPrivateUsage]
        changed = replace(client.recipient, options={"min_nodes": 3})
        assert client.provider.attestations(changed) == ()
        assert await client.provider.availability(changed) == Available()
        assert client.provider._houses["house"] is not before  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Closed):
            await before.nodes.pick()


async def test_what_machines_of_ones_own_cost_is_nothing(house: HouseServer) -> None:
    async with Client(house) as client:
        asked = await client.ask()
        assert asked.response is not None
        assert asked.response.receipt.cost_usd == 0
    async with Client(house, capacity="rented") as client:
        asked = await client.ask()
        assert asked.response is not None
        assert asked.response.receipt.cost_usd is None
