"""The operator's side as a library: what it takes to change it, and that a crash leaves it as it was."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from providers.house.tests.releases.support import BOTH, DAY, NOW, House, release

from ringfence_house.releases import repository as module
from ringfence_house.releases.faults import KeysMissing, ReleasesFault
from ringfence_house.releases.files import locked, write_whole
from ringfence_house.releases.reference import Device
from ringfence_house.releases.repository import Repository
from ringfence_house.releases.vendor import Metadata, Root


def take_away(house: House, *names: str) -> None:
    """The keys called so are with somebody else."""
    for path in (house.folder / "keys").rglob("*.pem"):
        if path.stem in names:
            path.unlink()
    house.reopen()


def test_root_and_targets_need_two_keys_the_others_one(house: House) -> None:
    root = Metadata[Root].from_bytes(house.repository.root_bytes()).signed
    found = {name: (role.threshold, len(role.keyids)) for name, role in root.roles.items()}
    assert found == {"root": (2, 3), "targets": (2, 2), "snapshot": (1, 1), "timestamp": (1, 1)}
    assert {key.keytype for key in root.keys.values()} == {"ed25519"}
    assert len(root.keys) == 7


def test_every_role_has_its_life(house: House) -> None:
    lives = {role: round((at - NOW) / DAY) for role, at in house.repository.expiries().items()}
    assert lives == {"root": 365, "targets": 30, "snapshot": 7, "timestamp": 1}


def test_keys_are_for_their_owner_alone_and_what_is_served_for_everybody(house: House) -> None:
    for path in (house.folder / "keys").rglob("*.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in house.files().keys() - {".lock"}:
        assert stat.S_IMODE((house.folder / "releases" / name).stat().st_mode) & 0o444 == 0o444


def test_no_key_is_among_what_is_served(house: House) -> None:
    secrets = [path.read_bytes().splitlines()[1] for path in (house.folder / "keys").rglob("*.pem")]
    assert len(secrets) == 7
    for data in house.files().values():
        assert not any(secret in data for secret in secrets)


NEEDING_BOTH: dict[str, Callable[[Repository], None]] = {
    "add a release": lambda it: it.add_release(release("r2")),
    "revoke a release": lambda it: it.revoke_release("r1"),
    "add a machine": lambda it: it.add_device(Device(serial="C02B", ueid="u2")),
    "revoke a machine": lambda it: it.revoke_device("C02A"),
}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("change", NEEDING_BOTH.values(), ids=NEEDING_BOTH)
def test_a_change_needs_both_keys(house: House, name: str, change: Callable[[Repository], None]) -> None:
    take_away(house, name)
    before = house.files()
    change(house.repository)
    with pytest.raises(KeysMissing, match=r"signing the targets takes 2 keys, and .* holds 1 of them") as raised:
        house.publish()
    assert name in str(raised.value.way_out)
    assert house.files() == before


def test_the_machine_renews_the_timestamp_alone(house: House) -> None:
    take_away(house, *BOTH, "root-1", "root-2", "root-3")
    before = house.repository.expiries()
    house.publish(NOW + DAY)
    after = house.repository.expiries()
    assert after["timestamp"] == before["timestamp"] + DAY
    assert {**after, "timestamp": 0} == {**before, "timestamp": 0}
    house.publish(NOW + 5 * DAY)
    assert house.repository.expiries()["snapshot"] == int(NOW) + 12 * DAY
    with pytest.raises(KeysMissing):
        house.repository.sign(NOW)


def test_signing_anew_renews_the_targets_and_in_its_second_half_the_root(house: House) -> None:
    house.repository.sign(NOW + 20 * DAY)
    assert house.repository.expiries()["targets"] == int(NOW) + 50 * DAY
    assert house.versions()[0] == 1
    house.repository.sign(NOW + 200 * DAY)
    assert house.repository.expiries()["root"] == int(NOW) + 565 * DAY
    assert house.versions()[0] == 2


# ---------------------------------------------------------------- what may be added


REFUSED: list[tuple[Callable[[Repository], None], str]] = [
    (lambda it: it.add_release(release("r1")), "a release 'r1' already"),
    (lambda it: it.add_release(release("a b")), "not of its form"),
    (lambda it: it.add_release(release("r2", code="zz")), "code is not of its form"),
    (lambda it: it.add_release(release("r2", not_after=0)), "ends before it begins"),
    (lambda it: it.revoke_release("r9"), "no release 'r9'"),
    (lambda it: it.add_device(Device(serial="C02A", ueid="u9")), "in the inventory already"),
    (lambda it: it.add_device(Device(serial="C02B", ueid="u1")), "two machines have one ueid"),
    (lambda it: it.add_device(Device(serial="C 2", ueid="u2")), "not of its form"),
    (lambda it: it.revoke_device("C9"), "'C9' is not in the inventory"),
]


@pytest.mark.parametrize(("change", "said"), REFUSED)
def test_what_may_not_be_is_refused(house: House, change: Callable[[Repository], None], said: str) -> None:
    before = (house.repository.releases, house.repository.devices)
    with pytest.raises(ReleasesFault, match=said) as raised:
        change(house.repository)
    assert raised.value.way_out
    assert (house.repository.releases, house.repository.devices) == before


def test_a_machine_that_was_revoked_may_come_back(house: House) -> None:
    house.repository.revoke_device("C02A")
    house.publish()
    house.repository.add_device(Device(serial="C02A", ueid="u9"))
    house.publish()
    assert house.read().devices == {"C02A": Device(serial="C02A", ueid="u9")}


def test_a_full_log_takes_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    house.repository.add_release(release("r2"))
    with pytest.raises(ReleasesFault, match="the log is full"):
        house.repository.add_release(release("r3"))


def test_a_revoked_release_stays_in_the_log(house: House) -> None:
    head = house.repository.log_head()
    house.repository.revoke_release("r1")
    house.publish()
    assert house.repository.log_head() == head


# ---------------------------------------------------------------- crashes, others, damage


class Crash(Exception):
    pass


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kills the operator's process before its write number `step`; gives the names written until then."""
    written: list[str] = []

    def write(path: Path, content: bytes, **settings: int) -> None:
        if len(written) == step:
            raise Crash
        written.append(path.name)
        write_whole(path, content, **settings)

    monkeypatch.setattr(module, "write_whole", write)
    return written


CHANGES: dict[str, Callable[[House], None]] = {
    "release": lambda house: house.add("r2"),
    "targets key": lambda house: house.repository.rotate("targets-1", house.folder / "new", NOW),
    "timestamp key": lambda house: house.repository.rotate("timestamp-1", house.folder / "new", NOW),
    "sign": lambda house: house.repository.sign(NOW + 200 * DAY),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_crash_at_any_write_leaves_what_readers_can_use(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = NOW + 200 * DAY if name == "sign" else NOW
    if name == "sign":
        house.repository.sign(NOW + 180 * DAY)
        house.publish(at)
    house.read(at)
    for step in range(20):
        written = crash_at(step, monkeypatch)
        try:
            CHANGES[name](house)
        except Crash:
            assert len(written) == step
            assert "r1" in house.read(at).releases
            for made in (house.folder / "new").glob("*"):
                made.unlink()
            house.reopen()
            continue
        break
    else:
        pytest.fail("it never came to its end")
    assert step >= 3
    monkeypatch.undo()
    house.reopen(house.folder / "new") if (house.folder / "new").exists() else house.reopen()
    house.repository.add_device(Device(serial="C02B", ueid="u2"))
    house.publish(at)
    assert "C02B" in house.read(at).devices


def test_what_a_full_disk_refuses_is_not_half_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes, **settings: int) -> None:
        del content, settings
        raise OSError(28, "No space left on device", str(path))

    before = house.files()
    monkeypatch.setattr(module, "write_whole", write)
    with pytest.raises(ReleasesFault, match="no space left on device"):
        house.add("r2")
    assert house.files() == before


def test_two_operators_do_not_undo_each_other(house: House) -> None:
    second = Repository(house.folder / "releases", keys=house.folder / "keys")
    house.add("r2")
    second.revoke_release("r1")
    with pytest.raises(ReleasesFault, match="somebody else changed"):
        second.publish(NOW)
    assert not house.read().releases["r1"].revoked


def test_an_operator_waits_for_another_and_then_gives_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_TIMEOUT_S", 0.05)
    with (
        locked(house.folder / "releases" / ".lock", timeout_s=1),
        pytest.raises(ReleasesFault, match="another process is changing"),
    ):
        house.publish()


def test_a_repository_is_not_made_over_another(house: House) -> None:
    before = house.files()
    with pytest.raises(ReleasesFault, match="there is a repository"):
        Repository.create(house.folder / "releases", keys=house.folder / "more")
    with pytest.raises(ReleasesFault, match="there are keys"):
        Repository.create(house.folder / "another", keys=house.folder / "keys")
    assert house.files() == before


@pytest.mark.parametrize(
    "suffix", ["timestamp.json", "1.root.json", "2.snapshot.json", "2.targets.json", "house-log.json", "entries.jsonl"]
)
@pytest.mark.parametrize("damage", [b"", b"{}", None], ids=["empty", "other", "gone"])
def test_a_damaged_repository_says_so(house: House, suffix: str, damage: bytes | None) -> None:
    for path in [path for path in house.files() if path.endswith(suffix)]:
        if damage is None:
            (house.folder / "releases" / path).unlink()
        else:
            (house.folder / "releases" / path).write_bytes(damage)
    with pytest.raises(ReleasesFault) as raised:
        house.reopen()
    assert raised.value.way_out


def test_where_there_is_none_it_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ReleasesFault, match="no repository") as raised:
        Repository(tmp_path, keys=tmp_path)
    assert "ringfence house keys init" in str(raised.value.way_out)


# ---------------------------------------------------------------- replacing keys


def test_replacing_a_key_needs_two_root_keys(house: House) -> None:
    take_away(house, "root-1", "root-2")
    before = house.files()
    with pytest.raises(KeysMissing, match="signing the root takes 2 keys"):
        house.repository.rotate("targets-1", house.folder / "new", NOW)
    assert house.files() == before
    assert not list((house.folder / "new").glob("*.pem"))


@pytest.mark.parametrize("name", ["root-1", "targets-1", "snapshot-1", "timestamp-1"])
def test_a_key_that_was_lost_is_replaced_without_it(house: House, name: str) -> None:
    house.read()
    take_away(house, name)
    house.repository.rotate(name, house.folder / "new", NOW)
    house.reopen(house.folder / "new")
    house.add("r2")
    assert "r2" in house.read().releases


def test_a_key_that_is_not_there_is_not_replaced(house: House) -> None:
    with pytest.raises(ReleasesFault, match="no key is called 'targets-9'") as raised:
        house.repository.rotate("targets-9", house.folder / "new", NOW)
    assert "targets-1" in str(raised.value.way_out)


def test_a_key_is_never_written_over_another(house: House) -> None:
    with pytest.raises(ReleasesFault, match="is there already"):
        house.repository.rotate("targets-1", house.folder / "keys" / "first", NOW)
    house.add("r2")


def test_other_files_among_the_keys_are_passed_over(house: House) -> None:
    (house.folder / "keys" / "certificate.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"
    )
    house.reopen()
    house.add("r2")


def test_what_is_shown_of_keys_holds_none(house: House) -> None:
    from ringfence_house.releases.keys import KeyRing

    assert repr(KeyRing([house.folder / "keys"])) == "KeyRing(7 keys)"
    assert "PRIVATE" not in repr(house.repository)


def test_changes_are_kept_until_they_are_published(house: House) -> None:
    house.repository.add_release(release("r2"))
    assert "r2" in house.repository.releases
    assert "r2" not in house.read().releases
    assert replace(release("r2"), revoked=True) not in house.repository.releases.values()
