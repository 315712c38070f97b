"""Own machines first, rented ones when those are full or out of reach; and whoever may not see a request gets none.

In every test here, what came over the wire is one request for each grant: nothing is ever sent twice at once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from examples.house.processes import free_port
from tests.house.capacity import AT_ONCE, OVERFLOW, PROMPT, App, Desk, always, busy, full, one_post_a_grant, saying

from ringfence import Retry
from ringfence.cli.root import root
from ringfence.errors import (
    AttestationFailed,
    BudgetSpent,
    ConnectFailed,
    Overloaded,
    PolicyInvalid,
    ProviderError,
    RateLimited,
    Unavailable,
)
from ringfence_house.client import nodes as nodes_module
from ringfence_house.client import standing
from ringfence_house.errors import HouseUnreachable
from ringfence_house.testing import RESET, Outside, Script


@pytest.fixture(scope="module")
def running() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


@pytest.fixture
def desk(running: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    # Looks may follow one another at once.
    monkeypatch.setattr(nodes_module, "_LEAST_S", 0.0)
    running.begin()
    with one_post_a_grant(running):
        yield running


def loads(desk: Desk, *shares: str) -> None:
    """From now on the own machines say these."""
    serials = [machine.serial for machine in desk.own.fleet.machines]
    desk.own.script = busy(dict(zip(serials, shares, strict=True)))


async def both_heard(desk: Desk, app: App) -> None:
    """Asks the own house until both of its machines have said how full they are."""
    async with asyncio.timeout(30):
        while len(set(desk.where())) < 2:
            assert await app.asked("owned-only") == "own"


# ---------------------------------------------------------------- by utilisation


async def test_beyond_the_figure_the_rented_house_is_asked_until_the_load_falls(desk: Desk) -> None:
    loads(desk, "0.90", "0.90")
    async with App(desk) as app:
        assert await app.asked() == "own", "what is not known counts as idle"
        await both_heard(desk, app)
        assert app.utilisation() == pytest.approx(0.9)
        before = len(desk.own.received)
        assert [await app.asked() for _ in range(3)] == ["rented"] * 3
        assert len(desk.own.received) == before
        # What only owned machines may see still goes there, and brings the word that there is room again.
        loads(desk, "0.10", "0.10")
        while app.utilisation() != pytest.approx(0.1):
            assert await app.asked("owned-only") == "own"
        assert [await app.asked() for _ in range(3)] == ["own"] * 3
        assert app.utilisation("rented") == 0


async def test_at_the_figure_itself_the_own_house_is_asked(desk: Desk) -> None:
    loads(desk, "0.85", "0.85")
    async with App(desk) as app:
        await both_heard(desk, app)
        assert await app.asked() == "own"
    assert desk.posts["rented"] == 0


async def test_a_figure_that_is_old_counts_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    loads(desk, "1.00", "1.00")
    async with App(desk) as app:
        await both_heard(desk, app)
        assert await app.asked() == "rented"
        # The house may never be asked again by those who overflow, and must not stay full for ever.
        monkeypatch.setattr(standing, "_FRESH_S", 0.0)
        assert app.utilisation() is None
        assert await app.asked() == "own"


async def test_a_busy_house_is_better_than_no_answer(desk: Desk) -> None:
    loads(desk, "1.00", "1.00")
    desk.rented.script.directory = lambda _: RESET
    async with App(desk) as app:
        await both_heard(desk, app)
        assert await app.asked() == "own"
    assert desk.posts["rented"] == 0


async def test_a_machine_that_said_nothing_yet_counts_as_idle(desk: Desk) -> None:
    loads(desk, "1.00", "1.00")
    async with App(desk) as app:
        await app.asked()
        assert app.utilisation() == pytest.approx(0.5)
        assert await app.asked() == "own"


async def test_one_full_machine_is_no_full_house(desk: Desk) -> None:
    loads(desk, "1.00", "0.00")
    async with App(desk) as app:
        await both_heard(desk, app)
        assert app.utilisation() == pytest.approx(0.5)
        assert await app.asked() == "own"
    assert desk.posts["rented"] == 0


GARBAGE = ["nan", "-nan", "inf", "-inf", "1e999", "-1.00", "-0.01", "1.01", "7", "full", "", "0x1", "1,0", "9" * 5000]


@pytest.mark.parametrize("said", GARBAGE, ids=lambda said: said[:8] or "nothing")
async def test_a_figure_that_is_none_is_not_believed(desk: Desk, said: str) -> None:
    loads(desk, said, said)
    async with App(desk) as app:
        await app.asked("owned-only")
        assert app.utilisation() is None
        assert await app.asked() == "own"


@pytest.mark.parametrize("said", ["0", "0.00", "-0", "1", "1.00", "1e-3", "0.5"])
async def test_a_figure_that_is_one_stays_between_none_and_all(desk: Desk, said: str) -> None:
    loads(desk, said, said)
    async with App(desk) as app:
        await app.asked("owned-only")
        found = app.utilisation()
    assert found is not None
    assert 0 <= found <= 1


# ---------------------------------------------------------------- by answers


async def test_a_house_that_is_full_on_every_node_overflows(desk: Desk) -> None:
    desk.own.script = always(full("7"))
    async with App(desk) as app:
        assert await app.asked() == "rented"
        # Each machine was asked once, and a wait of theirs was not waited for: that is what overflow saves.
        assert sorted(desk.where()) == sorted(machine.serial for machine in desk.own.fleet.machines)
        assert app.utilisation() == 1
        assert await app.asked() == "rented"
    assert desk.posts == {"own": 2, "rented": 2, "vendor": 0}


async def test_one_node_that_is_full_gives_way_to_its_neighbour(desk: Desk) -> None:
    first, second = (machine.serial for machine in desk.own.fleet.machines)
    desk.own.script = Script(inside=lambda _, machine: full() if machine.serial == first else saying("0.10"))
    async with App(desk) as app:
        assert [await app.asked() for _ in range(8)] == ["own"] * 8
    assert second in desk.where()
    assert desk.posts["rented"] == 0


async def test_without_overflow_the_wait_that_a_full_house_asks_for_is_kept(desk: Desk) -> None:
    answers = iter([full("1"), full("1")])
    desk.own.script = Script(inside=lambda _, __: next(answers, None) or saying("0.10"))
    loop = asyncio.get_running_loop()
    async with App(desk, desk.policy("fallback: none")) as app:
        began_s = loop.time()
        assert await app.asked() == "own"
    assert loop.time() - began_s >= 1
    assert desk.posts["own"] == 3


async def test_a_wait_that_is_too_long_is_told_and_not_begun(desk: Desk) -> None:
    desk.own.script = always(full("7"))
    async with App(desk, desk.policy("fallback: none"), retry=Retry(attempts=5, wait_s=0, max_wait_s=6)) as app:
        with pytest.raises(Overloaded) as failed:
            await app.asked()
    assert failed.value.retry_after_s == 7
    assert desk.posts["own"] == 2


async def test_both_houses_full_is_an_error_and_no_reason_for_a_partner(desk: Desk) -> None:
    desk.own.script = desk.rented.script = always(full("7"))
    async with App(desk, desk.policy(f"{OVERFLOW}, fallback: [vendor]"), retry=Retry(wait_s=0, max_wait_s=1)) as app:
        with pytest.raises(Overloaded):
            await app.asked()
        assert desk.posts["vendor"] == 0
        # The same route and moment: what a partner may know goes there, so it was flow that stopped the other.
        assert await app.asked("public") == "vendor"
    assert all(PROMPT.encode() not in one.body for one in (*desk.own.received, *desk.rented.received))


async def test_nobody_else_is_asked_while_one_takes_its_time(desk: Desk) -> None:
    """Without `hedge:` a slow answer is waited for, and the same request is nowhere else meanwhile."""
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        loop.call_soon_threadsafe(began.set)
        while not go_on.is_set():  # noqa: ASYNC110  (the event is another loop's)
            await asyncio.sleep(0.01)
        async for piece in pieces:
            yield piece

    desk.own.script.sealed = slow
    async with App(desk, desk.policy(f"{OVERFLOW}, fallback: [vendor]")) as app:
        asking = asyncio.ensure_future(app.asked("public"))
        async with asyncio.timeout(30):
            await began.wait()
        await asyncio.sleep(0.3)
        assert desk.posts == {"own": 1, "rented": 0, "vendor": 0}
        go_on.set()
        assert await asking == "own"


# ---------------------------------------------------------------- out of reach, or without a proof


def _reset(desk: Desk) -> None:
    desk.own.script.outside = lambda _: RESET


def _bad_gateway(desk: Desk) -> None:
    desk.own.script.outside = lambda _: Outside(status=502, media_type="text/html", body=b"<h1>gone</h1>")


def _not_there(desk: Desk) -> None:
    desk.own.script.directory = lambda _: RESET


def _no_releases(desk: Desk) -> None:
    desk.own.script.release_file = lambda _: RESET


@pytest.mark.parametrize("break_it", [_reset, _bad_gateway, _not_there, _no_releases])
async def test_a_house_out_of_reach_overflows(desk: Desk, break_it: Callable[[Desk], None]) -> None:
    break_it(desk)
    async with App(desk) as app:
        assert await app.asked() == "rented"
        with pytest.raises(ProviderError):
            await app.asked("owned-only")
    assert desk.posts["rented"] == 1
    assert desk.posts["vendor"] == 0


async def test_a_house_at_which_nothing_listens_overflows(desk: Desk) -> None:
    async with App(desk, desk.policy(own=f"http://127.0.0.1:{free_port()}")) as app:
        assert await app.asked() == "rented"
        with pytest.raises(ConnectFailed):
            await app.asked("owned-only")
    assert desk.posts == {"own": 0, "rented": 1, "vendor": 0}


async def test_a_house_out_of_reach_is_looked_at_once_before_it_overflows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And as often as is tried where nothing else may be asked."""
    for bound in ("_EARLIEST", "_LATEST"):  # nobody looks in the background
        monkeypatch.setattr(nodes_module, bound, 1000.0)
    # Nobody goes by the look before, which else would be known for twice as long as it took.
    monkeypatch.setattr(nodes_module, "_MOST_KNOWN_S", 0.0)
    _no_releases(desk)
    desk.own.fetched.clear()
    async with App(desk) as app:
        assert await app.asked() == "rented"
        assert len(desk.own.fetched) == 1
        with pytest.raises(HouseUnreachable):
            await app.asked("owned-only")
        assert len(desk.own.fetched) == 1 + AT_ONCE.attempts


def _strangers(desk: Desk) -> None:
    desk.own.script.directory = lambda _: desk.rented.fleet.directory()


def _nobody(desk: Desk) -> None:
    desk.own.script.directory = lambda _: b'{"v":1,"nodes":[]}'


def _other_releases(desk: Desk) -> None:
    desk.own.script.release_file = desk.rented.fleet.release_file


PROVES_NOTHING = [_strangers, _nobody, _other_releases]


@pytest.mark.parametrize("break_it", PROVES_NOTHING)
async def test_a_house_that_proves_nothing_is_not_merely_full(desk: Desk, break_it: Callable[[Desk], None]) -> None:
    break_it(desk)
    async with App(desk) as app:
        for label in ("internal", "owned-only", "public"):
            with pytest.raises(AttestationFailed):
                await app.asked(label)
    assert desk.posts == {"own": 0, "rented": 0, "vendor": 0}


@pytest.mark.parametrize("break_it", PROVES_NOTHING)
async def test_after_it_only_the_fallback_is_asked_and_only_as_flow_allows(
    desk: Desk, break_it: Callable[[Desk], None]
) -> None:
    break_it(desk)
    async with App(desk, desk.policy(f"{OVERFLOW}, fallback: [vendor]")) as app:
        for label in ("internal", "owned-only"):
            with pytest.raises(AttestationFailed):
                await app.asked(label)
        assert desk.posts == {"own": 0, "rented": 0, "vendor": 0}
        assert await app.asked("public") == "vendor"
    assert desk.posts == {"own": 0, "rented": 0, "vendor": 1}


async def expired(app: App) -> None:
    """From now on all proofs of the own house are over, and it was looked at since."""
    nodes = app.provider._houses["own"].nodes  # pyright: ignore[reportPrivateUsage]
    nodes._clock = lambda: 4e9  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ProviderError):
        await nodes.ready()


async def test_a_house_whose_proof_expired_overflows_if_it_is_silent(desk: Desk) -> None:
    async with App(desk) as app:
        assert await app.asked() == "own"
        _not_there(desk)
        await expired(app)
        assert await app.asked() == "rented"
        with pytest.raises((Unavailable, ConnectFailed)):
            await app.asked("owned-only")
    assert desk.posts == {"own": 1, "rented": 1, "vendor": 0}


async def test_and_does_not_if_it_shows_what_proves_nothing(desk: Desk) -> None:
    async with App(desk, desk.policy(f"{OVERFLOW}, fallback: [vendor]")) as app:
        assert await app.asked() == "own"
        _strangers(desk)
        await expired(app)
        with pytest.raises(AttestationFailed):
            await app.asked()
    assert desk.posts == {"own": 1, "rented": 0, "vendor": 0}


async def test_a_caller_over_its_share_is_no_full_house(desk: Desk) -> None:
    """What one caller asks too much of is not rented for it."""
    desk.own.script = always(replace(full("7"), status=429))
    async with App(desk, retry=Retry(wait_s=0, max_wait_s=1)) as app:
        with pytest.raises(RateLimited) as failed:
            await app.asked()
    assert failed.value.retry_after_s == 7
    assert desk.posts == {"own": 1, "rented": 0, "vendor": 0}


# ---------------------------------------------------------------- budgets

TWO = 'budgets: [{id: two, of: own, limit: "2 requests", per: total}]'


async def test_a_budget_of_requests_counts_what_is_sent_to_a_house(desk: Desk) -> None:
    async with App(desk, desk.policy(f"{OVERFLOW}, fallback: [vendor]", more=TWO)) as app:
        assert [await app.asked() for _ in range(2)] == ["own", "own"]
        with pytest.raises(BudgetSpent):
            await app.asked()
        # A spent budget is no reason to rent: decision 0085.
        assert await app.asked("public") == "vendor"
    assert desk.posts == {"own": 2, "rented": 0, "vendor": 1}


async def test_a_full_node_costs_a_request_too(desk: Desk) -> None:
    desk.own.script = always(full())
    async with App(desk, desk.policy(more=TWO)) as app:
        assert await app.asked() == "rented"
        (budget,) = await app.assistant.budgets()
    assert budget.spent == 2
    assert desk.posts == {"own": 2, "rented": 1, "vendor": 0}


@pytest.mark.parametrize("of", ["own", "rented", "house"])
def test_a_budget_of_money_over_a_house_does_not_load(desk: Desk, of: str) -> None:
    more = f'budgets: [{{id: money, of: {of}, limit: "5 USD", per: month}}]'
    with pytest.raises(PolicyInvalid, match=r"no price is known.*Count tokens or requests"):
        desk.policy(more=more)


async def test_own_machines_cost_nothing_and_rented_ones_what_nobody_knows(desk: Desk) -> None:
    async with App(desk) as app:
        await app.asked()
        desk.own.script = always(full())
        await app.asked()
    assert [receipt.cost_usd for receipt in desk.receipts] == [0.0, None]


# ---------------------------------------------------------------- on record


async def test_what_a_house_proved_is_on_record_and_development_is_called_so(desk: Desk) -> None:
    async with App(desk, audit=True) as app:
        await app.asked()
        _strangers(desk)
        await expired(app)
        with pytest.raises(AttestationFailed):
            await app.asked()
    (asked, *_) = desk.receipts
    document = json.loads(await told("audit", "export", "--format", "report"))
    proved, unproved = document["privateCloudComputeRequests"]
    digests = {f"sha256:{machine.evidence.digest}" for machine in desk.own.fleet.machines}
    (node,) = proved["nodes"]
    assert node == {
        "attestationDigest": asked.attestation_digest,
        "nodeState": "DEVELOPMENT",
        "attestation": "DEVELOPMENT (software-dev)",
    }
    assert node["attestationDigest"] in digests
    assert unproved["nodes"] == []
    assert [one["executionEnvironment"] for one in document["modelRequests"]] == ["PrivateCloudCompute", None]
    assert "house DEVELOPMENT" in await told("report")
    (place,) = json.loads(await told("report", "--json"))["recipients"]
    assert (place["name"], place["attestations"]) == ("own", {"DEVELOPMENT (software-dev)": 1})


async def told(*arguments: str) -> str:
    """What the command writes."""
    result = await asyncio.to_thread(CliRunner().invoke, root, arguments)
    assert result.exit_code == 0, result.output
    assert "canary" not in result.output
    return result.stdout
