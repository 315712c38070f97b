"""What readers of a repository see now, believed only as a client would: from a root that does not lie in its folder.

Who can write the folder may have no key, and what is read here is signed next. So everything is verified on the way,
as TUF says and as the client does, with one difference: what has ended still counts, for it is here to be renewed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ringfence_house.releases import documents
from ringfence_house.releases.anchors import Anchor, parse_root, verified_root
from ringfence_house.releases.faults import Malformed, ReleasesFault
from ringfence_house.releases.files import reason
from ringfence_house.releases.log import Log, leaf_hash
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.seen import SEEN_FILE, Seen

if TYPE_CHECKING:
    from ringfence_house.releases.vendor import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

_MOST_BYTES: Final = documents.MAX_DOCUMENT_BYTES
_COPY: Final = "look who changed it, then put a copy of the repository back"
_ROOT_NAME: Final = re.compile(r"([1-9][0-9]{0,8})\.root\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What readers see now, all of it verified."""

    root: Metadata[Root]
    root_bytes: bytes
    targets: Metadata[Targets]
    targets_bytes: bytes
    snapshot: Metadata[Snapshot]
    snapshot_bytes: bytes
    timestamp: Metadata[Timestamp]
    releases: Mapping[str, Release]
    devices: Mapping[str, Device]
    entries: tuple[bytes, ...]

    def expiries(self) -> dict[str, float]:
        """When each role ends, in Unix time."""
        files: tuple[Metadata[Any], ...] = (self.root, self.targets, self.snapshot, self.timestamp)
        return {file.signed.type: file.signed.expires.timestamp() for file in files}

    def seen(self) -> Seen:
        """What a holder of keys has seen who saw this."""
        return Seen(
            version=self.targets.signed.version,
            log_size=len(self.entries),
            log_root=Log([leaf_hash(one) for one in self.entries]).root(),
            releases=self.releases,
            devices=self.devices,
        )


def read_published(folder: Path, anchors: Sequence[Anchor]) -> Published:
    """What is published in `folder`, verified from `anchors`, the oldest first, by way of its timestamp.

    Raises:
        ReleasesFault: there is no repository, it is not whole, is signed by too few keys, or is older than what the
            holder of an anchor saw.
    """
    from ringfence_house.releases.vendor import Metadata, Root, exceptions  # noqa: PLC0415

    root, root_bytes = verified_root(anchors, lambda version: _root(folder, version), newest_root(folder), folder)
    try:
        # INVARIANT: a file is used once enough keys of the role were found to have signed it, and never before.
        timestamp: Metadata[Timestamp] = _signed(folder, root.signed, "timestamp", _metadata(folder, "timestamp.json"))
        wanted = timestamp.signed.snapshot_meta
        snapshot_bytes = _metadata(folder, f"{wanted.version}.snapshot.json")
        snapshot: Metadata[Snapshot] = _signed(folder, root.signed, "snapshot", snapshot_bytes, wanted)
        wanted = snapshot.signed.meta["targets.json"]
        targets_bytes = _metadata(folder, f"{wanted.version}.targets.json")
        targets: Metadata[Targets] = _signed(folder, root.signed, "targets", targets_bytes, wanted)
        content = {name: _target(folder, targets.signed, name) for name in documents.FILES}
        # The root that is served is the one that was verified, also where it is the anchor's own.
        served = Metadata[Root].from_bytes(_root(folder, root.signed.version))
        if served.signed_bytes != root.signed_bytes:
            raise _damaged(folder)
        found = Published(
            root=root,
            root_bytes=root_bytes,
            targets=targets,
            targets_bytes=targets_bytes,
            snapshot=snapshot,
            snapshot_bytes=snapshot_bytes,
            timestamp=timestamp,
            releases=documents.parse_releases(content[documents.RELEASES_FILE]),
            devices=documents.parse_devices(content[documents.NODES_FILE]),
            entries=_logged(folder, documents.parse_log(content[documents.LOG_FILE])),
        )
    except (exceptions.RepositoryError, Malformed, LookupError, AttributeError):
        raise _damaged(folder) from None
    _check_not_older(folder, found, anchors)
    return found


def read_unverified(folder: Path) -> Published:
    """What is published in `folder`, which may be anybody's: only that it is whole is checked, from its own root.

    Raises:
        ReleasesFault: as `read_published`.
    """
    data = _root(folder, newest_root(folder))
    try:
        root = parse_root(data)
    except ValueError:
        raise _damaged(folder) from None
    return read_published(folder, [Anchor(folder=folder, root=root, data=data, seen=None)])


def _signed(folder: Path, root: Root, role: str, data: bytes, wanted: MetaFile | None = None) -> Metadata[Any]:
    """The metadata of `role` in `data`, which enough keys signed, and which is what `wanted` names."""
    from ringfence_house.releases.vendor import Metadata, exceptions  # noqa: PLC0415

    found = Metadata[Any].from_bytes(data)
    try:
        root.verify_delegate(role, found.signed_bytes, found.signatures)
    except exceptions.UnsignedMetadataError:
        raise ReleasesFault(
            f"the {role} in {folder} is not signed by enough of its keys",
            way_out=_COPY,
        ) from None
    if wanted is not None:
        wanted.verify_length_and_hashes(data)
    if found.signed.type != role or (wanted is not None and found.signed.version != wanted.version):
        raise _damaged(folder)
    return found


def _check_not_older(folder: Path, found: Published, anchors: Sequence[Anchor]) -> None:
    """Refuses what was signed once and is over: a release that was revoked since would be signed again."""
    for anchor in anchors:
        if anchor.seen is not None and not anchor.seen.leads_to(found.targets.signed.version, found.entries):
            raise ReleasesFault(
                f"the list in {folder} does not go on from the one that {anchor.folder / SEEN_FILE} has seen",
                way_out="look who put another there; where all newer copies are lost, remove that file",
            )


def _logged(folder: Path, head: documents.LogHead) -> tuple[bytes, ...]:
    """The entries under `head`; those of a publication that did not come to its end are left out."""
    entries = tuple(_file(folder, "log/entries.jsonl").splitlines())[: head.size]
    if len(entries) != head.size or Log([leaf_hash(one) for one in entries]).root() != head.root:
        raise ReleasesFault(
            f"the entries of the log in {folder} are not those that were signed", way_out="put a copy of them back"
        )
    return entries


def _target(folder: Path, targets: Targets, name: str) -> bytes:
    file = targets.targets[name]
    data = _file(folder, f"targets/{file.hashes['sha256']}.{name}")
    file.verify_length_and_hashes(data)
    return data


def newest_root(folder: Path) -> int:
    """The version of the newest root in `folder`.

    Raises:
        ReleasesFault: there is none.
    """
    found = (_ROOT_NAME.fullmatch(path.name) for path in (folder / "metadata").glob("*.root.json"))
    versions = [int(name.group(1)) for name in found if name is not None]
    if not versions:
        raise ReleasesFault(
            f"there is no repository in {folder}",
            way_out="ringfence house keys init DIR, or --repository DIR for where it is",
        )
    return max(versions)


def _root(folder: Path, version: int) -> bytes:
    return _metadata(folder, f"{version}.root.json")


def _metadata(folder: Path, name: str) -> bytes:
    return _file(folder, f"metadata/{name}")


def _file(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as fault:
        raise ReleasesFault(f"{path} cannot be read: {reason(fault)}", way_out=_COPY) from None
    if len(data) > _MOST_BYTES:
        raise ReleasesFault(f"{path} is longer than {_MOST_BYTES} bytes", way_out=_COPY)
    return data


def _damaged(folder: Path) -> ReleasesFault:
    return ReleasesFault(f"the repository in {folder} is not the one that was signed", way_out=_COPY)


__all__ = ["Published", "newest_root", "read_published", "read_unverified"]
