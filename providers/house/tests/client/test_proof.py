"""A house that does not prove what it is: an error, and not a byte of the prompt has left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from providers.house.tests.client.support import TEXT, WORDS, Client, ask, nothing_left, saying

from ringfence.errors import AttestationFailed, ConnectFailed, Unavailable
from ringfence.provider import Available, NotAvailable
from ringfence_house.releases.kept import KEPT_FILE
from ringfence_house.testing import RESET, Fleet, HouseServer
from ringfence_house.testing.fleet import release

Change = Callable[[dict[str, Any]], object]


def directory(change: Change) -> Callable[[Fleet], bytes]:
    """The honest directory with `change` made to every node's evidence, in the one spelling that is read."""

    def changed(fleet: Fleet) -> bytes:
        document = json.loads(fleet.directory())
        for node in document["nodes"]:
            change(node)
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    return changed


def _aged(fleet: Fleet, **when: float) -> bytes:
    for machine in fleet.machines:
        machine.issue(**when)  # type: ignore[arg-type]
    return fleet.directory()


def _stranger(fleet: Fleet, folder: Path) -> bytes:
    """Genuine machines of another fleet, whose CA is of the same name."""
    del fleet
    return Fleet(folder, machines=2).directory()


def _one_key(fleet: Fleet) -> bytes:
    """Every machine offers the key of the first."""
    for machine in fleet.machines[1:]:
        machine.config = fleet.machines[0].config
        machine.issue()
    return fleet.directory()


def _other_build(fleet: Fleet) -> bytes:
    listed = fleet.machines[0].release
    for machine in fleet.machines:
        machine.release = release("r1", code="f" * 64)
        machine.issue()
        machine.release = listed
    return fleet.directory()


DIRECTORIES: dict[str, Callable[[Fleet], bytes]] = {
    "empty": lambda fleet: b'{"v":1,"nodes":[]}',
    "no JSON": lambda fleet: b"<html>hello</html>",
    "another version": lambda fleet: fleet.directory().replace(b'"v": 1', b'"v": 2', 1),
    "5 MB": lambda fleet: fleet.directory() + b" " * 5_000_000,
    "10,000 nodes": lambda fleet: b'{"v":1,"nodes":[%b]}' % b",".join([b"{}"] * 10_000),
    "names twice": lambda fleet: fleet.directory().replace(b'"v": 1', b'"v": 1, "v": 1', 1),
    "deep": lambda fleet: b"[" * 100_000,
    "token of another key": directory(lambda node: node.update(eat=node["eat"][:-4] + "AAAA")),
    "key of another": directory(lambda node: node["ak"].update(x=node["ak"]["y"])),
    "no chain": directory(lambda node: node["endorsement"].update(x5c=[])),
    "chain without its issuer": directory(lambda node: node["endorsement"].update(x5c=node["endorsement"]["x5c"][:1])),
    "development as Apple's": directory(lambda node: node["endorsement"].update(type="apple-mda")),
    "unknown type": directory(lambda node: node["endorsement"].update(type="trust-me")),
    "expired": lambda fleet: _aged(fleet, now=1_700_000_000.0),
    "from the future": lambda fleet: _aged(fleet, now=2_000_000_000.0),
    "longer than an hour": lambda fleet: _aged(fleet, life_s=7200),
    "one key for all": _one_key,
    "another build under the same name": _other_build,
}


@pytest.mark.parametrize("name", DIRECTORIES)
async def test_what_proves_nothing_gets_nothing(house: HouseServer, name: str) -> None:
    house.script.directory = DIRECTORIES[name]
    asked = await ask(house, attempts=2)
    expected = ConnectFailed if name == "5 MB" else AttestationFailed
    assert isinstance(asked.error, expected)
    assert nothing_left(house)


async def test_the_same_directory_unchanged_is_enough(house: HouseServer) -> None:
    """What the table above changes is what refuses it, not how it is written."""
    house.script.directory = directory(lambda node: None)
    assert (await ask(house)).text == TEXT


async def test_a_fleet_of_strangers_gets_nothing(house: HouseServer, tmp_path: Path) -> None:
    house.script.directory = lambda fleet: _stranger(fleet, tmp_path / "strangers")
    assert isinstance((await ask(house)).error, AttestationFailed)
    assert nothing_left(house)


async def test_development_is_refused_unless_the_policy_names_it(house: HouseServer) -> None:
    for tier in (None, "apple-mda"):
        assert isinstance((await ask(house, min_tier=tier)).error, AttestationFailed)
    assert nothing_left(house)


async def test_another_model_is_not_served(house: HouseServer) -> None:
    assert isinstance((await ask(house, model="another-model")).error, AttestationFailed)
    assert nothing_left(house)


async def test_a_verified_node_of_another_model_is_never_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    second = release("r2", model="another-model")
    with HouseServer(machines=2, releases=[release("r1"), second]) as house:
        house.script.inside = lambda request, machine: saying(*WORDS)
        first, other = house.fleet.machines
        other.release = second
        other.issue()
        async with Client(house) as client:
            for _ in range(8):
                assert (await client.ask()).text == TEXT
        assert {received.headers["ringfence-node"] for received in house.received} == {first.kid}
        house.received.clear()
        assert "1 verified machine of the 2" in str((await ask(house, options={"min_nodes": 2})).error)
        assert nothing_left(house)


async def test_a_directory_that_shrinks_is_refused(house: HouseServer) -> None:
    assert (await ask(house, options={"min_nodes": 3})).text == TEXT
    house.received.clear()
    house.script.directory = lambda fleet: json.dumps(
        {"v": 1, "nodes": [json.loads(fleet.machines[0].evidence.encoded)]}
    ).encode()
    assert (await ask(house, options={"min_nodes": 1})).text == TEXT
    house.received.clear()
    asked = await ask(house, options={"min_nodes": 2})
    assert isinstance(asked.error, AttestationFailed)
    assert "1 verified machine of the 2" in str(asked.error)
    assert nothing_left(house)


async def test_two_keys_of_one_machine_are_one_machine(house: HouseServer) -> None:
    machine = house.fleet.machines[0]
    former = json.loads(machine.evidence.encoded)
    machine.renew()
    both = {"v": 1, "nodes": [former, json.loads(machine.evidence.encoded)]}
    house.script.directory = lambda fleet: json.dumps(both).encode()
    asked = await ask(house, options={"min_nodes": 2})
    assert isinstance(asked.error, AttestationFailed)
    assert "1 verified machine of the 2" in str(asked.error)
    assert nothing_left(house)


RELEASES: dict[str, Callable[[str], bytes | Any]] = {
    "unreachable": lambda path: RESET,
    "tampered target": lambda path: b"{}" if path.startswith("targets/") else None,
    "no signatures": lambda path: b'{"signed":{},"signatures":[]}' if "timestamp" in path else None,
    "giant": lambda path: b" " * 6_000_000 if "snapshot" in path else None,
}


@pytest.mark.parametrize("name", RELEASES)
async def test_a_repository_that_cannot_be_believed_gets_nothing(house: HouseServer, name: str) -> None:
    house.script.release_file = RELEASES[name]
    asked = await ask(house)
    assert isinstance(asked.error, AttestationFailed | ConnectFailed)
    assert nothing_left(house)


async def test_an_older_repository_than_was_seen_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another start of the app remembers it."""
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    with HouseServer() as house:
        house.script.inside = lambda request, machine: saying(*WORDS)
        old = {"metadata/timestamp.json": house.fleet.release_file("metadata/timestamp.json")}
        house.fleet.repository.add_release(release("r2"))
        house.fleet.repository.publish()
        assert (await ask(house)).text == TEXT
        house.received.clear()
        house.script.release_file = old.get
        asked = await ask(house)
        assert isinstance(asked.error, AttestationFailed)
        assert "older" in str(asked.error)
        assert nothing_left(house)


@pytest.mark.parametrize("what", ["release", "machines"])
async def test_what_was_revoked_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    with HouseServer() as house:
        if what == "release":
            house.fleet.repository.revoke_release("r1")
        else:
            house.fleet.repository.revoke_device(house.fleet.machines[0].serial)
        house.fleet.repository.publish()
        asked = await ask(house)
        assert isinstance(asked.error, AttestationFailed)
        assert "revoked" in str(asked.error)
        assert nothing_left(house)


# ---------------------------------------------------------------- what the policy says


FAULTS: dict[str, dict[str, Any]] = {
    "no directory": {"directory": None},
    "no trust": {"trust": None},
    "trust not there": {"trust": "/nowhere/house.trust.json"},
    "trust changed since": {"trust_digest": f"sha256:{'0' * 64}"},
    "unknown tier": {"min_tier": "trust-me"},
    "a tier that nothing here verifies": {"min_tier": "apple-mda+appattest"},
    "unknown option": {"options": {"min_node": 2}},
    "min_nodes of words": {"options": {"min_nodes": "two"}},
    "min_nodes of none": {"options": {"min_nodes": 0}},
    "min_nodes of a part": {"options": {"min_nodes": 1.5}},
    "a url besides": {"url": "https://elsewhere.example"},
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_cannot_be_used_is_found_without_a_request(house: HouseServer, name: str) -> None:
    async with Client(house, **FAULTS[name]) as client:
        asked = await client.ask()
        assert isinstance(asked.error, Unavailable)
        assert asked.error.reason == "not_configured"
        assert asked.error.way_out
        state = await client.provider.availability(client.recipient)
        assert isinstance(state, NotAvailable)
    assert not house.fetched
    assert nothing_left(house)


async def test_what_can_be_done_about_the_repository_is_told(house: HouseServer, tmp_path: Path) -> None:
    assert (await ask(house)).text == TEXT
    (kept,) = (tmp_path / "state").rglob(KEPT_FILE)
    kept.write_bytes(b"{}")
    asked = await ask(house)
    assert isinstance(asked.error, AttestationFailed)
    assert f"remove {kept}" in str(asked.error.way_out)


async def test_before_a_house_was_looked_at_nothing_is_said_of_its_nodes(house: HouseServer) -> None:
    """As `ringfence doctor` asks, which knows no recipient."""
    async with Client(house) as client:
        (finding,) = await client.provider.diagnose()
        assert (finding.level, finding.subject) == ("ok", "nodes")
        assert "none was looked at" in finding.detail
    assert not house.fetched
    assert nothing_left(house)


async def test_a_damaged_file_of_trust_is_none(house: HouseServer, tmp_path: Path) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(house.fleet.trust.read_bytes()[:-10])
    asked = await ask(house, trust=str(path), trust_digest=None)
    assert isinstance(asked.error, Unavailable)
    assert not house.fetched


async def test_a_file_of_trust_without_a_development_ca_serves_no_development(
    house: HouseServer, tmp_path: Path
) -> None:
    path = tmp_path / "root.json"
    path.write_bytes(house.fleet.repository.root_bytes())
    asked = await ask(house, trust=str(path), trust_digest=None)
    assert isinstance(asked.error, Unavailable)
    assert asked.error.reason == "not_configured"
    assert isinstance((await ask(house, trust=str(path), trust_digest=None, min_tier=None)).error, AttestationFailed)
    assert nothing_left(house)


async def test_availability_sends_nothing(house: HouseServer) -> None:
    async with Client(house) as client:
        await client.ask()
        house.fetched.clear()
        house.received.clear()
        assert await client.provider.availability(client.recipient) == Available()
        assert not house.fetched
        assert not house.received


async def test_the_card_is_what_the_release_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    small = release("r1", capabilities=frozenset({"text"}), context_tokens=4096)
    with HouseServer(releases=[small]) as house:
        async with Client(house) as client:
            await client.ask()
            card = await client.provider.card(client.recipient)
    assert card.capabilities == {"text"}
    assert card.context_tokens == 4096


async def test_what_is_verified_is_told(house: HouseServer) -> None:
    async with Client(house) as client:
        assert client.provider.attestations(client.recipient) == ()
        await client.ask()
        told = client.provider.attestations(client.recipient)
        assert {one.digest for one in told} == {machine.evidence.digest for machine in house.fleet.machines}
        (finding,) = await client.provider.diagnose()
        assert finding.level == "warning"
        assert "3 nodes verified" in finding.detail
        assert "DEVELOPMENT" in finding.detail
