"""A development house without a network: its CA, its signed repository, its machines and their evidence."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import DevelopmentCa, FileKey
from ringfence_house.attestation.issue import issue_evidence
from ringfence_house.attestation.trust import make_trust
from ringfence_house.protocol.hpke import PrivateKey, generate
from ringfence_house.protocol.keyconfig import make_key_config
from ringfence_house.protocol.names import RELEASES_PATH
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.repository import Repository

DAY_S = 86_400
_OS_VERSION = "15.1"


def digest(word: str) -> str:
    """A SHA-256 value, for a release that is made up."""
    return sha256(word.encode()).hexdigest()


def release(release_id: str = "r1", *, model: str = "some-model", now: float | None = None, **facts: object) -> Release:
    """A release that holds for a month; `facts` take the place of what is made up."""
    at = int(time.time() if now is None else now)
    made: dict[str, object] = {
        "code": digest(f"code of {release_id}"),
        "model_digest": digest(f"weights of {model}"),
        "config": digest(f"configuration of {release_id}"),
        "not_before": at - DAY_S,
        "not_after": at + 30 * DAY_S,
        "capabilities": frozenset({"text", "tools", "output_schema", "reasoning", "image_input", "embed"}),
        "context_tokens": 32_768,
        **facts,
    }
    return Release(id=release_id, model=model, **made)  # type: ignore[arg-type]


class Machine:
    """One node: an attestation key that the CA endorses, and the key of now, with the evidence for it."""

    def __init__(self, fleet: Fleet, number: int, runs: Release, *, now: float, life_s: int) -> None:
        self.serial = f"DEV{number:09d}"
        self.ueid = secrets.token_urlsafe(24)
        self.udid = f"00008112-{number:016X}"
        self.release = runs
        self.attestation_key = FileKey.open(fleet.folder / f"ak-{number}.pem")
        spki = self.attestation_key.spki()
        self.x5c = fleet.ca.issue_leaf(spki, serial=self.serial, udid=self.udid, os_version=_OS_VERSION, now=now)
        self.boot = secrets.token_urlsafe(24)
        self._key_id = number % 256
        self.renew(now=now, life_s=life_s)

    def renew(self, *, now: float | None = None, life_s: int = 3600) -> None:
        """A new key, and evidence for it: what was sealed for the old one opens no more."""
        self.key: PrivateKey = generate()
        self.config = make_key_config(self._key_id, self.key.public)
        self.issue(now=now, life_s=life_s)

    def issue(self, *, now: float | None = None, life_s: int = 3600) -> bytes:
        """New evidence for the key there is."""
        runs = self.release
        claim: ReleaseClaim = {
            "id": runs.id,
            "code": runs.code,
            "model": runs.model_digest,
            "config": runs.config,
        }
        self.evidence = issue_evidence(
            self.attestation_key,
            self.x5c,
            "software-dev",
            key_config=self.config,
            release=claim,
            ueid=self.ueid,
            boot=self.boot,
            now=time.time() if now is None else now,
            life_s=life_s,
        )
        return self.evidence.encoded

    @property
    def kid(self) -> str:
        """The name of the key of now."""
        return self.config.kid


class Fleet:
    """Machines that serve the first of `releases`, and the repository that lets them; all its files are in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        machines: int = 1,
        releases: Sequence[Release] = (),
        now: float | None = None,
        life_s: int = 3600,
    ) -> None:
        at = time.time() if now is None else now
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = DevelopmentCa.open(folder / "ca", at)
        self.repository = Repository.create(folder / "releases", keys=folder / "keys", now=at)
        self.releases = tuple(releases) or (release(now=at),)
        for one in self.releases:
            self.repository.add_release(one)
        self.machines = [Machine(self, number, self.releases[0], now=at, life_s=life_s) for number in range(machines)]
        for machine in self.machines:
            self.repository.add_device(Device(serial=machine.serial, ueid=machine.ueid))
        self.repository.publish(at)
        self.trust = folder / "house.trust.json"
        self.trust.write_bytes(make_trust(self.repository.root_bytes(), (self.ca.root,)))

    @property
    def trust_digest(self) -> str:
        """As a policy that names the trust file has it."""
        return f"sha256:{sha256(self.trust.read_bytes()).hexdigest()}"

    def directory(self) -> bytes:
        """What the directory says of every machine."""
        evidence = [json.loads(machine.evidence.encoded) for machine in self.machines]
        return json.dumps({"v": 1, "nodes": evidence}).encode()

    def release_file(self, path: str) -> bytes | None:
        """A file of the repository by its path in there; `None` where there is none."""
        name = path.removeprefix(RELEASES_PATH)
        file = self.folder / "releases" / name
        return file.read_bytes() if ".." not in name and file.is_file() else None

    def machine(self, kid: str) -> Machine | None:
        """The machine whose key of now has that name."""
        return next((machine for machine in self.machines if machine.kid == kid), None)


__all__ = ["DAY_S", "Fleet", "Machine", "digest", "release"]
