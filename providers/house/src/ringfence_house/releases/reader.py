"""The client's side: what may serve now, by the repository, the trusted root and what was seen before.

TUF's own client does the work on signatures, versions and expiries. What it needs from the last run is unpacked into a
fresh folder, and what it believed is kept only once everything was believed, the log too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from ringfence_house.releases.documents import (
    FILES,
    LOG_FILE,
    MAX_DOCUMENT_BYTES,
    NODES_FILE,
    RELEASES_FILE,
    LogHead,
    entry,
    parse_devices,
    parse_log,
    parse_releases,
)
from ringfence_house.releases.faults import (
    Malformed,
    Missing,
    Refusal,
    ReleasesRefused,
    ReleasesUnreachable,
)
from ringfence_house.releases.files import Held, locked
from ringfence_house.releases.kept import Kept, not_writable, read_kept, write_kept
from ringfence_house.releases.log import leaf_hash, verify_consistency, verify_inclusion
from ringfence_house.releases.reference import Reference, Release

if TYPE_CHECKING:
    from tuf.ngclient.config import UpdaterConfig
    from tuf.ngclient.updater import Updater

MAX_FILE_BYTES: Final = MAX_DOCUMENT_BYTES
"""Of any file of the repository: a fetch need not read on."""
_MAX_METADATA_BYTES: Final = 256 * 1024
_MAX_ROTATIONS: Final = 64
_LOCK_TIMEOUT_S: Final = 30.0
_ROLES: Final = ("timestamp", "snapshot", "targets")
_WAYS_OUT: Final[Mapping[Refusal, str]] = {
    "expired": "the operator has to sign the list anew; or see whether the clock of this machine is right",
    "signature": "is this the trust file of this house? compare it with the operator's",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Believed:
    """A repository that passed every check, and its bytes."""

    reference: Reference
    kept: Kept


class ReleaseReader:
    """Reads one repository. `root` is the trusted TUF root, `folder` holds what is kept, for this repository alone.

    `fetch` gives the bytes of a path below the repository, such as `metadata/timestamp.json`; it raises `Missing`
    where there is none and `Unreachable` where nobody answered. Any number of readers, also of other processes, may
    share a folder.
    """

    def __init__(self, root: bytes, folder: Path, fetch: Callable[[str], bytes]) -> None:
        self._root = root
        self._folder = folder
        self._fetch = fetch

    def refresh(self, now: float) -> Reference:
        """What the repository says, fetched; where it cannot be reached, what was kept, until that ends.

        Blocks: call it in a thread. `now` is the Unix time by which everything is judged.

        Raises:
            ReleasesRefused: the repository, the trust file or the kept state is not to be believed. What was kept
                before stays kept, and is not given in its place: somebody is lying.
            ReleasesUnreachable: it cannot be reached, and nothing is kept or what is has ended.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._refresh(now)
        except OSError as fault:
            raise not_writable(self._folder, fault) from None

    def _refresh(self, now: float) -> Reference:
        try:
            with locked(self._folder / "releases.lock", timeout_s=_LOCK_TIMEOUT_S):
                return self._refresh_alone(now)
        except Held:
            return self._without_network(self._kept(), now)

    def _refresh_alone(self, now: float) -> Reference:
        kept = self._kept()
        try:
            believed = _read(self._root, kept, self._fetch, now)
        except ReleasesUnreachable:
            return self._without_network(kept, now)
        # INVARIANT: nothing is given out that a later start could be made to forget.
        if believed.kept != kept:
            write_kept(self._folder, believed.kept)
        return believed.reference

    def _without_network(self, kept: Kept | None, now: float) -> Reference:
        if kept is None:
            raise ReleasesUnreachable("the list of releases cannot be reached, and none was kept")
        try:
            return _read(self._root, kept, _only(kept), now).reference
        except (ReleasesRefused, ReleasesUnreachable) as fault:
            # TUF's client asks for a newer file where what it has ended.
            if isinstance(fault, ReleasesRefused) and fault.code != "expired":
                raise
            raise ReleasesUnreachable("the list of releases cannot be reached, and what was kept has ended") from None

    def _kept(self) -> Kept | None:
        """What was kept under this root; of another, which a person put in its place, nothing counts."""
        kept = read_kept(self._folder)
        return kept if kept is not None and any(_same(self._root, root) for root in kept.roots.values()) else None


def _same(one: bytes, other: bytes) -> bool:
    """Whether two files hold the same root, however they are spelt: a trust file may have it inside another object."""
    try:
        return one == other or json.loads(one) == json.loads(other)
    except (ValueError, RecursionError):
        return False


def _read(root: bytes, kept: Kept | None, fetch: Callable[[str], bytes], now: float) -> _Believed:
    """The repository behind `fetch`, checked against `root` and what was kept.

    Raises:
        ReleasesRefused, ReleasesUnreachable: it is not to be believed, or not there.
    """
    with TemporaryDirectory(prefix="ringfence-") as name:
        work = Path(name)
        _unpack(kept, work)
        ends_at, version = _update(root, work, fetch, now)
        found = _pack(work)
    reference = _reference(found, ends_at, version)
    _check_log(found, reference.releases, kept)
    return _Believed(reference=reference, kept=found)


def _unpack(kept: Kept | None, work: Path) -> None:
    """Lays out what was kept as TUF's client wants to find it."""
    for folder in ("root_history", "documents"):
        (work / folder).mkdir()
    if kept is None:
        return
    for version, data in kept.roots.items():
        (work / "root_history" / f"{version}.root.json").write_bytes(data)
    for role, data in kept.metadata.items():
        (work / f"{role}.json").write_bytes(data)
    for name, data in kept.documents.items():
        (work / "documents" / name).write_bytes(data)


def _pack(work: Path) -> Kept:
    roots = {int(path.name.partition(".")[0]): path.read_bytes() for path in (work / "root_history").iterdir()}
    return Kept(
        roots=roots,
        metadata={role: (work / f"{role}.json").read_bytes() for role in _ROLES},
        documents={name: (work / "documents" / name).read_bytes() for name in FILES},
    )


def _update(root: bytes, work: Path, fetch: Callable[[str], bytes], now: float) -> tuple[float, int]:
    """Brings the folder `work` up to date; gives the earliest end of any role, and the version of the targets."""
    from ringfence_house.releases.vendor import exceptions as tuf  # noqa: PLC0415  (0.1 s)

    try:
        updater = _updater(root, work, fetch, now)
    except tuf.RepositoryError:
        raise ReleasesRefused(
            "trust", "the trusted root is none", way_out="ask for the trust file of the house again"
        ) from None
    try:
        updater.refresh()
        for name in FILES:
            _download(updater, name, work / "documents")
    except tuf.DownloadLengthMismatchError:
        raise ReleasesRefused("size", "the list of releases is larger than it may be") from None
    except tuf.DownloadError:
        raise ReleasesUnreachable("the list of releases cannot be reached") from None
    except tuf.RepositoryError as fault:
        raise _refusal(fault) from None
    return _earliest_end(work, now)


def _download(updater: Updater, name: str, folder: Path) -> None:
    target = updater.get_targetinfo(name)
    if target is None:
        raise ReleasesRefused("malformed", f"the list of releases has no {name}")
    if target.length > MAX_DOCUMENT_BYTES:
        raise ReleasesRefused("size", f"{name} is larger than it may be")
    path = str(folder / name)
    if updater.find_cached_target(target, path) is None:
        updater.download_target(target, path)


def _updater(root: bytes, work: Path, fetch: Callable[[str], bytes], now: float) -> Updater:
    from tuf.ngclient.fetcher import FetcherInterface  # noqa: PLC0415
    from tuf.ngclient.updater import Updater  # noqa: PLC0415

    from ringfence_house.releases.vendor import exceptions  # noqa: PLC0415

    class Fetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            try:
                return iter([fetch(url)])
            except Missing:
                raise exceptions.DownloadHTTPError("nothing there", 404) from None
            except Exception:  # noqa: BLE001  (whatever the network raised: its words may hold what was sent)
                raise exceptions.DownloadError("not reached") from None

    class At(Updater):
        """By our clock rather than the system's, which is the same but for tests and callers with one of their own."""

        def __init__(self) -> None:
            super().__init__(
                str(work), "metadata", str(work / "documents"), "targets", Fetcher(), _limits(), bootstrap=root
            )
            self._trusted_set.reference_time = datetime.fromtimestamp(now, UTC)

    return At()


def _limits() -> UpdaterConfig:
    from tuf.ngclient.config import UpdaterConfig  # noqa: PLC0415

    return UpdaterConfig(
        max_root_rotations=_MAX_ROTATIONS,
        max_delegations=1,
        root_max_length=_MAX_METADATA_BYTES,
        timestamp_max_length=_MAX_METADATA_BYTES,
        snapshot_max_length=_MAX_METADATA_BYTES,
        targets_max_length=_MAX_METADATA_BYTES,
    )


def _refusal(fault: Exception) -> ReleasesRefused:
    """What a finding of TUF's client means. Its own words may quote the repository."""
    from ringfence_house.releases.vendor import exceptions as tuf  # noqa: PLC0415

    meanings: tuple[tuple[type[Exception], Refusal, str], ...] = (
        (tuf.ExpiredMetadataError, "expired", "the list of releases has ended and no newer one is shown"),
        (tuf.BadVersionNumberError, "rollback", "the list of releases is older than one that was seen"),
        (tuf.UnsignedMetadataError, "signature", "the list of releases is not signed by enough of its keys"),
        (tuf.LengthOrHashMismatchError, "tampered", "a file of the releases is not the one that was signed"),
    )
    for kind, code, sentence in meanings:
        if isinstance(fault, kind):
            return ReleasesRefused(code, sentence, way_out=_WAYS_OUT.get(code))
    return ReleasesRefused("malformed", "the list of releases is not what it must be")


def _earliest_end(work: Path, now: float) -> tuple[float, int]:
    from ringfence_house.releases.vendor import Metadata, Root, Snapshot, Targets, Timestamp  # noqa: PLC0415

    # TUF's client leaves here exactly what it believed; `root.json` links to the newest root.
    targets = Metadata[Targets].from_file(str(work / "targets.json")).signed
    others = (
        Metadata[Root].from_file(str(work / "root.json")).signed,
        Metadata[Timestamp].from_file(str(work / "timestamp.json")).signed,
        Metadata[Snapshot].from_file(str(work / "snapshot.json")).signed,
    )
    ends_at = min(signed.expires.timestamp() for signed in (targets, *others))
    if ends_at <= now:
        # INVARIANT: an ended list is never used, whatever the vendor's client took for the time.
        raise ReleasesRefused("expired", "the list of releases has ended and no newer one is shown")
    return ends_at, targets.version


def _reference(found: Kept, ends_at: float, version: int) -> Reference:
    try:
        return Reference(
            releases=parse_releases(found.documents[RELEASES_FILE]),
            devices=parse_devices(found.documents[NODES_FILE]),
            expires_at=ends_at,
            version=version,
        )
    except Malformed as fault:
        raise ReleasesRefused("malformed", str(fault)) from None


def _check_log(found: Kept, releases: Mapping[str, Release], kept: Kept | None) -> None:
    """Refuses a release that the log does not hold, and a log that does not go on from the one that was seen."""
    head = _head(found)
    for name, release in releases.items():
        proof = head.inclusion.get(name)
        leaf = leaf_hash(entry(release))
        if proof is None or not verify_inclusion(leaf, proof.index, head.size, proof.path, head.root):
            raise ReleasesRefused("log", "a release is not in the log of releases")
    if kept is not None and not _goes_on(_head(kept), head):
        raise ReleasesRefused("log", "the log of releases does not go on from the one that was seen")


def _goes_on(seen: LogHead, head: LogHead) -> bool:
    """Whether `head` is `seen` with entries added; the empty log is the beginning of every other."""
    if seen.size == 0:
        return head.size > 0 or head.root == seen.root
    path = () if head.size == seen.size else head.consistency.get(seen.size, ())
    return verify_consistency(seen.size, head.size, seen.root, head.root, path)


def _head(kept: Kept) -> LogHead:
    try:
        return parse_log(kept.documents[LOG_FILE])
    except Malformed as fault:
        raise ReleasesRefused("malformed", str(fault)) from None


def _only(kept: Kept) -> Callable[[str], bytes]:
    """A fetch that gives the kept timestamp, so that TUF's client checks what was kept as if it came anew."""

    def fetch(path: str) -> bytes:
        if path == "metadata/timestamp.json":
            return kept.metadata["timestamp"]
        raise Missing

    return fetch


__all__ = ["MAX_FILE_BYTES", "ReleaseReader"]
