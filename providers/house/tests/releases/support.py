"""A house's repository with everything that an enemy between it and a client can do to what is fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ringfence_house.releases import documents, signing
from ringfence_house.releases.faults import Missing, ReleasesRefused, Unreachable
from ringfence_house.releases.keys import KeyRing
from ringfence_house.releases.published import newest_root
from ringfence_house.releases.reader import ReleaseReader
from ringfence_house.releases.reference import Device, Reference, Release
from ringfence_house.releases.repository import Repository
from ringfence_house.releases.signing import Signing
from ringfence_house.releases.vendor import Metadata, Root, Snapshot, Targets, Timestamp

NOW = time.time()
DAY = 86_400
BOTH = ("targets-1", "targets-2")

Change: TypeAlias = Callable[[dict[str, Any]], object]
"""A change of a document in JSON."""


def release(name: str, **facts: object) -> Release:
    """A release that holds now, with some facts of its own."""
    known: dict[str, object] = {
        "id": name,
        "code": "a" * 64,
        "model": "smol",
        "model_digest": "b" * 64,
        "config": "c" * 64,
        "not_before": int(NOW) - DAY,
        "not_after": int(NOW) + 90 * DAY,
        "capabilities": frozenset({"text", "tools"}),
        "context_tokens": 8192,
    }
    return Release(**{**known, **facts})  # type: ignore[arg-type]


def begin(folder: Path) -> None:
    """Makes a repository below `folder`."""
    repository = Repository.create(folder / "releases", keys=folder / "keys", now=NOW)
    repository.add_release(release("r1"))
    repository.add_device(Device(serial="C02A", ueid="u1"))
    repository.publish(NOW)


@dataclass
class House:
    """A repository below `folder`, with one release and one machine, and what lies between it and a client."""

    folder: Path
    lies: dict[str, bytes] = field(default_factory=dict[str, bytes])
    down: bool = False
    fetched: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.reopen()
        self.root = (self.folder / "releases" / "metadata" / "1.root.json").read_bytes()

    def reopen(self, *more_keys: Path) -> None:
        """Opens the repository again, with more keys."""
        self.repository = Repository(self.folder / "releases", keys=[self.folder / "keys", *more_keys])

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def publish(self, at: float = NOW) -> None:
        self.repository.publish(at)

    def add(self, name: str, at: float = NOW) -> None:
        self.repository.add_release(release(name))
        self.publish(at)

    def fetch(self, path: str) -> bytes:
        self.fetched.append(path)
        if self.down:
            raise Unreachable
        if path in self.lies:
            return self.lies[path]
        try:
            return (self.folder / "releases" / path).read_bytes()
        except FileNotFoundError:
            raise Missing from None

    def read(
        self, at: float = NOW, *, root: bytes | None = None, fetch: Callable[[str], bytes] | None = None
    ) -> Reference:
        """What a reader says that starts now."""
        return ReleaseReader(root or self.root, self.state, fetch or self.fetch).refresh(at)

    def refused(self, at: float = NOW, *, root: bytes | None = None) -> str:
        """Why a reader refuses."""
        with pytest.raises(ReleasesRefused) as raised:
            self.read(at, root=root)
        assert str(raised.value) == raised.value.sentence
        return raised.value.code

    def files(self) -> dict[str, bytes]:
        """Everything that is served, as it is now."""
        top = self.folder / "releases"
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*.*") if path.is_file()}

    def named(self, suffix: str) -> str:
        """The path of the newest file whose name ends so."""
        return max((name for name in self.files() if name.endswith(suffix)), key=lambda name: (len(name), name))

    def document(self, name: str) -> bytes:
        """A document as it is served now."""
        targets = Metadata[Targets].from_bytes(self.files()[self.named(".targets.json")]).signed
        return self.files()[f"targets/{targets.targets[name].hashes['sha256']}.{name}"]

    def forge(
        self,
        changed: Mapping[str, bytes] | None = None,
        *,
        by: Sequence[str] = BOTH,
        version: int | None = None,
        online: bool = True,
        at: float = NOW,
    ) -> None:
        """What a thief shows who holds the machine's keys and those called `by`: the next targets, with `changed`."""
        root = Metadata[Root].from_bytes(self.repository.root_bytes()).signed
        ring = self._ring(root, [*by, *(("snapshot-1", "timestamp-1") if online else ())])
        signer = Signing(ring=ring, roots=[root], folders=[])
        files = self.files()
        seen = Metadata[Timestamp].from_bytes(files["metadata/timestamp.json"]).signed
        number = version or seen.version + 1
        content = {name: (changed or {}).get(name, self.document(name)) for name in documents.FILES}
        targets_number = Metadata[Targets].from_bytes(files[self.named(".targets.json")]).signed.version + 1
        targets = signer.sign(signing.new_targets(content, targets_number, at), must=[])[1]
        snapshot = signer.sign(signing.new_snapshot(targets, targets_number, number, at), must=[])[1]
        timestamp = signer.sign(signing.new_timestamp(snapshot, number, number, at), must=[])[1]
        for name, data in content.items():
            self.lies[f"targets/{signing.new_targets(content, 1, at).targets[name].hashes['sha256']}.{name}"] = data
        self.lies |= {
            f"metadata/{targets_number}.targets.json": targets,
            f"metadata/{number}.snapshot.json": snapshot,
            "metadata/timestamp.json": timestamp,
        }

    def forge_root(self, by: Sequence[str], replaced: str) -> None:
        """The next root, in which a key of the thief stands for `replaced`, signed with the keys called `by`."""
        root = Metadata[Root].from_bytes(self.repository.root_bytes()).signed
        thief = Repository.create(self.folder / "thief", keys=self.folder / "thief-keys", now=NOW)
        theirs = Metadata[Root].from_bytes(thief.root_bytes()).signed
        key = theirs.keys[signing.key_names(theirs)[replaced]]
        following = signing.with_key_replaced(root, replaced, key, NOW)  # type: ignore[arg-type]
        signer = Signing(ring=self._ring(root, by), roots=[root, following], folders=[])
        self.lies[f"metadata/{following.version}.root.json"] = signer.sign(following, must=[])[1]

    def _ring(self, root: Root, names: Sequence[str]) -> KeyRing:
        everything = KeyRing([self.folder / "keys"])
        ring = KeyRing([])
        for name in names:
            signer = everything.get(signing.key_names(root)[name])
            assert signer is not None
            ring.add(signer)
        return ring

    def versions(self) -> tuple[int, int, int]:
        """Of the newest root, and of the timestamp and snapshot that are served."""
        files = self.files()
        timestamp = Metadata[Timestamp].from_bytes(files["metadata/timestamp.json"]).signed
        snapshot = Metadata[Snapshot].from_bytes(files[f"metadata/{timestamp.snapshot_meta.version}.snapshot.json"])
        return newest_root(self.folder / "releases"), timestamp.version, snapshot.signed.version
