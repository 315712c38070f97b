"""The operator's side: a folder that any static server can serve, in which releases and machines are added and revoked.

What it consists of is in `publication`; whose keys sign it, and what their holders saw before, in `signing` and
`anchors`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence_house.releases import anchors, documents, publication, signing
from ringfence_house.releases.faults import Malformed, ReleasesFault
from ringfence_house.releases.files import Held, locked, reason, write_whole
from ringfence_house.releases.keys import KeyRing, make_key, make_keys
from ringfence_house.releases.log import Log, leaf_hash
from ringfence_house.releases.published import newest_root, read_published
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.seen import Changes, Seen, changes
from ringfence_house.releases.signing import Signing

if TYPE_CHECKING:
    from ringfence_house.releases.vendor import Root

_LOCK_TIMEOUT_S = 10.0


class Repository:
    """The repository in `folder`, signed with the keys below the folders `keys`.

    Changes are kept in memory until `publish`, which signs and writes them. A change needs two keys of the targets,
    renewing what readers must see every day only those of the snapshot and timestamp.
    """

    def __init__(self, folder: Path, *, keys: Path | Sequence[Path]) -> None:
        self._folder = folder
        self._keys = (keys,) if isinstance(keys, Path) else tuple(keys)
        newest_root(folder)  # where there is none, that is what to say
        self._anchors = anchors.read_anchors(self._keys, served=folder)
        self._now_published = read_published(folder, self._anchors)
        self._releases = dict(self._now_published.releases)
        self._devices = dict(self._now_published.devices)

    @classmethod
    def create(cls, folder: Path, *, keys: Path, now: float | None = None) -> Repository:
        """Makes the keys below `keys` and, signed with them, an empty repository in `folder`.

        Raises:
            ReleasesFault: one of them is there already, or cannot be written.
        """
        if (folder / "metadata").exists():
            raise ReleasesFault(f"there is a repository in {folder} already", way_out="name another folder")
        anchors.check_outside([keys], folder)
        at = time.time() if now is None else now
        root = signing.new_root(make_keys(keys), at)
        files = publication.first_files(Signing(ring=KeyRing([keys]), roots=[root], folders=[keys]), root, at)
        anchors.put_anchors([keys], files["metadata/1.root.json"])
        _write(folder, files)
        created = cls(folder, keys=keys)
        created._take_over(created._keys)
        return created

    @property
    def releases(self) -> Mapping[str, Release]:
        """The releases by id, revoked ones too, with what is not yet published."""
        return dict(self._releases)

    @property
    def devices(self) -> Mapping[str, Device]:
        """The machines by serial number, as `releases`."""
        return dict(self._devices)

    def published(self) -> Seen:
        """What readers see now."""
        return self._now_published.seen()

    def root_bytes(self) -> bytes:
        """The newest root: what a trust file holds."""
        return self._now_published.root_bytes

    def expiries(self) -> dict[str, float]:
        """When each role ends, in Unix time."""
        return self._now_published.expiries()

    def log_head(self) -> tuple[int, str]:
        """The size of the published log and its root, in hex: to be noted elsewhere, and compared."""
        entries = self._now_published.entries
        return len(entries), Log([leaf_hash(one) for one in entries]).root().hex()

    def key_names(self) -> tuple[str, ...]:
        """The names of the keys that sign now."""
        return tuple(sorted(signing.key_names(self._now_published.root.signed)))

    def changes(self) -> dict[str, Changes]:
        """What would be signed and was not when these keys were last used, of the releases and of the machines.

        Of several holders it is the one who saw least: what the keys of others signed without him is among it.
        """
        known = [anchor.seen for anchor in self._anchors if anchor.seen is not None]
        before = min(known, key=lambda seen: seen.version, default=self._now_published)
        return {
            "releases": changes(before.releases, self._releases),
            "machines": changes(before.devices, self._devices),
        }

    def add_release(self, release: Release) -> None:
        """Lets nodes serve `release`. Its facts never change: another build, model or time is another release.

        Raises:
            ReleasesFault: its id is taken, or it is not what a release may be.
        """
        if release.id in self._releases:
            raise ReleasesFault(f"there is a release '{release.id}' already", way_out="give this one another id")
        _checked(lambda: documents.parse_releases(documents.encode_releases({release.id: release})))
        if len({*self._now_published.entries, *map(documents.entry, (*self._releases.values(), release))}) > _MOST:
            raise ReleasesFault(f"the log is full: {_MOST} releases", way_out="start a new repository")
        self._releases[release.id] = release

    def revoke_release(self, release_id: str) -> None:
        """Ends a release at once.

        Raises:
            ReleasesFault: there is none of that id.
        """
        if release_id not in self._releases:
            raise ReleasesFault(f"there is no release '{release_id}'", way_out="ringfence house release list")
        self._releases[release_id] = replace(self._releases[release_id], revoked=True)

    def add_device(self, device: Device) -> None:
        """Lets a machine serve; one that was revoked comes back.

        Raises:
            ReleasesFault: it is there, another has its ueid, or it is not what a machine may be.
        """
        known = self._devices.get(device.serial)
        if known is not None and not known.revoked:
            raise _there_already(device, known)
        devices = {**self._devices, device.serial: device}
        _checked(lambda: documents.parse_devices(documents.encode_devices(devices)))
        self._devices = devices

    def revoke_device(self, serial: str) -> None:
        """Ends a machine's service at once.

        Raises:
            ReleasesFault: there is none of that serial number.
        """
        if serial not in self._devices:
            raise ReleasesFault(f"'{serial}' is not in the inventory", way_out="ringfence house inventory list")
        self._devices[serial] = replace(self._devices[serial], revoked=True)

    def publish(self, now: float | None = None) -> None:
        """Signs and writes every change; without one renews what readers must see anew, the timestamp at least.

        Raises:
            KeysMissing: keys of the targets, where there are changes; of the snapshot or timestamp.
            ReleasesFault: it cannot be written, or somebody else published since this was read.
        """
        published = self._now_published
        changed = (self._releases, self._devices) != (published.releases, published.devices)
        self._publish(time.time() if now is None else now, targets=changed)

    def sign(self, now: float | None = None) -> None:
        """Signs the targets anew, and the root where less than half of its year is left; then publishes.

        Raises:
            KeysMissing, ReleasesFault: as `publish`.
        """
        at = time.time() if now is None else now
        root = self._now_published.root.signed
        self._publish(at, targets=True, root=signing.renewed_root(root, at) if signing.is_due(root, at) else None)

    def rotate(self, name: str, into: Path, now: float | None = None) -> None:
        """Puts a new key, made in the folder `into`, in the place of the one called `name`; signs and publishes.

        The old key counts for nothing from then on. What it signed is signed anew, by the old and the new key where
        both are at hand, so that readers with the old and the new root accept it.

        Raises:
            KeysMissing: two keys of the root and, with the new one, enough for every role it signs.
            ReleasesFault: there is no key of that name; else as `publish`.
        """
        root = self._now_published.root.signed
        if name not in signing.key_names(root):
            raise ReleasesFault(f"no key is called '{name}'", way_out=f"one of {', '.join(self.key_names())}")
        at = time.time() if now is None else now
        anchors.check_outside([into], self._folder)
        made = make_key(into, name)
        try:
            anchors.put_anchors([into], self._now_published.root_bytes)
            following = signing.with_key_replaced(root, name, made.public_key, at)
            folders = (*self._keys, into)
            self._sign_and_write(at, targets=name.startswith("targets"), snapshot=True, root=following, folders=folders)
        except ReleasesFault:
            # The root is written last: it does not list the new key yet.
            (into / f"{name}.pem").unlink(missing_ok=True)
            raise
        self._take_over(folders)

    def _publish(self, now: float, *, targets: bool, root: Root | None = None) -> None:
        self._sign_and_write(now, targets=targets, snapshot=False, root=root, folders=self._keys)
        self._take_over(self._keys)

    def _sign_and_write(
        self,
        now: float,
        *,
        targets: bool,
        snapshot: bool,
        root: Root | None,
        folders: Sequence[Path],
    ) -> None:
        roots = [self._now_published.root.signed, *([root] if root is not None else [])]
        signer = Signing(ring=KeyRing(folders), roots=roots, folders=folders)
        content = publication.Content(releases=self._releases, devices=self._devices) if targets else None
        files = publication.next_files(self._now_published, content, signer, now, snapshot=snapshot)
        if root is not None:
            files[f"metadata/{root.version}.root.json"] = signer.sign(root, must=roots)[1]
        try:
            with locked(self._folder / ".lock", timeout_s=_LOCK_TIMEOUT_S):
                self._check_nobody_else(folders)
                _write(self._folder, files)
        except Held:
            raise _busy() from None
        except OSError as fault:
            raise _not_writable(self._folder, fault) from None

    def _take_over(self, folders: Sequence[Path]) -> None:
        """Goes on from what was just published, and so does every holder of keys that is at hand."""
        self._keys = tuple(folders)
        self._now_published = now_published = read_published(self._folder, self._anchors)
        seen = now_published.seen()
        self._anchors = tuple(
            anchors.renewed(anchor, now_published.root, now_published.root_bytes, seen) for anchor in self._anchors
        )

    def _check_nobody_else(self, folders: Sequence[Path]) -> None:
        self._anchors = anchors.read_anchors(folders, served=self._folder)
        on_disk = read_published(self._folder, self._anchors)
        mine = self._now_published
        if (on_disk.targets.signed.version, on_disk.root.signed.version) != (
            mine.targets.signed.version,
            mine.root.signed.version,
        ):
            raise ReleasesFault("somebody else changed the repository meanwhile", way_out="the same again")


_MOST = documents.MAX_RELEASES


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        except OSError as fault:
            raise _not_writable(folder, fault) from None


def _checked(check: Callable[[], object]) -> None:
    try:
        check()
    except Malformed as fault:
        way_out = fault.way_out or (fault.form and documents.FORMS.get(fault.form))
        raise ReleasesFault(str(fault).partition(": ")[2], way_out=way_out) from None


def _there_already(device: Device, known: Device) -> ReleasesFault:
    way_out = (
        "nothing: it may serve"
        if device.ueid == known.ueid
        else f"for another ueid, `ringfence house inventory revoke {device.serial}`, then add it again"
    )
    return ReleasesFault(f"'{device.serial}' is in the inventory already, as '{known.ueid}'", way_out=way_out)


def _busy() -> ReleasesFault:
    return ReleasesFault("another process is changing the repository", way_out="the same again in a moment")


def _not_writable(folder: Path, fault: OSError) -> ReleasesFault:
    return ReleasesFault(f"the repository in {folder} cannot be written: {reason(fault)}", way_out="free some space")


__all__ = ["Repository"]
