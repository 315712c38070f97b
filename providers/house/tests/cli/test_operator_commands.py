"""`ringfence house`: what an operator types, what comes out, and what a client then reads."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.root import root
from ringfence_house.cli import shared
from ringfence_house.releases.documents import NODES_FILE, encode_devices
from ringfence_house.releases.faults import Missing
from ringfence_house.releases.measure import measure
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house.releases.reference import Device, Reference

DIGEST = "ab" * 32
FACTS = ["--model", "smol", "--code-sha256", DIGEST, "--model-sha256", DIGEST, "--config-sha256", DIGEST]


class Desk:
    """Where an operator stands: `releases` and `keys` lie in the current folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def type(self, *words: str, exits: int = 0) -> Result:
        result = CliRunner().invoke(root, ["house", *words])
        assert result.exit_code == exits, result.output
        return result

    def json(self, *words: str, exits: int = 0) -> Any:
        """The one document on stdout."""
        return json.loads(self.type(*words, "--json", exits=exits).stdout)

    def read(self) -> Reference:
        """What a client reads."""

        def fetch(path: str) -> bytes:
            try:
                return (self.folder / "releases" / path).read_bytes()
            except FileNotFoundError:
                raise Missing from None

        trust = (self.folder / "releases" / "metadata" / "1.root.json").read_bytes()
        return ReleaseReader(trust, self.folder / "state", fetch).refresh(time.time())


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    words = ["house", "keys", "init", str(folder / "keys"), "--repository", str(folder / "releases")]
    assert CliRunner().invoke(root, words).exit_code == 0
    return folder


@pytest.fixture
def desk(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


# ---------------------------------------------------------------- keys


def test_keys_lie_with_whoever_holds_them(desk: Desk) -> None:
    found = sorted(str(path.relative_to(desk.folder / "keys")) for path in (desk.folder / "keys").rglob("*.pem"))
    assert found == [
        "first/root-1.pem",
        "first/targets-1.pem",
        "publishing/snapshot-1.pem",
        "publishing/timestamp-1.pem",
        "second/root-2.pem",
        "second/targets-2.pem",
        "spare/root-3.pem",
    ]


def test_init_says_where_everything_is(desk: Desk) -> None:
    found = desk.json("keys", "init", "keys2", "--repository", "releases2")
    assert found["trust"] == "releases2/metadata/1.root.json"
    assert Path(found["trust"]).exists()
    assert set(found["expires"]) == {"root", "targets", "snapshot", "timestamp"}
    assert all(Path(path).exists() for path in found["keys"].values())


def test_init_shows_no_key(desk: Desk) -> None:
    result = desk.type("keys", "init", "keys3", "--repository", "releases3")
    secrets = [path.read_text().splitlines()[1] for path in Path("keys3").rglob("*.pem")]
    assert len(secrets) == 7
    assert not any(secret in result.output for secret in secrets)


def test_init_goes_over_nothing(desk: Desk) -> None:
    before = files(desk.folder)
    assert "there is a repository in releases already" in desk.type("keys", "init", "keys4", exits=1).stderr
    assert (
        "there are keys in keys already" in desk.type("keys", "init", "keys", "--repository", "other", exits=1).stderr
    )
    assert files(desk.folder) == before


# ---------------------------------------------------------------- releases


def test_a_release_is_added_and_read(desk: Desk) -> None:
    words = ("release", "add", "r1", *FACTS, "--context-tokens", "8192", "--capability", "tools", "--min-os", "14.4")
    added = desk.json(*words, "--from", "2026-01-01", "--until", "2099-01-01")
    assert added["release"]["state"] == "serves"
    assert added["log"]["size"] == 1
    found = desk.read().releases["r1"]
    assert (found.code, found.model, found.min_os, found.context_tokens) == (DIGEST, "smol", "14.4", 8192)
    assert (found.not_before, found.not_after) == (1767225600, 4070908800)
    assert found.capabilities == {"tools"}


def test_a_model_is_measured_as_its_node_measures_it(desk: Desk) -> None:
    Path("weights").mkdir()
    Path("weights/model.safetensors").write_bytes(b"2")
    words = [*FACTS[:4], *FACTS[6:], "--model-folder", "weights", "--context-tokens", "10"]
    desk.type("release", "add", "r1", *words)
    found = desk.read().releases["r1"]
    assert found.model_digest == measure(Path("weights"))
    assert found.capabilities == {"text"}
    assert found.not_after - found.not_before == 90 * 86_400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*FACTS[:2], *FACTS[4:]], "missing option '--code-sha256'"),
        ([*FACTS, "--model-folder", "."], "a release needs either --model-sha256 or --model-folder"),
        ([*FACTS[:4], *FACTS[6:]], "a release needs either --model-sha256 or --model-folder"),
        ([*FACTS, "--capability", "flying"], "'flying' is not one of"),
        ([*FACTS, "--until", "soon"], "'soon' is no day; write it as YYYY-MM-DD"),
        ([*FACTS, "--model-folder", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_wrong_usage_is_said(desk: Desk, words: Sequence[str], said: str) -> None:
    before = files(desk.folder)
    result = desk.type("release", "add", "r1", "--context-tokens", "10", *words, exits=2)
    assert said in result.stderr
    assert files(desk.folder) == before


@pytest.mark.parametrize(
    ("words", "said", "way_out"),
    [
        (
            ["a b", *FACTS],
            "an id in releases is not of its form",
            "1 to 64 letters, digits and . _ -, the first a letter or digit",
        ),
        (
            ["r1", *FACTS[:2], "--code-sha256", "short", *FACTS[4:]],
            "code is not of its form",
            "64 hex digits, as `ringfence-node measure` prints them",
        ),
        (["r1", "--model", "a b", *FACTS[2:]], "model is not of its form", "1 to 128 letters, digits and . _ : / -"),
        (["r1", *FACTS, "--min-os", "new"], "min_os is not of its form", "up to three numbers with points between"),
        (["r1", *FACTS, "--until", "2001-01-01"], "ends before it begins", "--until a day after that of --from"),
        (
            ["r1", *FACTS, "--from", "2020-01-01", "--until", "2020-02-01"],
            "release 'r1' would have ended already, 2020-02-01",
            "--until a day to come",
        ),
        (["r1", *FACTS, "--context-tokens", "9999999999"], "not a whole number", "one from 1 to 2147483648"),
    ],
)
def test_what_no_release_may_be_is_refused_with_what_it_may_be(
    desk: Desk, words: Sequence[str], said: str, way_out: str
) -> None:
    before = files(desk.folder)
    error = desk.json("release", "add", "--context-tokens", "10", *words, exits=1)["error"]
    assert said in error["message"]
    assert f"(try: {way_out}" in error["message"]
    assert files(desk.folder) == before


def test_a_release_is_listed_and_revoked(desk: Desk) -> None:
    assert "no releases yet" in desk.type("release", "list").stderr
    desk.type("release", "add", "r1", *FACTS, "--context-tokens", "10")
    assert "log: 1 entry, root" in desk.type("release", "list").stderr
    desk.type("release", "add", "r2", *FACTS, "--context-tokens", "10", "--from", "2090-01-01", "--until", "2099-01-01")
    assert desk.json("release", "revoke", "r1")["release"]["state"] == "revoked"
    listed = desk.json("release", "list")
    assert {one["id"]: one["state"] for one in listed["releases"]} == {"r1": "revoked", "r2": "to come"}
    assert listed["log"]["size"] == 2
    table = desk.type("release", "list").stdout.splitlines()
    assert table[0].split()[:3] == ["release", "state", "model"]
    assert table[1].split()[:3] == ["r1", "revoked", "smol"]
    assert desk.read().releases["r1"].revoked


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lists_are_whole_in_any_window(desk: Desk, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    ueid = "f" * 64
    facts = {
        "release": ("a-release-of-some-length", "serves", "smol", DIGEST[:12]),
        "inventory": ("C02A", "serves", ueid),
    }
    desk.type("release", "add", "a-release-of-some-length", *FACTS, "--context-tokens", "10")
    desk.type("inventory", "add", "C02A", "--ueid", ueid)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("ringfence.cli.terminal.is_terminal", bool)
    for what, expected in facts.items():
        lines = desk.type(what, "list").stdout.splitlines()
        assert max(map(len, lines)) <= width
        unfolded = "".join(" ".join(lines).split())
        assert [fact for fact in expected if fact not in unfolded] == []


def test_a_release_that_is_not_there_is_not_revoked(desk: Desk) -> None:
    error = desk.json("release", "revoke", "r9", exits=1)["error"]
    assert error["type"] == "ReleasesFault"
    assert "no release 'r9'" in error["message"]


# ---------------------------------------------------------------- inventory


def test_a_machine_is_added_listed_and_revoked(desk: Desk) -> None:
    assert "the inventory is empty" in desk.type("inventory", "list").stderr
    desk.type("inventory", "add", "C02A", "--ueid", "u1")
    assert desk.read().devices == {"C02A": Device(serial="C02A", ueid="u1")}
    desk.type("inventory", "revoke", "C02A")
    assert desk.read().devices["C02A"].revoked
    machine = {"serial": "C02A", "ueid": "u1", "revoked": True}
    assert desk.json("inventory", "list") == {"verified": True, "machines": [machine]}
    assert "C02A    revoked  u1" in desk.type("inventory", "list").stdout


@pytest.mark.parametrize(
    ("words", "said", "way_out"),
    [
        (["C02A", "--ueid", "u1"], "'C02A' is in the inventory already, as 'u1'", "nothing: it may serve"),
        (
            ["C02A", "--ueid", "u2"],
            "'C02A' is in the inventory already, as 'u1'",
            "for another ueid, `ringfence house inventory revoke C02A`, then add it again",
        ),
        (["C02B", "--ueid", "u1"], "two machines have one ueid", "one that no machine in `ringfence house inventory"),
        (["C 02", "--ueid", "u2"], "a serial number in nodes is not of its form", "1 to 64 letters, digits and . _ -"),
        (["C02B", "--ueid", "u 2"], "ueid is not of its form", "1 to 128 letters, digits and . _ : = -"),
    ],
)
def test_what_no_machine_may_be_is_refused_with_what_it_may_be(
    desk: Desk, words: Sequence[str], said: str, way_out: str
) -> None:
    desk.type("inventory", "add", "C02A", "--ueid", "u1")
    before = files(desk.folder)
    error = desk.json("inventory", "add", *words, exits=1)["error"]
    assert said in error["message"]
    assert f"(try: {way_out}" in error["message"]
    assert files(desk.folder) == before


@pytest.mark.parametrize("what", ["release", "inventory"])
def test_whoever_has_no_keys_reads_a_list_that_is_said_to_be_unverified(desk: Desk, what: str) -> None:
    desk.type("release", "add", "r1", *FACTS, "--context-tokens", "10")
    desk.type("inventory", "add", "C02A", "--ueid", "u1")
    known = desk.type(what, "list")
    document = desk.json(what, "list")
    assert document["verified"] is True
    shutil.rmtree("keys")
    found = desk.type(what, "list")
    assert found.stdout == known.stdout
    assert "nothing of this is verified" in found.stderr
    assert "nothing of this is verified" not in known.stderr
    assert desk.json(what, "list") == {**document, "verified": False}


def test_a_list_that_its_own_root_does_not_stand_for_is_shown_to_nobody(desk: Desk) -> None:
    inject(Path("releases"))
    shutil.rmtree("keys")
    result = desk.type("inventory", "list", exits=1)
    assert "error: the targets in releases is not signed by enough of its keys" in result.stderr
    assert not result.stdout


# ---------------------------------------------------------------- signing


def test_a_missing_second_key_is_said_and_nothing_is_written(desk: Desk) -> None:
    shutil.move("keys/second", "elsewhere")
    before = files(desk.folder / "releases")
    result = desk.type("inventory", "add", "C02A", "--ueid", "u1", exits=1)
    assert result.stdout == "to be signed: add machine C02A\n"
    assert "error: signing the targets takes 2 keys, and keys holds 1 of them" in result.stderr
    assert "try: --keys FOLDER for each folder with: targets-2" in result.stderr
    assert files(desk.folder / "releases") == before
    desk.type("inventory", "add", "C02A", "--ueid", "u1", "--keys", "keys", "--keys", "elsewhere")
    assert "C02A" in desk.read().devices


def test_the_machine_publishes_with_its_own_keys_alone(desk: Desk) -> None:
    shutil.move("keys/publishing", "machine")
    shutil.rmtree("keys")
    found = desk.json("publish", "--keys", "machine")
    assert found["due"] == []
    desk.type("sign", "--keys", "machine", exits=1)
    assert desk.read().expires_at > time.time()


def test_publishing_warns_in_the_last_week_and_fails_after_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 25 * 86_400)
    assert desk.json("publish")["due"] == ["targets"]
    assert "due: the targets ends " in (said := desk.type("publish").stderr)
    assert "two people must run 'ringfence house sign'" in said
    monkeypatch.setattr(time, "time", lambda: real + 31 * 86_400)
    said = desk.type("publish", exits=1).stderr
    assert "due: the targets ended " in said
    assert "clients refuse the house: two people must run 'ringfence house sign'" in said
    desk.type("sign")
    assert desk.json("publish")["due"] == []
    assert desk.read().expires_at > time.time()


@pytest.mark.parametrize("command", ["publish", "sign"])
def test_the_end_of_a_release_is_told_in_its_last_week_and_fails_where_it_was_the_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    real = time.time()
    desk.type("release", "add", "r1", *FACTS, "--context-tokens", "10", "--until", shared.day(real + 12 * 86_400))
    assert desk.json(command)["due"] == []
    monkeypatch.setattr(time, "time", lambda: real + 9 * 86_400)
    assert desk.json(command)["due"] == ["release r1"]
    assert f"due: release r1 ends {shared.day(real + 12 * 86_400)}" in desk.type(command).stderr
    monkeypatch.setattr(time, "time", lambda: real + 13 * 86_400)
    assert "no release may serve now, clients refuse the house" in desk.type(command, exits=1).stderr
    assert desk.json(command, exits=1)["due"] == []
    desk.type("release", "add", "r2", *FACTS, "--context-tokens", "10")
    assert "no release may serve" not in desk.type(command).stderr


@pytest.mark.parametrize("what", ["release", "inventory"])
@pytest.mark.parametrize("known", [True, False])
def test_a_list_that_has_ended_says_that_clients_refuse_the_house(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, what: str, known: bool
) -> None:
    said = "clients refuse the house: run 'ringfence house publish'"
    assert said not in desk.type(what, "list").stderr
    real = time.time()
    if not known:
        shutil.rmtree("keys")
    monkeypatch.setattr(time, "time", lambda: real + 2 * 86_400)
    assert f"due: the timestamp ended {shared.day(real + 86_400)}, {said}" in desk.type(what, "list").stderr


def test_a_release_of_later_is_not_said_to_serve_at_once(desk: Desk) -> None:
    words = ["--from", "2090-01-01", "--until", "2099-01-01"]
    said = desk.type("release", "add", "r1", *FACTS, "--context-tokens", "10", *words).stdout
    assert "nodes may serve r1 from 2090-01-01\n" in said


@pytest.mark.parametrize("pattern", ["*.pem", "root.json"])
def test_a_folder_of_keys_that_changes_under_ones_hands_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    walk = Path.rglob

    def vanishing(folder: Path, wanted: str) -> Any:
        if wanted == pattern:
            raise FileNotFoundError(2, "No such file or directory", "keys/gone")
        return walk(folder, wanted)

    monkeypatch.setattr(Path, "rglob", vanishing)
    said = desk.type("release", "list", exits=1).stderr
    assert "error: keys cannot be looked through: no such file or directory" in said
    assert "standard output" not in said


def test_a_key_is_replaced_and_clients_follow(desk: Desk) -> None:
    desk.read()
    found = desk.json("keys", "rotate", "targets-1", "--into", "new")
    assert Path(found["file"]).exists()
    desk.type("inventory", "add", "C02A", "--ueid", "u1", exits=1)
    desk.type("inventory", "add", "C02A", "--ueid", "u1", "--keys", "keys", "--keys", "new")
    assert "C02A" in desk.read().devices


def test_a_key_that_nobody_has_is_not_replaced(desk: Desk) -> None:
    assert "no key is called 'mine'" in desk.type("keys", "rotate", "mine", "--into", "new", exits=1).stderr
    assert not Path("new").exists()


@pytest.mark.parametrize("words", [["release", "list"], ["inventory", "list"], ["publish"], ["sign"]])
def test_without_a_repository_the_way_to_begin_is_said(desk: Desk, words: list[str]) -> None:
    shutil.rmtree("releases")
    result = desk.type(*words, exits=1)
    assert "error: there is no repository in releases" in result.stderr
    assert "try: ringfence house keys init" in result.stderr


@pytest.mark.parametrize("words", [[], ["keys"], ["release", "add"], ["inventory", "add"], ["publish"], ["sign"]])
def test_every_command_has_help(words: list[str]) -> None:
    assert "Usage:" in CliRunner().invoke(root, ["house", *words, "--help"]).stdout


def test_a_name_cannot_drive_the_terminal(desk: Desk) -> None:
    result = desk.type("release", "revoke", "\x1b[2Jr", exits=1)
    assert "\x1b" not in result.stderr


# ---------------------------------------------------------------- what somebody without keys put there


def inject(served: Path) -> None:
    """Lets one more machine serve, in a document with the right hash in targets whose signatures do not hold."""
    (path,) = (served / "metadata").glob("1.targets.json")
    targets = json.loads(path.read_bytes())
    content = encode_devices({"EVIL": Device(serial="EVIL", ueid="evil")})
    digest = sha256(content).hexdigest()
    targets["signed"]["targets"][NODES_FILE] = {"length": len(content), "hashes": {"sha256": digest}}
    path.write_text(json.dumps(targets))
    (served / "targets" / f"{digest}.{NODES_FILE}").write_bytes(content)


COMMANDS = [
    ["sign"],
    ["publish"],
    ["release", "list"],
    ["release", "add", "r2", *FACTS, "--context-tokens", "10"],
    ["release", "revoke", "r1"],
    ["inventory", "list"],
    ["inventory", "add", "C02A", "--ueid", "u1"],
    ["inventory", "revoke", "C02A"],
    ["keys", "rotate", "targets-1", "--into", "new"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_no_command_builds_on_what_nobody_signed(desk: Desk, words: list[str]) -> None:
    inject(Path("releases"))
    before = files(desk.folder)
    result = desk.type(*words, exits=1)
    assert "error: the targets in releases is not signed by enough of its keys" in result.stderr
    assert not result.stdout
    assert files(desk.folder) == before


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_no_command_goes_by_keys_without_a_root(desk: Desk, words: list[str]) -> None:
    Path("keys/second/root.json").unlink()
    result = desk.type(*words, exits=1)
    assert "error: no root.json lies with the keys in keys/second" in result.stderr
    assert "try: put the trust file there, as clients have it" in result.stderr


def test_a_person_sees_what_is_signed(desk: Desk) -> None:
    nothing = "no release and no machine is added, revoked or removed"
    assert nothing in desk.type("sign").stdout
    said = desk.type("inventory", "add", "C02A", "--ueid", "u1").stdout.splitlines()
    assert said[:2] == ["to be signed: add machine C02A", "C02A may serve"]
    assert nothing in desk.type("publish").stdout
    found = desk.json("inventory", "revoke", "C02A")["changes"]
    assert found["machines"] == {"added": [], "revoked": ["C02A"], "restored": [], "changed": [], "removed": []}
    assert not any(desk.json("sign")["changes"]["releases"].values())


def test_a_person_sees_what_was_signed_without_him(desk: Desk) -> None:
    shutil.copytree("keys", "thief")
    desk.type("inventory", "add", "EVIL", "--ueid", "u1", "--keys", "thief")
    assert "to be signed: add machine EVIL" in desk.type("sign").stdout
    assert "add machine EVIL" not in desk.type("sign").stdout
