"""What stands outside of the encryption is a hint: it costs attempts, and decides nothing else."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from providers.house.tests.client.recording import Recorder
from providers.house.tests.client.support import TEXT, Client, ask

from ringfence.errors import AttestationFailed, Overloaded
from ringfence_house.testing import HouseServer, Outside

YEAR_S = 365 * 86_400


async def test_of_five_machines_that_do_not_answer_three_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    with HouseServer(machines=5) as house:
        house.script.outside = lambda machine: Outside(status=503, media_type="text/html", body=b"<h1>503</h1>")
        assert (await ask(house, attempts=3)).error is not None
        assert len({received.headers["ringfence-node"] for received in house.received}) == len(house.received) == 3


async def test_a_request_to_a_house_that_is_known_is_one_post_and_nothing_else(house: HouseServer) -> None:
    async with Client(house) as client:
        assert (await client.ask()).text == TEXT
        house.fetched.clear()
        assert (await client.ask()).text == TEXT
    assert house.fetched == []
    assert len(house.received) == 2


async def test_a_wait_that_stands_outside_is_not_believed(house: HouseServer) -> None:
    """Else anybody in between could switch a house off for a client."""
    async with Recorder(house.url, back=_with("retry-after: 86400")) as wire:
        house.script.outside = lambda machine: Outside(status=503)
        async with Client(house, directory=wire.url) as client:
            errors = [(await client.ask()).error for _ in range(3)]
            assert isinstance(errors[-1], Overloaded)
            assert [error and getattr(error, "retry_after_s", None) for error in errors] == [0.0, 0.0, None]
            house.script.outside = None
            assert (await client.ask()).text == TEXT


@pytest.mark.parametrize("off_s", [-YEAR_S, YEAR_S], ids=["back", "forward"])
async def test_no_clock_is_learned_from_the_network(house: HouseServer, off_s: float) -> None:
    """Evidence that has ended is not good again, nor is good evidence bad, whatever date the answers carry."""
    async with Recorder(house.url, back=_with(f"date: {formatdate(time() + off_s, usegmt=True)}")) as wire:
        assert (await ask(house, directory=wire.url)).text == TEXT
        wire.sent.clear()
        for machine in house.fleet.machines:
            machine.issue(now=time() + off_s)
        assert isinstance((await ask(house, directory=wire.url)).error, AttestationFailed)
        assert wire.nothing_left


async def test_the_hint_that_names_the_node_is_all_that_says_where_it_goes(house: HouseServer) -> None:
    """A balancer that sends it elsewhere finds nobody who opens it."""
    kids = [machine.kid.encode() for machine in house.fleet.machines]

    def elsewhere(data: bytes) -> bytes:
        return next((data.replace(kid, kids[place - 1]) for place, kid in enumerate(kids) if kid in data), data)

    async with Recorder(house.url, out=elsewhere) as wire, Client(house, directory=wire.url) as client:
        asked = [await client.ask() for _ in range(3)]
    assert all(one.error is not None for one in asked)
    assert len(house.received) == 3
    assert all(received.opened is None for received in house.received)


def _with(header: str) -> Callable[[bytes], bytes]:
    """Every answer of the house carries this header too."""
    return lambda data: data.replace(b"\r\ncontent-type:", f"\r\n{header}\r\ncontent-type:".encode(), 1)
