"""What an operator believes of a repository before anything in it: the root that lies beside each of the keys.

Whoever can write the served folder can write none of these. Every folder with keys holds one, so that each person who
signs goes by a root of his own, whatever the others brought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ringfence_house.releases.faults import ReleasesFault
from ringfence_house.releases.files import reason, write_whole
from ringfence_house.releases.keys import KeyRing, files_below
from ringfence_house.releases.seen import SEEN_FILE, Seen, encode_seen, read_seen

if TYPE_CHECKING:
    from ringfence_house.releases.signing import RootFile

ANCHOR_FILE: Final = "root.json"
_MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The root in one folder of keys, and what its holder saw last."""

    folder: Path
    root: RootFile
    data: bytes
    seen: Seen | None

    @property
    def version(self) -> int:
        """The version of the root."""
        return self.root.signed.version


def read_anchors(folders: Sequence[Path], *, served: Path) -> tuple[Anchor, ...]:
    """The anchors in and below `folders`, the oldest root first; at least one.

    Raises:
        ReleasesFault: there is none, a folder has keys without one, one is no root, or lies in the folder `served`.
    """
    places = _with_keys(folders) | {path.parent for folder in folders for path in files_below(folder, ANCHOR_FILE)}
    check_outside(places, served)
    if not places:
        raise _none_in(", ".join(map(str, folders)), folders[0])
    return tuple(sorted(map(_read, sorted(places)), key=lambda anchor: anchor.version))


def put_anchors(folders: Sequence[Path], root: bytes) -> None:
    """Puts `root`, which the caller trusts, beside the keys in and below `folders`, where there is none.

    Raises:
        ReleasesFault: it cannot be written.
    """
    for place in _with_keys(folders):
        if not (place / ANCHOR_FILE).exists():
            _write(place / ANCHOR_FILE, root)


def renewed(anchor: Anchor, root: RootFile, data: bytes, seen: Seen) -> Anchor:
    """`anchor` brought up to what was verified from it, also in its folder.

    Raises:
        ReleasesFault: it cannot be written.
    """
    if root.signed.version > anchor.version:
        _write(anchor.folder / ANCHOR_FILE, data)
    if seen != anchor.seen:
        _write(anchor.folder / SEEN_FILE, encode_seen(seen))
    return Anchor(folder=anchor.folder, root=root, data=data, seen=seen)


def check_outside(places: Iterable[Path], served: Path) -> None:
    """Refuses keys in what is served, where strangers may read them and put roots of their own.

    Raises:
        ReleasesFault: one of `places` is in it.
    """
    for place in places:
        if place.resolve().is_relative_to(served.resolve()):
            raise ReleasesFault(f"{place} is inside {served}, which is served", way_out="keep keys elsewhere")


def verified_root(
    anchors: Sequence[Anchor], read: Callable[[int], bytes], newest: int, folder: Path
) -> tuple[RootFile, bytes]:
    """The root `newest` of those that `read` gives from `folder`, once the chain to it from every anchor was verified.

    Raises:
        ReleasesFault: it does not lead there.
    """
    first, last = anchors[0], anchors[-1]
    if last.version > newest:
        raise ReleasesFault(
            f"the roots in {folder} are older than {last.folder / ANCHOR_FILE}",
            way_out="look who took the newer ones away, then put a copy of the repository back",
        )
    # INVARIANT: of what is served, only what a root that is trusted already signed is trusted next.
    chain = {first.version: (first.root, first.data)}
    for version in range(first.version + 1, newest + 1):
        chain[version] = _following(chain[version - 1][0], version, read, folder)
    for anchor in anchors:
        if chain[anchor.version][0].signed_bytes != anchor.root.signed_bytes:
            raise ReleasesFault(
                f"the keys in {first.folder} and {anchor.folder} are not of one house: their roots differ",
                way_out="compare both with a trust file that clients have",
            )
    return chain[newest]


def _following(root: RootFile, version: int, read: Callable[[int], bytes], folder: Path) -> tuple[RootFile, bytes]:
    """The root of that version, signed by enough keys of `root` and of its own."""
    from ringfence_house.releases.vendor import exceptions  # noqa: PLC0415

    try:
        data = read(version)
        found = parse_root(data)
        for signed in (root.signed, found.signed):
            signed.verify_delegate("root", found.signed_bytes, found.signatures)
    except (exceptions.RepositoryError, ReleasesFault, ValueError):
        pass
    else:
        if found.signed.version == version:
            return found, data
    raise ReleasesFault(
        f"root {version} in {folder} is not signed by the keys of root {version - 1}",
        way_out="look who wrote it, then put a copy of the repository back",
    )


def parse_root(data: bytes) -> RootFile:
    """The root in `data`, not yet verified.

    Raises:
        ValueError: it is none.
    """
    from ringfence_house.releases.vendor import Metadata, Root, exceptions  # noqa: PLC0415

    try:
        found = Metadata[Root].from_bytes(data)
    except exceptions.RepositoryError:
        raise ValueError("no root") from None
    if found.signed.type != "root":
        raise ValueError("no root")
    return found


def _read(folder: Path) -> Anchor:
    from ringfence_house.releases.vendor import exceptions  # noqa: PLC0415

    path = folder / ANCHOR_FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
        root = parse_root(data)
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    except FileNotFoundError:
        raise _none_in(str(folder), folder) from None
    except OSError as fault:
        raise ReleasesFault(f"{path} cannot be read: {reason(fault)}", way_out="give yourself the right to") from None
    except (exceptions.RepositoryError, ValueError):
        raise ReleasesFault(f"{path} is no root", way_out="put the trust file there, as clients have it") from None
    return Anchor(folder=folder, root=root, data=data, seen=read_seen(folder))


def _with_keys(folders: Sequence[Path]) -> set[Path]:
    return KeyRing(folders).folders


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data, mode=0o600)
    except OSError as fault:
        raise ReleasesFault(
            f"{path} cannot be written: {reason(fault)}", way_out="make its folder writable, then the same again"
        ) from None


def _none_in(looked: str, folder: Path) -> ReleasesFault:
    return ReleasesFault(
        f"no {ANCHOR_FILE} lies with the keys in {looked}, to check the repository by",
        way_out=f"put the trust file there, as clients have it, not as it is served: {folder / ANCHOR_FILE}",
    )


__all__ = [
    "ANCHOR_FILE",
    "Anchor",
    "check_outside",
    "parse_root",
    "put_anchors",
    "read_anchors",
    "renewed",
    "verified_root",
]
