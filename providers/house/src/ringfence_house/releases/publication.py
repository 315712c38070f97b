"""What a publication consists of: the files that are served, made and signed in memory.

`metadata/` and `targets/` are a TUF repository with consistent snapshots, `log/entries.jsonl` what the log's leaves are
the hashes of, for whoever audits it. Every file but `timestamp.json` has its version or hash in its name, and that
one comes last: until it is replaced readers see the whole old state, whatever happened before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from ringfence_house.releases import documents, signing
from ringfence_house.releases.published import Published
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.signing import Signing

if TYPE_CHECKING:
    from ringfence_house.releases.vendor import Root


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What may serve: the releases by id and the machines by serial number, revoked ones too."""

    releases: Mapping[str, Release]
    devices: Mapping[str, Device]

    def documents(self, entries: Sequence[bytes]) -> dict[str, bytes]:
        """The signed documents by name, the log with these entries."""
        return {
            documents.RELEASES_FILE: documents.encode_releases(self.releases),
            documents.NODES_FILE: documents.encode_devices(self.devices),
            documents.LOG_FILE: documents.encode_log(entries, self.releases),
        }

    def entries_after(self, entries: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The entries of the log with those of releases that are not in it yet."""
        present = set(entries)
        return (*entries, *(one for one in map(documents.entry, self.releases.values()) if one not in present))


_NOTHING = Content(releases={}, devices={})


def first_files(signer: Signing, root: Root, now: float) -> dict[str, bytes]:
    """The files of a repository in which nothing may serve yet."""
    content = _NOTHING.documents(())
    targets = signer.sign(signing.new_targets(content, 1, now))[1]
    snapshot = signer.sign(signing.new_snapshot(targets, 1, 1, now))[1]
    return {
        **_content_files((), content),
        "metadata/1.targets.json": targets,
        "metadata/1.snapshot.json": snapshot,
        "metadata/1.root.json": signer.sign(root)[1],
        "metadata/timestamp.json": signer.sign(signing.new_timestamp(snapshot, 1, 1, now))[1],
    }


def next_files(
    seen: Published, content: Content | None, signer: Signing, now: float, *, snapshot: bool
) -> dict[str, bytes]:
    """The files to write after those of `seen`, in the order of writing: the timestamp after all that it leads to.

    `content` is signed anew; `None` leaves the targets as they are. `snapshot` makes a new one also where none is due.
    """
    files: dict[str, bytes] = {}
    targets_bytes, targets_version = seen.targets_bytes, seen.targets.signed.version
    if content is not None:
        entries = content.entries_after(seen.entries)
        targets_version += 1
        signed = content.documents(entries)
        targets_bytes = signer.sign(signing.new_targets(signed, targets_version, now))[1]
        files = _content_files(entries, signed) | {f"metadata/{targets_version}.targets.json": targets_bytes}
    snapshot_bytes, snapshot_version = seen.snapshot_bytes, seen.snapshot.signed.version
    if content is not None or snapshot or signing.is_due(seen.snapshot.signed, now):
        snapshot_version += 1
        made = signing.new_snapshot(targets_bytes, targets_version, snapshot_version, now)
        snapshot_bytes = files[f"metadata/{snapshot_version}.snapshot.json"] = signer.sign(made)[1]
    version = seen.timestamp.signed.version + 1
    timestamp = signing.new_timestamp(snapshot_bytes, snapshot_version, version, now)
    files["metadata/timestamp.json"] = signer.sign(timestamp)[1]
    return files


def _content_files(entries: Sequence[bytes], content: Mapping[str, bytes]) -> dict[str, bytes]:
    targets = {f"targets/{sha256(data).hexdigest()}.{name}": data for name, data in content.items()}
    return {"log/entries.jsonl": b"".join(one + b"\n" for one in entries), **targets}


__all__ = ["Content", "first_files", "next_files"]
