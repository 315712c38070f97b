"""What a holder of keys saw last: with it an older list is never signed again, and a change is shown by its ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from ringfence_house.releases import documents
from ringfence_house.releases.faults import Malformed, ReleasesFault
from ringfence_house.releases.files import reason
from ringfence_house.releases.log import Log, leaf_hash
from ringfence_house.releases.reference import Device, Release
from ringfence_house.releases.strict import canonical, parse

SEEN_FILE: Final = "seen.json"
_DOCUMENT: Final = re.compile(r"[ -~]*")
_MOST_BYTES: Final = 4 * documents.MAX_DOCUMENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The list at one version: the log's size and root, and what may serve."""

    version: int
    log_size: int
    log_root: bytes
    releases: Mapping[str, Release]
    devices: Mapping[str, Device]

    def leads_to(self, version: int, entries: Sequence[bytes]) -> bool:
        """Whether a list of that version and log is this one or a later one: the log only ever grows."""
        leaves = [leaf_hash(one) for one in entries[: self.log_size]]
        return version >= self.version and len(leaves) == self.log_size and Log(leaves).root() == self.log_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Ids, sorted, by what happened to them. `changed` are those with other facts than before."""

    added: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """The ids by the word for what happened to them."""
        return asdict(self)

    def __bool__(self) -> bool:
        return any(chain(*self.by_kind().values()))


def changes(before: Mapping[str, Release | Device], after: Mapping[str, Release | Device]) -> Changes:
    """What happened to releases, or to machines, from `before` to `after`."""

    def both(happened: Callable[[Any, Any], bool]) -> tuple[str, ...]:
        return tuple(sorted(name for name in before.keys() & after.keys() if happened(before[name], after[name])))

    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        revoked=both(lambda old, new: new.revoked and not old.revoked),
        restored=both(lambda old, new: old.revoked and not new.revoked),
        changed=both(lambda old, new: _facts(old) != _facts(new)),
        removed=tuple(sorted(before.keys() - after.keys())),
    )


def read_seen(folder: Path) -> Seen | None:
    """What the holder of the keys in `folder` saw last; `None` where nothing yet.

    Raises:
        ReleasesFault: it cannot be read, or is not what was written.
    """
    path = folder / SEEN_FILE
    try:
        with path.open("rb") as file:
            return _decode(file.read(_MOST_BYTES + 1))
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise ReleasesFault(f"{path} cannot be read: {reason(fault)}", way_out="give yourself the right to") from None
    except Malformed:
        raise ReleasesFault(f"{path} is damaged", way_out="look who changed it, then remove it") from None


def encode_seen(seen: Seen) -> bytes:
    """The file of it."""
    return canonical(
        {
            "v": 1,
            "version": seen.version,
            "log_size": seen.log_size,
            "log_root": seen.log_root.hex(),
            "releases": documents.encode_releases(seen.releases).decode(),
            "devices": documents.encode_devices(seen.devices).decode(),
        }
    )


def _decode(data: bytes) -> Seen:
    fields = parse(data, SEEN_FILE, most_bytes=_MOST_BYTES)
    fields.number("v", least=1, most=1)
    seen = Seen(
        version=fields.number("version", least=1),
        log_size=fields.number("log_size", most=documents.MAX_RELEASES),
        log_root=bytes.fromhex(fields.text("log_root", documents.DIGEST)),
        releases=documents.parse_releases(fields.text("releases", _DOCUMENT).encode()),
        devices=documents.parse_devices(fields.text("devices", _DOCUMENT).encode()),
    )
    fields.end()
    return seen


def _facts(one: Release | Device) -> dict[str, object]:
    return {**asdict(one), "revoked": None}


__all__ = ["SEEN_FILE", "Changes", "Seen", "changes", "encode_seen", "read_seen"]
