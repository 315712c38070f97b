"""The signed roles of the repository (TUF): made, renewed and signed. Pure but for the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from ringfence_house.releases.keys import NAME_FIELD, KeyRing, missing

if TYPE_CHECKING:
    from ringfence_house.releases.vendor import Key, Metadata, Root, Signed, Snapshot, SSlibKey, Targets, Timestamp

ROLES: Final = ("root", "targets", "snapshot", "timestamp")
LIFE: Final[Mapping[str, timedelta]] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=30),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
}
THRESHOLD: Final[Mapping[str, int]] = {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1}

SignedRole = TypeVar("SignedRole", "Root", "Targets", "Snapshot", "Timestamp")
RootFile: TypeAlias = "Metadata[Root]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The keys at hand and the roots whose readers must accept what they sign, the newest last."""

    ring: KeyRing
    roots: Sequence[Root]
    folders: Sequence[Path]

    def sign(self, signed: SignedRole, *, must: Sequence[Root] | None = None) -> tuple[Metadata[SignedRole], bytes]:
        """`signed` with every key at hand that a root lists for its role.

        While a key is replaced there are two roots: signed with the keys of both, a role is valid before and after.

        Raises:
            KeysMissing: not enough of them for the roots in `must`, by default the newest.
        """
        from ringfence_house.releases.vendor import Metadata  # noqa: PLC0415  (100 ms)

        file = Metadata(signed)
        for key_id in dict.fromkeys(key_id for root in self.roots for key_id in root.roles[signed.type].keyids):
            signer = self.ring.get(key_id)
            if signer is not None:
                file.sign(signer, append=True)
        for root in self.roots[-1:] if must is None else must:
            self._check(root, signed.type, set(file.signatures))
        return file, file.to_bytes()

    def _check(self, root: Root, role: str, signatures: set[str]) -> None:
        wanted = root.roles[role]
        absent = [key_id for key_id in wanted.keyids if key_id not in signatures]
        there = len(wanted.keyids) - len(absent)
        if there < wanted.threshold:
            names = [name_of(root.keys[key_id]) for key_id in absent]
            raise missing(role, threshold=wanted.threshold, there=there, names=names, folders=self.folders)


def new_root(keys: Mapping[str, SSlibKey], now: float) -> Root:
    """The first root, of `keys` by name."""
    from ringfence_house.releases.vendor import Role, Root  # noqa: PLC0415

    roles = {
        role: Role([key.keyid for name, key in keys.items() if _role_of(name) == role], THRESHOLD[role])
        for role in ROLES
    }
    return Root(
        expires=end_of("root", now),
        keys=cast("dict[str, Key]", {key.keyid: key for key in keys.values()}),
        roles=roles,
        consistent_snapshot=True,
    )


def with_key_replaced(root: Root, name: str, key: SSlibKey, now: float) -> Root:
    """The next root, in which `key` stands for the one called `name`."""
    following = deepcopy(root)
    role = _role_of(name)
    for key_id in root.roles[role].keyids:
        if name_of(root.keys[key_id]) == name:
            following.revoke_key(key_id, role)
    following.add_key(key, role)
    return _renewed(following, now)


def renewed_root(root: Root, now: float) -> Root:
    """The next root, with the same keys."""
    return _renewed(deepcopy(root), now)


def new_targets(documents: Mapping[str, bytes], version: int, now: float) -> Targets:
    """The targets, of documents by name."""
    from ringfence_house.releases.vendor import TargetFile, Targets  # noqa: PLC0415

    files = {name: TargetFile.from_data(name, data, ["sha256"]) for name, data in documents.items()}
    return Targets(version=version, expires=end_of("targets", now), targets=files)


def new_snapshot(targets: bytes, targets_version: int, version: int, now: float) -> Snapshot:
    """The snapshot, of the targets."""
    from ringfence_house.releases.vendor import MetaFile, Snapshot  # noqa: PLC0415

    meta = {"targets.json": MetaFile.from_data(targets_version, targets, ["sha256"])}
    return Snapshot(version=version, expires=end_of("snapshot", now), meta=meta)


def new_timestamp(snapshot: bytes, snapshot_version: int, version: int, now: float) -> Timestamp:
    """The timestamp, of the snapshot."""
    from ringfence_house.releases.vendor import MetaFile, Timestamp  # noqa: PLC0415

    meta = MetaFile.from_data(snapshot_version, snapshot, ["sha256"])
    return Timestamp(version=version, expires=end_of("timestamp", now), snapshot_meta=meta)


def key_names(root: Root) -> dict[str, str]:
    """The key ids by the names of their keys."""
    return {name_of(root.keys[key_id]): key_id for role in root.roles.values() for key_id in role.keyids}


def name_of(key: Key) -> str:
    """The name of a key, or the beginning of its id where another tool made it."""
    return str(key.unrecognized_fields.get(NAME_FIELD) or key.keyid[:12])


def end_of(role: str, now: float) -> datetime:
    """When a role that is signed now ends."""
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0) + LIFE[role]


def is_due(signed: Signed, now: float) -> bool:
    """Whether half of its life is over."""
    return signed.expires.timestamp() - now < LIFE[signed.type].total_seconds() / 2


def _renewed(root: Root, now: float) -> Root:
    root.version += 1
    root.expires = end_of("root", now)
    return root


def _role_of(name: str) -> str:
    return name.rpartition("-")[0]


__all__ = [
    "LIFE",
    "ROLES",
    "THRESHOLD",
    "RootFile",
    "Signing",
    "end_of",
    "is_due",
    "key_names",
    "name_of",
    "new_root",
    "new_snapshot",
    "new_targets",
    "new_timestamp",
    "renewed_root",
    "with_key_replaced",
]
