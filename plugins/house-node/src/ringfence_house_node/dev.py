"""Development: everything that a house needs in one folder, made on the first start and shared by the next nodes.

`ca/` is the development CA, `keys/` and `releases/` the release repository, `trust.json` what a policy names as
`trust:`, and `nodes/1/`, `nodes/2/` … what each node is. A node takes the first that no running one has, so that
starting again adds no machine to the inventory. All of it proves nothing: whoever reads the folder is the house.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from ringfence.errors import Unavailable
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.development import DevelopmentCa
from ringfence_house.attestation.trust import make_trust, read_trust
from ringfence_house.releases.anchors import put_anchors
from ringfence_house.releases.faults import ReleasesFault
from ringfence_house.releases.files import Held, locked, write_whole
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.repository import Repository
from ringfence_house_node.attestors.development import DevelopmentAttestor
from ringfence_house_node.server.measuring import Measures

LOG = logging.getLogger("ringfence_house_node")

RENEW_EVERY_S = 3600.0
"""The timestamp of the repository ends after a day."""
_LOCK_TIMEOUT_S = 30.0
_RELEASE_LIFE_S = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a development node serves, as its release says."""

    model: str
    measures: Measures
    capabilities: frozenset[str]
    context_tokens: int

    @property
    def release_id(self) -> str:
        """The same for the same facts, so that nodes that serve the same share a release."""
        facts = [self.model, self.measures.code, self.measures.model, self.measures.config]
        facts += [str(self.context_tokens), *sorted(self.capabilities)]
        return f"dev-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"

    def release(self, now: float) -> Release:
        """The release, from now on."""
        return Release(
            id=self.release_id,
            code=self.measures.code,
            model=self.model,
            model_digest=self.measures.model,
            config=self.measures.config,
            not_before=int(now),
            not_after=int(now) + _RELEASE_LIFE_S,
            capabilities=self.capabilities,
            context_tokens=self.context_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """One node of the development house in `folder`."""

    folder: Path
    attestor: DevelopmentAttestor
    claim: ReleaseClaim

    @property
    def releases(self) -> Path:
        """The repository, to be served."""
        return self.folder / "releases"

    @property
    def trust(self) -> Path:
        """The trust file."""
        return self.folder / "trust.json"

    def recipient(self, url: str, model: str) -> dict[str, str]:
        """A recipient for a policy, that reaches this house at `url`."""
        return {
            "ring": "house",
            "provider": "house",
            "model": model,
            "directory": url,
            "trust": str(self.trust),
            "min_tier": "software-dev",
        }

    async def renew(self) -> None:
        """Signs the repository's timestamp anew, again and again; what cannot be signed now may be later."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                await asyncio.to_thread(_renew, self.folder)
            except (Held, OSError, ReleasesFault) as error:
                LOG.warning("the releases could not be renewed: %s", type(error).__name__)


@contextmanager
def joined(folder: Path, offer: Offer) -> Generator[Development, None, None]:
    """A node of the development house in `folder`, its place held until the block ends.

    Raises:
        Unavailable: the folder cannot be used.
        ReleasesFault: what lies in it is not to be believed.
    """
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            held.enter_context(place := _Place(folder))
            with locked(folder / ".lock", timeout_s=_LOCK_TIMEOUT_S):
                attestor = _attestor(folder, place)
                _publish(folder, offer, Device(serial=place.serial, ueid=place.ueid))
        except Held:
            raise _unusable("another process holds it") from None
        except OSError as error:
            raise _unusable((error.strerror or "unknown reason").lower()) from None
        except ReleasesFault as fault:
            # Nothing is lost with a development house.
            way_out = f"{fault.way_out}; or delete {folder}: the next start makes another house"
            raise ReleasesFault(fault.message, way_out=way_out) from None
        yield Development(folder=folder, attestor=attestor, claim=offer.measures.claim(offer.release_id))


class _Place:
    """The first of `nodes/1`, `nodes/2` … that no running node holds; held as long as it is entered."""

    def __init__(self, folder: Path) -> None:
        self._nodes = folder / "nodes"
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self.folder = next(path for path in self._candidates() if self._take(path))
        name = self.folder / "name"
        if not name.exists():
            write_whole(name, f"DEV{secrets.token_hex(6).upper()} {secrets.token_hex(16)}".encode(), mode=0o600)
        self.serial, self.ueid = name.read_text("ascii").split()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _candidates(self) -> Iterator[Path]:
        return (self._nodes / str(number) for number in count(1))

    def _take(self, path: Path) -> bool:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._held.enter_context(locked(path / ".lock", timeout_s=0))
        except Held:
            return False
        return True


def _attestor(folder: Path, place: _Place) -> DevelopmentAttestor:
    return DevelopmentAttestor.open(folder / "ca", place.folder / "ak.key", serial=place.serial, ueid=place.ueid)


def _publish(folder: Path, offer: Offer, device: Device) -> None:
    keys, releases, now = folder / "keys", folder / "releases", time.time()
    made = (releases / "metadata").exists()
    if made and (folder / "trust.json").exists():
        # A folder from before the roots lay with the keys: the trust file has the one that its clients go by.
        put_anchors([keys], read_trust(folder / "trust.json").root)
    repository = Repository(releases, keys=keys) if made else Repository.create(releases, keys=keys)
    if offer.release_id not in repository.releases:
        repository.add_release(offer.release(now))
    if device.serial not in repository.devices:
        repository.add_device(device)
    repository.publish()
    trust = make_trust(repository.root_bytes(), [DevelopmentCa.open(folder / "ca", now).root])
    # Its digest is part of every policy's that names it, so it is written once.
    if not (folder / "trust.json").exists():
        write_whole(folder / "trust.json", trust)


def _renew(folder: Path) -> None:
    with locked(folder / ".lock", timeout_s=_LOCK_TIMEOUT_S):
        Repository(folder / "releases", keys=folder / "keys").publish()


def _unusable(reason: str) -> Unavailable:
    message = f"the development state cannot be used: {reason}"
    return Unavailable(message, reason="not_configured", way_out="another folder: --state DIR")


__all__ = ["Development", "Offer", "joined"]
