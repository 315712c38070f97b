"""What is signed builds on what was signed: nothing that somebody without keys put into the served folder counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from providers.house.tests.releases.support import DAY, NOW, House, release

from ringfence_house.releases import documents, signing
from ringfence_house.releases.anchors import ANCHOR_FILE, put_anchors
from ringfence_house.releases.faults import ReleasesFault, ReleasesRefused
from ringfence_house.releases.keys import KeyRing, make_keys
from ringfence_house.releases.log import leaf_hash
from ringfence_house.releases.reference import Device
from ringfence_house.releases.repository import Repository
from ringfence_house.releases.seen import SEEN_FILE
from ringfence_house.releases.signing import Signing
from ringfence_house.releases.vendor import Metadata, Root

HOLDERS = ("first", "second", "publishing", "spare")
EVIL = Device(serial="EVIL", ueid="evil")


class Intruder:
    """Writes into the served folder, and has no key."""

    def __init__(self, house: House) -> None:
        self.served = house.folder / "releases"
        self.house = house

    def load(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.served / name).read_bytes())
        return found

    def newest(self, role: str) -> str:
        return self.house.named(f".{role}.json")

    def change(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes what a file says is signed; its signatures stay, and hold no more."""
        found = self.load(name)
        change(found["signed"])
        (self.served / name).write_text(json.dumps(found))

    def rehash(self) -> None:
        """Makes the snapshot name the targets as they are, and the timestamp the snapshot."""
        self._name(self.newest("targets"), "targets.json", self.newest("snapshot"))
        self._name(self.newest("snapshot"), "snapshot.json", "metadata/timestamp.json")

    def _name(self, named: str, member: str, in_file: str) -> None:
        digest = sha256((self.served / named).read_bytes()).hexdigest()
        self.change(in_file, lambda signed: signed["meta"][member].update(hashes={"sha256": digest}))

    def documents(self) -> dict[str, bytes]:
        """The three documents with a release and a machine more."""
        releases = {**self.house.repository.releases, "evil": release("evil")}
        entries = [documents.entry(one) for one in releases.values()]
        (self.served / "log" / "entries.jsonl").write_bytes(b"".join(one + b"\n" for one in entries))
        return {
            documents.RELEASES_FILE: documents.encode_releases(releases),
            documents.NODES_FILE: documents.encode_devices({**self.house.repository.devices, EVIL.serial: EVIL}),
            documents.LOG_FILE: documents.encode_log(entries, releases),
        }

    def inject(self) -> None:
        """Puts them where the targets lead, and names them there."""
        content = self.documents()
        self._write_targets(content)
        named = {n: {"length": len(d), "hashes": {"sha256": sha256(d).hexdigest()}} for n, d in content.items()}
        self.change(self.newest("targets"), lambda signed: signed.update(targets=named))

    def _write_targets(self, content: Mapping[str, bytes]) -> None:
        for name, data in content.items():
            (self.served / "targets" / f"{sha256(data).hexdigest()}.{name}").write_bytes(data)

    def sign_all(self, root: Root, folder: Path, *, also: KeyRing | None = None) -> None:
        """Writes `root`, and a whole list under it, signed with the keys in `folder` (and the root with `also`)."""
        signer = Signing(ring=KeyRing([folder]), roots=[root], folders=[])
        content = self.documents()
        self._write_targets(content)
        targets = signer.sign(signing.new_targets(content, 9, NOW), must=[])[1]
        snapshot = signer.sign(signing.new_snapshot(targets, 9, 9, NOW), must=[])[1]
        found = signer.sign(root, must=[])[0]
        if also is not None:
            for key in map(also.get, self._trusted().roles["root"].keyids):
                if key is not None:
                    found.sign(key, append=True)
        for name, data in {
            f"{root.version}.root.json": found.to_bytes(),
            "9.targets.json": targets,
            "9.snapshot.json": snapshot,
            "timestamp.json": signer.sign(signing.new_timestamp(snapshot, 9, 9, NOW), must=[])[1],
        }.items():
            (self.served / "metadata" / name).write_bytes(data)

    def own_root(self, version: int) -> tuple[Root, Path]:
        """A root of his own, for which one signature is enough, and its keys."""
        folder = self.house.folder / "intruder"
        root = signing.new_root(make_keys(folder), NOW)
        root.version = version
        for role in root.roles.values():
            role.threshold = 1
        return root, folder

    def _trusted(self) -> Root:
        return Metadata[Root].from_bytes(self.house.root).signed


def refused(house: House, said: str) -> None:
    """No command of an operator builds on what lies there, whether it begins now or had begun before."""
    began = house.repository
    before = house.files()
    with pytest.raises(ReleasesFault, match=said) as raised:
        house.reopen()
    assert raised.value.way_out
    commands: tuple[Callable[[], None], ...] = (
        lambda: began.sign(NOW),
        lambda: began.publish(NOW),
        lambda: began.rotate("targets-1", house.folder / "fresh", NOW),
    )
    for command in commands:
        with pytest.raises(ReleasesFault):
            command()
    assert house.files() == before
    assert not list(house.folder.glob("fresh/*.pem"))


# ---------------------------------------------------------------- what nobody signed


def test_a_release_that_nobody_signed_is_never_signed(house: House) -> None:
    Intruder(house).inject()
    refused(house, r"the targets in .* is not signed by enough of its keys")


def test_a_release_that_nobody_signed_is_never_signed_though_every_hash_is_right(house: House) -> None:
    intruder = Intruder(house)
    intruder.inject()
    intruder.rehash()
    refused(house, r"the timestamp in .* is not signed by enough of its keys")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("how", ["another end", "no signature"])
def test_a_role_that_is_not_signed_is_refused(house: House, role: str, how: str) -> None:
    intruder = Intruder(house)
    name = "metadata/timestamp.json" if role == "timestamp" else intruder.newest(role)
    if how == "another end":
        intruder.change(name, lambda signed: signed.update(expires="2099-01-01T00:00:00Z"))
    else:
        (intruder.served / name).write_text(json.dumps({**intruder.load(name), "signatures": []}))
    refused(house, rf"the {role} in .* is not signed by enough of its keys")


def test_one_signature_of_the_targets_is_not_enough(house: House) -> None:
    intruder = Intruder(house)
    name = intruder.newest("targets")
    found = intruder.load(name)
    (intruder.served / name).write_text(json.dumps({**found, "signatures": found["signatures"][:1]}))
    refused(house, r"the targets in .* is not signed")


def test_one_role_does_not_stand_for_another(house: House) -> None:
    intruder = Intruder(house)
    shutil.copy(intruder.served / intruder.newest("snapshot"), intruder.served / "metadata" / "timestamp.json")
    refused(house, r"the timestamp in .* is not signed")


def test_targets_that_were_signed_once_do_not_stand_for_the_newest(house: House) -> None:
    metadata = house.folder / "releases" / "metadata"
    shutil.copy(metadata / "1.targets.json", metadata / "2.targets.json")
    refused(house, "is not the one that was signed")


def test_other_targets_of_the_same_number_do_not_stand_for_those_that_were_published(house: House) -> None:
    root = Metadata[Root].from_bytes(house.root).signed
    signer = Signing(ring=KeyRing([house.folder / "keys"]), roots=[root], folders=[])
    content = {name: house.document(name) for name in documents.FILES}
    other = signer.sign(signing.new_targets(content, 2, NOW + DAY))[1]
    (house.folder / "releases" / "metadata" / "2.targets.json").write_bytes(other)
    refused(house, "is not the one that was signed")


def test_thieves_of_the_publishing_keys_give_old_targets_no_new_number(house: House) -> None:
    metadata = house.folder / "releases" / "metadata"
    root = Metadata[Root].from_bytes(house.root).signed
    signer = Signing(ring=KeyRing([house.folder / "keys" / "publishing"]), roots=[root], folders=[])
    old = (metadata / "1.targets.json").read_bytes()
    snapshot = signer.sign(signing.new_snapshot(old, 7, 7, NOW))[1]
    (metadata / "7.targets.json").write_bytes(old)
    (metadata / "7.snapshot.json").write_bytes(snapshot)
    (metadata / "timestamp.json").write_bytes(signer.sign(signing.new_timestamp(snapshot, 7, 7, NOW))[1])
    refused(house, "is not the one that was signed")


def test_a_document_that_is_not_the_signed_one_is_refused(house: House) -> None:
    name = house.named(documents.NODES_FILE)
    path = house.folder / "releases" / name
    path.write_bytes(documents.encode_devices({EVIL.serial: EVIL}))
    refused(house, "is not the one that was signed")


def test_a_client_uses_nothing_of_it_meanwhile(house: House) -> None:
    house.read()
    intruder = Intruder(house)
    intruder.inject()
    # Its hash is still that of the signed one, which the client keeps: it asks for it no more.
    assert "evil" not in house.read().releases
    shutil.rmtree(house.state)
    assert house.refused() in {"tampered", "size"}
    intruder.rehash()
    assert house.refused() == "signature"


# ---------------------------------------------------------------- roots


def test_a_new_root_that_the_old_one_did_not_sign_is_refused(house: House) -> None:
    intruder = Intruder(house)
    intruder.sign_all(*intruder.own_root(2))
    refused(house, r"root 2 in .* is not signed by the keys of root 1")


def test_one_stolen_root_key_makes_no_root(house: House) -> None:
    intruder = Intruder(house)
    intruder.sign_all(*intruder.own_root(2), also=KeyRing([house.folder / "keys" / "first"]))
    refused(house, r"root 2 in .* is not signed by the keys of root 1")


def test_a_root_in_the_place_of_the_first_is_refused(house: House) -> None:
    intruder = Intruder(house)
    intruder.sign_all(*intruder.own_root(1))
    refused(house, "is not signed")


def test_the_root_alone_in_the_place_of_the_first_is_refused(house: House, other_house: House) -> None:
    (house.folder / "releases" / "metadata" / "1.root.json").write_bytes(other_house.root)
    refused(house, "is not the one that was signed")


def test_a_root_that_does_not_follow_is_refused(house: House) -> None:
    house.repository.sign(NOW + 200 * DAY)
    served = house.folder / "releases" / "metadata"
    for holder in HOLDERS:
        shutil.copy(served / "1.root.json", house.folder / "keys" / holder / ANCHOR_FILE)
    shutil.copy(served / "2.root.json", served / "7.root.json")
    refused(house, "root 3 in .* is not signed by the keys of root 2")
    (served / "7.root.json").unlink()
    house.reopen()
    shutil.copy(served / "2.root.json", served / "3.root.json")
    refused(house, "root 3 in .* is not signed by the keys of root 2")


def test_a_root_that_was_taken_away_is_missed(house: House) -> None:
    before = house.files()
    house.repository.rotate("targets-1", house.folder / "new", NOW)
    for name in house.files().keys() - before.keys():
        (house.folder / "releases" / name).unlink()
    for name, data in before.items():
        (house.folder / "releases" / name).write_bytes(data)
    refused(house, "the roots in .* are older than")


# ---------------------------------------------------------------- what lies with the keys


def anchors(house: House) -> dict[str, bytes]:
    return {holder: (house.folder / "keys" / holder / ANCHOR_FILE).read_bytes() for holder in HOLDERS}


def test_every_holder_gets_the_first_root(house: House) -> None:
    assert anchors(house) == dict.fromkeys(HOLDERS, house.root)


@pytest.mark.parametrize("holder", HOLDERS)
def test_keys_without_a_root_sign_nothing(house: House, holder: str) -> None:
    (house.folder / "keys" / holder / ANCHOR_FILE).unlink()
    refused(house, rf"no root\.json lies with the keys in .*{holder}")


def test_a_folder_with_neither_keys_nor_root_is_not_enough_to_look(house: House) -> None:
    with pytest.raises(ReleasesFault, match=r"no root\.json lies with the keys") as raised:
        Repository(house.folder / "releases", keys=house.folder / "nothing")
    assert "trust file" in str(raised.value.way_out)


def test_who_has_only_the_root_may_look(house: House) -> None:
    auditor = house.folder / "auditor"
    auditor.mkdir()
    (auditor / ANCHOR_FILE).write_bytes(house.root)
    assert set(Repository(house.folder / "releases", keys=auditor).releases) == {"r1"}


@pytest.mark.parametrize("holder", HOLDERS)
def test_holders_whose_roots_differ_sign_nothing_together(house: House, other_house: House, holder: str) -> None:
    (house.folder / "keys" / holder / ANCHOR_FILE).write_bytes(other_house.root)
    refused(house, "are not of one house")


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000])
def test_a_root_that_is_none_is_refused(house: House, data: bytes) -> None:
    (house.folder / "keys" / "first" / ANCHOR_FILE).write_bytes(data)
    refused(house, "is no root")


def test_a_root_with_the_keys_that_too_few_signed_is_refused(house: House) -> None:
    path = house.folder / "keys" / "first" / ANCHOR_FILE
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps({**found, "signatures": found["signatures"][:1]}))
    refused(house, "is no root")


def test_another_role_is_no_root(house: House) -> None:
    shutil.copy(
        house.folder / "releases" / "metadata" / "timestamp.json", house.folder / "keys" / "first" / ANCHOR_FILE
    )
    refused(house, "is no root")


def test_replacing_a_key_renews_the_root_of_everybody_at_hand(house: House) -> None:
    shutil.move(house.folder / "keys" / "spare", house.folder / "safe")
    house.reopen()
    house.repository.rotate("targets-1", house.folder / "new", NOW)
    second = house.repository.root_bytes()
    assert second != house.root
    assert (house.folder / "new" / ANCHOR_FILE).read_bytes() == second
    assert (house.folder / "keys" / "first" / ANCHOR_FILE).read_bytes() == second
    assert (house.folder / "safe" / ANCHOR_FILE).read_bytes() == house.root
    house.reopen(house.folder / "new", house.folder / "safe")
    house.publish()
    assert (house.folder / "safe" / ANCHOR_FILE).read_bytes() == second


def test_a_key_is_not_put_among_those_of_another_house(house: House, other_house: House) -> None:
    before = house.files()
    with pytest.raises(ReleasesFault, match="are not of one house"):
        house.repository.rotate("root-1", other_house.folder / "keys" / "publishing", NOW)
    assert house.files() == before
    assert not (other_house.folder / "keys" / "publishing" / "root-1.pem").exists()


def test_renewing_the_root_renews_it_with_the_keys(house: House) -> None:
    house.repository.sign(NOW + 200 * DAY)
    assert anchors(house) == dict.fromkeys(HOLDERS, house.repository.root_bytes())
    assert house.repository.root_bytes() != house.root


def test_a_root_is_put_only_where_there_is_none(house: House, other_house: House) -> None:
    (house.folder / "keys" / "first" / ANCHOR_FILE).unlink()
    put_anchors([house.folder / "keys"], house.root)
    put_anchors([house.folder / "keys"], other_house.root)
    assert anchors(house) == dict.fromkeys(HOLDERS, house.root)
    house.reopen()


def test_keys_are_never_among_what_is_served(house: House) -> None:
    with pytest.raises(ReleasesFault, match=r"is inside .* which is served"):
        Repository.create(house.folder / "new", keys=house.folder / "new" / "keys")
    assert not (house.folder / "new").exists()
    with pytest.raises(ReleasesFault, match="is inside"):
        house.repository.rotate("root-1", house.folder / "releases" / "keys", NOW)
    shutil.copytree(house.folder / "keys", house.folder / "releases" / "keys")
    with pytest.raises(ReleasesFault, match="is inside"):
        Repository(house.folder / "releases", keys=house.folder)


# ---------------------------------------------------------------- what was signed once, and what ended


def restore(house: House, before: Mapping[str, bytes]) -> None:
    for name, data in before.items():
        (house.folder / "releases" / name).write_bytes(data)


def test_a_list_from_before_a_revocation_is_not_signed_again(house: House) -> None:
    before = house.files()
    house.repository.revoke_release("r1")
    house.publish()
    restore(house, before)
    refused(house, "does not go on from the one that .* has seen")


def test_the_publishing_machine_misses_it_too(house: House) -> None:
    before = house.files()
    house.repository.revoke_release("r1")
    house.publish()
    restore(house, before)
    with pytest.raises(ReleasesFault, match="does not go on"):
        Repository(house.folder / "releases", keys=house.folder / "keys" / "publishing").publish(NOW)


def test_a_log_that_does_not_go_on_is_not_signed_again(house: House) -> None:
    other = {"r9": release("r9")}
    entries = [documents.entry(one) for one in other.values()]
    house.forge(
        {
            documents.RELEASES_FILE: documents.encode_releases(other),
            documents.LOG_FILE: documents.encode_log(entries, other),
        }
    )
    restore(house, {**house.lies, "log/entries.jsonl": entries[0] + b"\n"})
    refused(house, "does not go on from the one that .* has seen")
    for holder in HOLDERS:
        (house.folder / "keys" / holder / SEEN_FILE).unlink()
    house.reopen()
    assert set(house.repository.releases) == {"r9"}


@pytest.mark.parametrize("data", [b"", b"{}", b'{"v":1}'])
def test_what_was_seen_and_is_damaged_is_refused(house: House, data: bytes) -> None:
    (house.folder / "keys" / "first" / SEEN_FILE).write_bytes(data)
    refused(house, "seen.json is damaged")


@pytest.mark.parametrize("days", [2, 8, 31, 366])
def test_what_has_ended_is_signed_anew(house: House, days: int) -> None:
    at = NOW + days * DAY
    with pytest.raises(ReleasesRefused):
        house.read(at)
    house.reopen()
    house.repository.sign(at)
    assert set(house.read(at).releases) == {"r1"}


# ---------------------------------------------------------------- what a person sees


def shown(house: House) -> dict[str, dict[str, tuple[str, ...]]]:
    found = house.repository.changes()
    return {what: {kind: ids for kind, ids in one.by_kind().items() if ids} for what, one in found.items() if one}


def test_what_will_be_signed_is_shown_by_its_ids(house: House) -> None:
    assert shown(house) == {}
    house.repository.add_release(release("r2"))
    house.repository.revoke_release("r1")
    house.repository.revoke_device("C02A")
    assert shown(house) == {"releases": {"added": ("r2",), "revoked": ("r1",)}, "machines": {"revoked": ("C02A",)}}
    house.publish()
    assert shown(house) == {}
    house.repository.add_device(Device(serial="C02A", ueid="u9"))
    assert shown(house) == {"machines": {"restored": ("C02A",), "changed": ("C02A",)}}


def test_what_thieves_of_both_keys_let_serve_is_shown_to_the_holders(house: House) -> None:
    found = {**house.repository.releases, "evil": release("evil")}
    entries = [documents.entry(one) for one in found.values()]
    house.forge(
        {
            documents.RELEASES_FILE: documents.encode_releases(found),
            documents.NODES_FILE: documents.encode_devices({EVIL.serial: EVIL}),
            documents.LOG_FILE: documents.encode_log(entries, found),
        }
    )
    restore(house, {**house.lies, "log/entries.jsonl": b"".join(one + b"\n" for one in entries)})
    assert len({leaf_hash(one) for one in entries}) == 2
    Repository(house.folder / "releases", keys=house.folder / "keys" / "publishing").publish(NOW)
    house.reopen()
    assert shown(house) == {
        "releases": {"added": ("evil",)},
        "machines": {"added": ("EVIL",), "removed": ("C02A",)},
    }
