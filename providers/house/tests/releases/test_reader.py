"""What a reader believes, and what it refuses: each attack on the repository, by its name."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path

import pytest
from providers.house.tests.releases.support import BOTH, DAY, NOW, Change, House, release

from ringfence_house.releases import documents
from ringfence_house.releases.faults import ReleasesUnreachable
from ringfence_house.releases.reader import MAX_FILE_BYTES
from ringfence_house.releases.reference import Device


def test_a_reader_says_what_the_operator_published(house: House) -> None:
    reference = house.read()
    assert reference.releases == {"r1": release("r1")}
    assert reference.devices == {"C02A": Device(serial="C02A", ueid="u1")}
    assert reference.version == 2
    assert reference.expires_at == int(NOW) + DAY


def test_a_reader_follows(house: House) -> None:
    house.read()
    house.repository.revoke_release("r1")
    house.repository.revoke_device("C02A")
    house.add("r2")
    reference = house.read()
    assert reference.releases["r1"].revoked
    assert not reference.releases["r2"].revoked
    assert reference.devices["C02A"].revoked


def test_what_was_read_is_not_fetched_again(house: House) -> None:
    house.read()
    house.fetched.clear()
    house.read()
    assert house.fetched == ["metadata/2.root.json", "metadata/timestamp.json"]


# ---------------------------------------------------------------- rollback, freeze


def test_an_older_repository_is_refused(house: House) -> None:
    before = house.files()
    house.add("r2")
    house.read()
    house.lies = before
    assert house.refused() == "rollback"


def test_an_older_snapshot_under_a_new_timestamp_is_refused(house: House) -> None:
    """The thief of the machine's keys signs the old list anew."""
    old = house.files()
    for name in ("r2", "r3"):
        house.add(name)
    house.read()
    house.lies = {name: data for name, data in old.items() if not name.endswith("timestamp.json")}
    house.forge(version=2, by=())
    assert house.refused() == "rollback"


def test_a_frozen_list_ends_with_its_timestamp(house: House) -> None:
    house.read()
    frozen = house.files()
    house.lies = frozen
    house.repository.revoke_release("r1")
    house.publish(NOW + DAY / 2)
    assert not house.read(NOW + DAY - 60).releases["r1"].revoked
    assert house.refused(NOW + DAY + 60) == "expired"


def test_the_time_is_the_callers(house: House) -> None:
    """A list that has ended by the system's clock holds by the one that is given."""
    house.publish(NOW - 3 * DAY)
    assert house.read(NOW - 2.5 * DAY).expires_at == int(NOW) - 2 * DAY
    assert house.refused(NOW) == "expired"


@pytest.mark.parametrize(
    ("days", "renewed"), [(29, ["targets"]), (364, ["targets", "root"])], ids=["a month", "a year"]
)
def test_every_role_ends(house: House, days: int, renewed: list[str]) -> None:
    """The machine alone renews its own roles, not what two people must sign."""
    later = NOW + (days + 2) * DAY
    house.publish(later)
    assert house.refused(later) == "expired"
    house.repository.sign(later)
    assert house.read(later).expires_at > later
    assert ("root" in renewed) == (house.versions()[0] == 2)


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize("by", [(), BOTH[:1], BOTH[1:]], ids=["none", "the first", "the second"])
def test_one_signature_of_two_is_not_enough(house: House, by: tuple[str, ...]) -> None:
    rogue = documents.encode_releases({"rogue": release("rogue")})
    house.forge({documents.RELEASES_FILE: rogue}, by=by)
    assert house.refused() == "signature"


def test_the_same_signature_twice_is_not_two(house: House) -> None:
    house.forge_root(["root-1"], "targets-1")
    file = json.loads(house.lies["metadata/2.root.json"])
    file["signatures"] *= 2
    house.lies["metadata/2.root.json"] = json.dumps(file).encode()
    assert house.refused() == "malformed"


def test_a_root_that_one_key_signed_is_refused(house: House) -> None:
    house.forge_root(["root-1"], "targets-1")
    assert house.refused() == "signature"


def test_a_root_that_only_its_new_keys_signed_is_refused(house: House, other_house: House, tmp_path: Path) -> None:
    thief = other_house
    thief.repository.rotate("snapshot-1", tmp_path / "new", NOW)
    house.lies["metadata/2.root.json"] = thief.files()["metadata/2.root.json"]
    assert house.refused() == "signature"


# ---------------------------------------------------------------- tampering


@pytest.mark.parametrize("suffix", documents.FILES)
def test_a_changed_document_is_refused(house: House, suffix: str) -> None:
    name = house.named(suffix)
    for path in [path for path in house.files() if path.endswith(suffix)]:
        data = bytearray(house.files()[path])
        data[len(data) // 2] ^= 1
        house.lies[path] = bytes(data)
    assert house.refused() == "tampered", name


@pytest.mark.parametrize("suffix", ["timestamp.json", ".snapshot.json", ".targets.json"])
def test_changed_metadata_is_refused(house: House, suffix: str) -> None:
    for path in [path for path in house.files() if path.endswith(suffix)]:
        house.lies[path] = re.sub(rb'"expires":"\d{4}', b'"expires":"2999', house.files()[path])
    assert house.refused() == ("signature" if suffix == "timestamp.json" else "tampered")


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000, b'{"signed": {}}'])
@pytest.mark.parametrize("path", ["metadata/timestamp.json", "metadata/2.root.json"])
def test_garbage_is_refused(house: House, path: str, garbage: bytes) -> None:
    house.lies[path] = garbage
    assert house.refused() == "malformed"


def test_html_with_200_for_the_next_root_is_refused(house: House) -> None:
    """A server that answers everything with a page is not believed to have no next root."""
    house.lies["metadata/2.root.json"] = b"<html>not found</html>"
    assert house.refused() == "malformed"


@pytest.mark.parametrize("suffix", ["timestamp.json", ".snapshot.json", ".targets.json", *documents.FILES])
def test_a_huge_file_is_refused(house: House, suffix: str) -> None:
    for path in [path for path in house.files() if path.endswith(suffix)]:
        house.lies[path] = b" " * (MAX_FILE_BYTES + 1)
    assert house.refused() == "size"


def test_a_huge_root_is_refused(house: House) -> None:
    house.lies["metadata/2.root.json"] = b" " * (MAX_FILE_BYTES + 1)
    assert house.refused() == "size"


def test_a_huge_document_that_is_signed_is_not_fetched(house: House) -> None:
    house.forge({documents.NODES_FILE: b" " * (MAX_FILE_BYTES + 1)})
    assert house.refused() == "size"
    assert not any(path.endswith(documents.NODES_FILE) for path in house.fetched)


def test_a_signed_document_of_another_form_is_refused(house: House) -> None:
    house.forge({documents.NODES_FILE: b'{"v":2,"nodes":{}}'})
    assert house.refused() == "malformed"


# ---------------------------------------------------------------- the log


def log_with(house: House, change: Change) -> dict[str, bytes]:
    """The document of the log, changed and spelt as it must be."""
    log = json.loads(house.document(documents.LOG_FILE))
    change(log)
    return {documents.LOG_FILE: json.dumps(log, sort_keys=True, separators=(",", ":")).encode()}


INCLUSIONS: list[Change] = [
    lambda log: log["inclusion"].pop("r1"),
    lambda log: log["inclusion"]["r1"].update(index=1),
    lambda log: log["inclusion"]["r1"].update(index=2),
    lambda log: log["inclusion"]["r1"]["path"].pop(),
    lambda log: log["inclusion"]["r1"]["path"].append("0" * 64),
    lambda log: log["inclusion"].update(r1=log["inclusion"]["r2"]),
    lambda log: log.update(root="0" * 64),
    lambda log: log.update(size=9),
]


@pytest.mark.parametrize(
    "change",
    INCLUSIONS,
    ids=["absent", "another place", "beyond", "short", "long", "another's", "another root", "another size"],
)
def test_a_wrong_inclusion_proof_is_refused(house: House, change: Change) -> None:
    house.add("r2")
    house.forge(log_with(house, change))
    assert house.refused() == "log"


def test_a_release_whose_facts_changed_is_not_the_one_in_the_log(house: House) -> None:
    """Two stolen keys sign another build under the id of a release that is in the log."""
    house.read()
    house.forge({documents.RELEASES_FILE: documents.encode_releases({"r1": release("r1", code="f" * 64)})})
    assert house.refused() == "log"


def test_a_release_that_is_not_in_the_log_is_refused(house: House) -> None:
    releases = {"r1": release("r1"), "rogue": release("rogue")}
    house.forge({documents.RELEASES_FILE: documents.encode_releases(releases)})
    assert house.refused() == "log"


CONSISTENCIES: list[Change] = [
    lambda log: log["consistency"].pop("1"),
    lambda log: log["consistency"]["1"].pop(),
    lambda log: log["consistency"]["1"].append("0" * 64),
    lambda log: log["consistency"].update({"1": ["0" * 64]}),
]


@pytest.mark.parametrize("change", CONSISTENCIES, ids=["absent", "short", "long", "wrong"])
def test_a_wrong_consistency_proof_is_refused(house: House, change: Change) -> None:
    house.read()
    house.add("r2")
    house.forge(log_with(house, change))
    assert house.refused() == "log"


def forked(house: House, names: list[str]) -> None:
    """Both keys sign a log with other entries, right in itself."""
    releases = {name: release(name) for name in names}
    entries = [documents.entry(one) for one in releases.values()]
    house.forge(
        {
            documents.RELEASES_FILE: documents.encode_releases(releases),
            documents.LOG_FILE: documents.encode_log(entries, releases),
        }
    )


@pytest.mark.parametrize(
    "names", [["x1"], ["x1", "x2", "x3"], ["r2", "r1"], []], ids=["same size", "longer", "turned", "emptied"]
)
def test_a_log_with_another_past_is_refused(house: House, names: list[str]) -> None:
    house.add("r2")
    house.read()
    forked(house, names)
    assert house.refused() == "log"


def test_a_log_with_another_past_is_believed_by_whoever_saw_none(house: House) -> None:
    """What the log does not prove: two readers that never met may be shown two logs, by whoever holds both keys."""
    forked(house, ["x1"])
    assert set(house.read().releases) == {"x1"}


@pytest.mark.parametrize("more", [1, 2, 5])
def test_a_reader_that_was_away_sees_that_the_log_goes_on(house: House, more: int) -> None:
    house.read()
    for number in range(more):
        house.add(f"more{number}")
    assert len(house.read().releases) == 1 + more


# ---------------------------------------------------------------- unreachable


def test_without_a_network_what_was_kept_holds_until_it_ends(house: House) -> None:
    first = house.read()
    house.down = True
    assert house.read(NOW + DAY - 60) == first
    with pytest.raises(ReleasesUnreachable, match="has ended"):
        house.read(NOW + DAY + 60)


def test_without_a_network_a_new_reader_knows_nothing(house: House) -> None:
    house.down = True
    with pytest.raises(ReleasesUnreachable, match="none was kept"):
        house.read()


@pytest.mark.parametrize("suffix", ["timestamp.json", ".snapshot.json", ".targets.json", *documents.FILES])
def test_a_network_that_ends_halfway_leaves_what_was_kept(house: House, suffix: str) -> None:
    first = house.read()
    house.add("r2")
    house.repository.add_device(Device(serial="C02B", ueid="u2"))
    house.publish()

    def cut(path: str) -> bytes:
        house.down = house.down or path.endswith(suffix)
        return house.fetch(path)

    assert house.read(fetch=cut) == first
    house.down = False
    assert set(house.read().releases) == {"r1", "r2"}


def test_what_a_fetch_raises_is_never_shown(house: House) -> None:
    def fetch(path: str) -> bytes:
        raise RuntimeError(f"secret {path}")

    with pytest.raises(ReleasesUnreachable) as raised:
        house.read(fetch=fetch)
    assert "secret metadata" not in "".join(traceback.format_exception(raised.value))


# ---------------------------------------------------------------- roots and keys


@pytest.mark.parametrize("name", ["root-1", "root-3", "targets-1", "snapshot-1", "timestamp-1"])
def test_a_reader_follows_a_replaced_key(house: House, tmp_path: Path, name: str) -> None:
    house.read()
    house.repository.rotate(name, tmp_path / "new", NOW)
    house.reopen(tmp_path / "new")
    house.add("r2")
    assert "r2" in house.read().releases
    assert house.refused(root=b"{}") == "trust"


def test_a_reader_that_starts_anew_follows_from_the_first_root(house: House, tmp_path: Path) -> None:
    for number, name in enumerate(["root-1", "root-2", "targets-2"]):
        house.repository.rotate(name, tmp_path / f"new{number}", NOW)
        house.reopen(*(tmp_path / f"new{count}" for count in range(number + 1)))
    assert house.read().releases
    assert house.versions()[0] == 4


def test_a_replaced_key_signs_nothing_any_more(house: House, tmp_path: Path) -> None:
    """Both keys of the targets are stolen; one is replaced, and the thief's next list is refused."""
    house.read()
    house.repository.rotate("targets-1", tmp_path / "new", NOW)
    house.read()
    rogue = documents.encode_releases({"rogue": release("rogue")})
    house.reopen(tmp_path / "new")
    house.forge({documents.RELEASES_FILE: rogue}, by=["targets-2"])
    assert house.refused() == "signature"


def test_a_thief_of_the_machines_keys_who_counts_far_ahead_is_recovered_from(house: House, tmp_path: Path) -> None:
    """Versions that nobody reaches again would lock readers out; new keys begin to count anew (TUF, 5.3.11)."""
    house.forge(version=2**31 - 1)
    house.read()
    house.lies = {}
    assert house.refused() == "rollback"
    house.repository.rotate("timestamp-1", tmp_path / "new", NOW)
    house.reopen(tmp_path / "new")
    house.repository.rotate("snapshot-1", tmp_path / "new", NOW)
    house.reopen(tmp_path / "new")
    house.repository.sign(NOW)
    assert set(house.read().releases) == {"r1"}


def test_a_trust_file_that_a_person_replaced_begins_anew(house: House, other_house: House) -> None:
    house.add("r2")
    house.read()
    other = other_house
    house.lies = other.files()
    assert house.refused() in ("signature", "rollback")
    assert set(house.read(root=other.root).releases) == {"r1"}
    house.lies = {}
    assert house.refused(root=other.root) in ("signature", "rollback")


def test_a_trust_file_with_a_later_root_of_the_same_house_forgets_nothing(house: House, tmp_path: Path) -> None:
    before = house.files()
    house.repository.rotate("root-1", tmp_path / "new", NOW)
    house.reopen(tmp_path / "new")
    house.add("r2")
    house.read()
    house.root = json.dumps(json.loads(house.repository.root_bytes()), indent=1).encode()
    assert "r2" in house.read().releases
    house.lies = before
    assert house.refused() == "rollback"


@pytest.mark.parametrize("root", [b"", b"{}", b"[]", b"\xff\xfe", b'{"signed": {"_type": "root"}, "signatures": []}'])
def test_a_trust_file_that_holds_no_root_is_refused(house: House, root: bytes) -> None:
    assert house.refused(root=root or b" ") == "trust"


def test_a_root_with_a_missing_signature_is_no_trusted_root(house: House) -> None:
    root = json.loads(house.root)
    root["signatures"] = root["signatures"][:1]
    assert house.refused(root=json.dumps(root).encode()) == "trust"
