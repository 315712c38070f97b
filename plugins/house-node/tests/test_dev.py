"""The development house in one folder: made once, joined by the next node, believed by a client with its trust file."""

from __future__ import annotations

import json
import shutil
import stat
import time
from pathlib import Path

import pytest

from ringfence.errors import Unavailable
from ringfence_house.attestation.evidence import make_directory
from ringfence_house.attestation.trust import read_trust
from ringfence_house.attestation.verify import Verified, verify_directory
from ringfence_house.protocol import hpke
from ringfence_house.protocol.keyconfig import make_key_config
from ringfence_house.releases.faults import Missing, ReleasesFault
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house_node.dev import Development, Offer, joined
from ringfence_house_node.server.measuring import Measures

OFFER = Offer(
    model="m",
    measures=Measures(code="a" * 64, model="b" * 64, config="c" * 64),
    capabilities=frozenset({"text"}),
    context_tokens=1000,
)


def evidence(node: Development) -> bytes:
    config = make_key_config(1, hpke.generate().public)
    issued = node.attestor.issue(key_config=config, release=node.claim, boot="b" * 16, now=time.time(), life_s=60)
    return issued.encoded


def verified(folder: Path, kept: Path, *nodes: Development) -> Verified:
    """What a client makes of these nodes, by the trust file and the repository alone."""

    def fetch(path: str) -> bytes:
        try:
            return (folder / "releases" / path).read_bytes()
        except FileNotFoundError:
            raise Missing from None

    trust = read_trust(folder / "trust.json")
    reference = ReleaseReader(trust.root, kept, fetch).refresh(time.time())
    directory = make_directory([evidence(node) for node in nodes])
    verifiers = trust.verifiers()
    return verify_directory(directory, reference, verifiers, min_tier="software-dev", model="m", now=time.time())


def test_two_nodes_of_one_folder_are_believed_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with joined(folder, OFFER) as first, joined(folder, OFFER) as second:
        found = verified(folder, tmp_path / "kept", first, second)

    assert not found.refused
    assert {node.serial for node in found.nodes} == {first.attestor.serial, second.attestor.serial}
    assert {node.release.id for node in found.nodes} == {OFFER.release_id}
    assert len(found.nodes) == 2
    assert first.attestor.serial != second.attestor.serial


def test_a_node_that_starts_again_is_the_same_machine(tmp_path: Path) -> None:
    with joined(tmp_path, OFFER) as first:
        before = first.attestor.serial, (tmp_path / "trust.json").read_bytes()
    with joined(tmp_path, OFFER) as again:
        after = again.attestor.serial, (tmp_path / "trust.json").read_bytes()

    assert before == after


def test_another_offer_is_another_release(tmp_path: Path) -> None:
    other = Offer(model="m", measures=OFFER.measures, capabilities=frozenset({"text"}), context_tokens=2000)
    folder = tmp_path / "state"
    with joined(folder, OFFER) as first, joined(folder, other) as second:
        found = verified(folder, tmp_path / "kept", first, second)

    assert {node.release.context_tokens for node in found.nodes} == {1000, 2000}


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    with joined(tmp_path / "state", OFFER):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*.key")}
        folder = stat.S_IMODE((tmp_path / "state").stat().st_mode)

    assert modes
    assert set(modes.values()) == {0o600}
    assert folder == 0o700


def test_the_recipient_names_everything_that_a_policy_needs(tmp_path: Path) -> None:
    with joined(tmp_path, OFFER) as node:
        recipient = node.recipient("http://127.0.0.1:1", "m")

    assert json.loads(Path(recipient["trust"]).read_bytes())["v"] == 1
    assert {**recipient, "trust": ""} == {
        "ring": "house",
        "provider": "house",
        "model": "m",
        "directory": "http://127.0.0.1:1",
        "trust": "",
        "min_tier": "software-dev",
    }


def test_a_folder_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="development state"), joined(tmp_path / "file" / "state", OFFER):
        pass


def test_a_folder_from_before_the_roots_lay_with_the_keys_is_joined(tmp_path: Path) -> None:
    with joined(tmp_path / "state", OFFER):
        for path in [*(tmp_path / "state" / "keys").rglob("*.json")]:
            path.unlink()
    with joined(tmp_path / "state", OFFER) as again:
        assert len(verified(tmp_path / "state", tmp_path / "kept", again).nodes) == 1


def test_a_folder_that_cannot_be_mended_may_be_deleted(tmp_path: Path) -> None:
    with joined(tmp_path / "state", OFFER):
        pass
    for path in [*(tmp_path / "state" / "keys").rglob("*.json"), tmp_path / "state" / "trust.json"]:
        path.unlink()
    with (
        pytest.raises(ReleasesFault, match=r"no root\.json lies with the keys") as raised,
        joined(tmp_path / "state", OFFER),
    ):
        pass
    assert f"or delete {tmp_path / 'state'}: the next start makes another house" in str(raised.value.way_out)


def test_a_root_of_somebody_else_in_what_is_served_is_refused(tmp_path: Path) -> None:
    with joined(tmp_path / "state", OFFER), joined(tmp_path / "other", OFFER):
        pass
    shutil.rmtree(tmp_path / "state" / "releases")
    shutil.copytree(tmp_path / "other" / "releases", tmp_path / "state" / "releases")
    with (
        pytest.raises(ReleasesFault, match=r"is not the one that was signed|is not signed"),
        joined(tmp_path / "state", OFFER),
    ):
        pass
