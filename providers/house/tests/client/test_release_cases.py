"""Each attack on the list of releases, through the provider and over a wire that is listened to.

It is refused for its own reason, and no byte of the prompt has left.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from providers.house.tests.client.recording import Recorder
from providers.house.tests.client.support import TEXT, WORDS, Asked, Client, saying
from providers.house.tests.releases.support import DAY, NOW, Change
from providers.house.tests.releases.support import House as Repository

from ringfence.errors import AttestationFailed, ConnectFailed, ProviderError
from ringfence.provider import ProviderContext
from ringfence.recipient import Recipient
from ringfence_house.client import house as house_module
from ringfence_house.client.house import House
from ringfence_house.releases import documents
from ringfence_house.releases.faults import Missing
from ringfence_house.releases.reference import Release
from ringfence_house.testing import RESET, HouseServer
from ringfence_house.testing.fleet import Fleet, release
from ringfence_house.testing.script import Reset


@dataclass
class Scene:
    """A house, what lies between its repository and a client, and the client's clock."""

    server: HouseServer
    repository: Repository
    wire: Recorder
    now: float = NOW

    async def ask(self) -> Asked:
        """What comes of a request of a client that was started anew; the wire holds what was sent for it."""
        self.wire.sent.clear()
        async with Client(self.server, directory=self.wire.url) as client:
            return await client.ask()

    async def answered(self) -> None:
        assert (await self.ask()).text == TEXT
        assert self.wire.asked == 1

    async def refused(self, words: str, error: type[ProviderError] = AttestationFailed) -> None:
        asked = await self.ask()
        with pytest.raises(error, match=words):
            raise asked.error or AssertionError(asked.text)
        assert self.wire.nothing_left

    def another(self, name: str) -> None:
        """One more release is published."""
        self.server.fleet.repository.add_release(release(name, now=NOW))
        self.server.fleet.repository.publish(NOW)

    def releases_with(self, name: str) -> dict[str, bytes]:
        """The list with a release that nobody put into the log."""
        releases: dict[str, Release] = {one.id: one for one in (*self.server.fleet.releases, release(name, now=NOW))}
        return {documents.RELEASES_FILE: documents.encode_releases(releases)}

    def log_with(self, change: Change) -> dict[str, bytes]:
        log = json.loads(self.repository.document(documents.LOG_FILE))
        change(log)
        return {documents.LOG_FILE: json.dumps(log, sort_keys=True, separators=(",", ":")).encode()}

    def file(self, path: str) -> bytes | Reset | None:
        if self.repository.down:
            return RESET
        try:
            return self.repository.fetch(path)
        except Missing:
            return None


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Scene]:
    def unsafe(_: int) -> None:
        """No test here cuts the power."""

    monkeypatch.setattr(os, "fsync", unsafe)
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(tmp_path / "state"))
    fleet = Fleet(tmp_path / "fleet", machines=1, releases=[release(now=NOW)], now=NOW)
    with HouseServer(fleet=fleet) as server:
        wire = Recorder(server.url)
        made = Scene(server, Repository(fleet.folder), wire)

        def house(recipient: Recipient, context: ProviderContext) -> House:
            return House(recipient, context, clock=lambda: made.now)

        monkeypatch.setattr(house_module, "make", house)
        server.script.release_file = made.file
        server.script.inside = lambda request, machine: saying(*WORDS)
        async with wire:
            yield made


async def test_an_older_list_than_was_seen_is_refused(scene: Scene) -> None:
    before = scene.repository.files()
    scene.another("r2")
    await scene.answered()
    scene.repository.lies = before
    await scene.refused("older than one that was seen")


async def test_a_frozen_list_ends_with_its_timestamp(scene: Scene) -> None:
    scene.repository.lies = scene.repository.files()
    await scene.answered()
    scene.server.fleet.repository.revoke_release("r1")
    scene.server.fleet.repository.publish(NOW)
    scene.now = NOW + DAY + 1
    scene.server.fleet.machines[0].issue(now=scene.now)
    await scene.refused("has ended")


@pytest.mark.parametrize("by", [(), ("targets-1",), ("targets-2",)], ids=["none", "the first", "the second"])
async def test_one_signature_of_two_is_not_enough(scene: Scene, by: tuple[str, ...]) -> None:
    scene.repository.forge(scene.releases_with("rogue"), by=by)
    await scene.refused("not signed by enough")


@pytest.mark.parametrize("name", documents.FILES)
async def test_a_target_that_was_tampered_with_is_refused(scene: Scene, name: str) -> None:
    files = scene.repository.files()
    scene.repository.lies = {path: data[:-1] + b"]" for path, data in files.items() if path.endswith(name)}
    await scene.refused("not the one that was signed")


INCLUSIONS: dict[str, Change] = {
    "short": lambda log: log["inclusion"]["r1"]["path"].pop(),
    "another place": lambda log: log["inclusion"]["r1"].update(index=1),
    "absent": lambda log: log["inclusion"].pop("r1"),
}
CONSISTENCIES: dict[str, Change] = {
    "short": lambda log: log["consistency"]["1"].pop(),
    "wrong": lambda log: log["consistency"].update({"1": ["0" * 64]}),
}


@pytest.mark.parametrize("change", INCLUSIONS.values(), ids=INCLUSIONS)
async def test_a_wrong_inclusion_proof_is_refused(scene: Scene, change: Change) -> None:
    scene.another("r2")
    scene.repository.forge(scene.log_with(change))
    await scene.refused("log")


async def test_a_release_that_stands_in_no_log_is_refused(scene: Scene) -> None:
    scene.repository.forge(scene.releases_with("rogue"))
    await scene.refused("log")


@pytest.mark.parametrize("change", CONSISTENCIES.values(), ids=CONSISTENCIES)
async def test_a_wrong_consistency_proof_is_refused(scene: Scene, change: Change) -> None:
    await scene.answered()
    scene.another("r2")
    scene.repository.forge(scene.log_with(change))
    await scene.refused("log")


async def test_what_was_kept_holds_without_the_repository_until_it_expires(scene: Scene) -> None:
    await scene.answered()
    scene.repository.down = True
    scene.now = NOW + DAY - 60
    scene.server.fleet.machines[0].issue(now=scene.now)
    await scene.answered()
    scene.now = NOW + DAY + 1
    scene.server.fleet.machines[0].issue(now=scene.now)
    await scene.refused("cannot be reached", ConnectFailed)


async def test_who_never_read_the_repository_sends_nothing_without_it(scene: Scene) -> None:
    scene.repository.down = True
    await scene.refused("cannot be reached", ConnectFailed)
