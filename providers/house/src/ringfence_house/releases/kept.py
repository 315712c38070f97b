"""What a reader keeps between its runs: the last repository that it believed, in one file with its own digest.

One file, replaced as a whole, holds everything: so a crash, a full disk or a second process never leaves the parts of
two repositories side by side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from ringfence_house.releases.documents import FILES, MAX_DOCUMENT_BYTES
from ringfence_house.releases.faults import Malformed, ReleasesRefused
from ringfence_house.releases.files import reason, write_whole
from ringfence_house.releases.strict import Fields, canonical, parse

KEPT_FILE: Final = "releases.json"
_MOST_BYTES: Final = 16 * MAX_DOCUMENT_BYTES
_ANY: Final = re.compile(r".*", re.DOTALL)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,15}")
_NAME: Final = re.compile(r"[a-z.-]{1,64}")
_MOST_ROOTS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Roots by version, the other roles' metadata by role, the documents by name: as they were fetched."""

    roots: Mapping[int, bytes]
    metadata: Mapping[str, bytes]
    documents: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Kept(roots {sorted(self.roots)})"


def read_kept(folder: Path) -> Kept | None:
    """What was kept, or `None` where nothing ever was.

    Raises:
        ReleasesRefused: it cannot be read, or is not what was written. To begin anew without being told to would let
            whoever damaged it show an older repository.
    """
    try:
        data = (folder / KEPT_FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise _refused(folder, f"cannot be read: {reason(fault)}") from None
    digest, _, content = data.partition(b"\n")
    if digest != _digest(content):
        raise _refused(folder, "is damaged")
    try:
        return _decode(content)
    except Malformed:
        raise _refused(folder, "was written by another version") from None


def write_kept(folder: Path, kept: Kept) -> None:
    """Keeps it, in the place of what was kept.

    Raises:
        ReleasesRefused: it cannot be written; what was kept stays.
    """
    content = canonical(
        {
            "v": 1,
            "roots": {str(version): data.decode() for version, data in kept.roots.items()},
            "metadata": {role: data.decode() for role, data in kept.metadata.items()},
            "documents": {name: data.decode() for name, data in kept.documents.items()},
        }
    )
    try:
        write_whole(folder / KEPT_FILE, _digest(content) + b"\n" + content, mode=0o600)
    except OSError as fault:
        raise not_writable(folder, fault) from None


def not_writable(folder: Path, fault: OSError) -> ReleasesRefused:
    """The refusal where nothing can be kept: without it the next start would believe an older repository."""
    return ReleasesRefused(
        "state",
        f"the state of the releases in {folder} cannot be written: {reason(fault)}",
        way_out="make the folder writable, or free some space",
    )


def _decode(content: bytes) -> Kept:
    fields = parse(content, "the state", most_bytes=_MOST_BYTES)
    fields.number("v", least=1, most=1)
    kept = Kept(
        roots={int(version): data for version, data in _texts(fields, "roots", _VERSION)},
        metadata=dict(_texts(fields, "metadata", _NAME)),
        documents=dict(_texts(fields, "documents", _NAME)),
    )
    fields.end()
    if set(kept.documents) != set(FILES) or set(kept.metadata) != {"timestamp", "snapshot", "targets"}:
        raise Malformed("the state lacks parts")
    return kept


def _texts(fields: Fields, name: str, form: re.Pattern[str]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for key, value in fields.each(name, form, most=_MOST_ROOTS):
        if not isinstance(value, str) or _ANY.fullmatch(value) is None:
            raise Malformed(f"the state: {name} holds no text")
        found.append((key, value.encode()))
    return found


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def _refused(folder: Path, what: str) -> ReleasesRefused:
    return ReleasesRefused(
        "state",
        f"the state of the releases in {folder} {what}",
        way_out=f"look who changed it, then remove {folder / KEPT_FILE}: the next start believes the trust file alone",
    )


__all__ = ["KEPT_FILE", "Kept", "not_writable", "read_kept", "write_kept"]
