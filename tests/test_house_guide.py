"""The run-book of the house, followed word for word, with a client that reads the releases after every step of it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.markdown import ROOT, Command, as_shown, blocks, commands, commands_of, run

from ringfence_house.releases.faults import Missing
from ringfence_house.releases.keys import HOLDERS
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house.releases.reference import Reference
from ringfence_house.releases.signing import LIFE

GUIDE = ROOT / "core" / "docs" / "running-a-house.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)


@dataclass(frozen=True)
class Followed:
    """What was printed, by the line of its command, and what a client read after each block, in their order."""

    folder: Path
    printed: dict[int, tuple[int, str]]
    read: list[Reference]


def client(folder: Path) -> Reference:
    """What a client says that was given the first root and has read after every step."""

    def fetch(path: str) -> bytes:
        try:
            return (folder / "releases" / path).read_bytes()
        except FileNotFoundError:
            raise Missing from None

    trust = (folder / "releases" / "metadata" / "1.root.json").read_bytes()
    return ReleaseReader(trust, folder / "client", fetch).refresh(time.time())


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    folder = tmp_path_factory.mktemp("house")
    printed: dict[int, tuple[int, str]] = {}
    read: list[Reference] = []
    for block in BLOCKS:
        for command in commands_of(block):
            done = run(command.command, folder, shell=True, together=True)
            printed[command.line] = (done.returncode, done.stdout)
        read.append(client(folder))
    return Followed(folder, printed, read)


@pytest.mark.parametrize("command", commands(BLOCKS), ids=lambda command: f"line {command.line}")
def test_a_command_of_the_run_book_prints_what_is_shown(command: Command, followed: Followed) -> None:
    code, printed = followed.printed[command.line]
    assert code == command.code, printed
    assert as_shown(command.shows.rstrip(), printed), printed


def test_a_client_follows_every_step(followed: Followed) -> None:
    versions = [reference.version for reference in followed.read]
    assert versions == sorted(versions)
    last = followed.read[-1]
    assert {name: release.revoked for name, release in last.releases.items()} == {"autumn-1": True, "autumn-2": False}
    assert {name: device.revoked for name, device in last.devices.items()} == {
        "C02XK1ABJG5H": False,
        "C02XK1ABJG5J": True,
    }


def test_every_block_is_followed() -> None:
    assert {block.kind for block in BLOCKS} == {"console"}


def test_every_key_is_in_the_tables() -> None:
    told = set(re.findall(r"`([a-z]+-[0-9])`", TEXT))
    assert set(HOLDERS) <= told


def test_lives_are_those_that_are_told() -> None:
    told = {"a year": 365, "30 days": 30, "7 days": 7, "a day": 1}
    rows = re.findall(r"^\| `(\w+)-1`.*\| ([^|]+) \|$", TEXT.partition("## Begin")[0], re.MULTILINE)
    assert {role: told[life] for role, life in rows} == {role: life.days for role, life in LIFE.items()}


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, anchor = target.partition("#")
        assert (GUIDE.parent / file).exists() if file else anchor in anchors, target
