"""What readers of a repository see now: read from its folder, by way of its timestamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence_house.releases import documents
from ringfence_house.releases.faults import Malformed, ReleasesFault
from ringfence_house.releases.files import reason
from ringfence_house.releases.log import Log, leaf_hash
from ringfence_house.releases.reference import Device, Release

if TYPE_CHECKING:
    from ringfence_house.releases.vendor import Metadata, Root, Snapshot, Targets, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What readers see now."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    targets_bytes: bytes
    snapshot: Metadata[Snapshot]
    snapshot_bytes: bytes
    timestamp: Metadata[Timestamp]
    releases: Mapping[str, Release]
    devices: Mapping[str, Device]
    entries: tuple[bytes, ...]


def read_published(folder: Path) -> Published:
    """What is published in `folder`, by way of its timestamp.

    Raises:
        ReleasesFault: there is no repository, or it is not whole.
    """
    from ringfence_house.releases.vendor import Metadata, Root, Snapshot, Targets, Timestamp, exceptions  # noqa: PLC0415

    try:
        root = Metadata[Root].from_bytes(metadata_file(folder, f"{newest_root(folder)}.root.json"))
        timestamp = Metadata[Timestamp].from_bytes(metadata_file(folder, "timestamp.json"))
        snapshot_bytes = metadata_file(folder, f"{timestamp.signed.snapshot_meta.version}.snapshot.json")
        snapshot = Metadata[Snapshot].from_bytes(snapshot_bytes)
        targets_bytes = metadata_file(folder, f"{snapshot.signed.meta['targets.json'].version}.targets.json")
        targets = Metadata[Targets].from_bytes(targets_bytes)
        content = {name: _target(folder, targets.signed, name) for name in documents.FILES}
        return Published(
            root=root,
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
        raise ReleasesFault(f"the repository in {folder} is damaged", way_out="put a copy of it back") from None


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
    """The version of the newest root in `folder`."""
    versions = [int(path.name.partition(".")[0]) for path in (folder / "metadata").glob("[1-9]*.root.json")]
    if not versions:
        raise ReleasesFault(f"there is no repository in {folder}", way_out="ringfence house keys init")
    return max(versions)


def metadata_file(folder: Path, name: str) -> bytes:
    """The bytes of one file of the metadata."""
    return _file(folder, f"metadata/{name}")


def _file(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as fault:
        raise ReleasesFault(
            f"{folder / name} cannot be read: {reason(fault)}", way_out="put a copy of the repository back"
        ) from None


__all__ = ["Published", "metadata_file", "newest_root", "read_published"]
