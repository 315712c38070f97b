"""Checks an audit log: every record, that none is missing, moved or put in, and that the tail is there.

What the death of a writer explains is a note: a line that broke off and that the next record seals, or a head that is
one record behind. So is what retention removed, where a checkpoint of this log says so. Everything else is a problem,
with the number of the record it is about.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.errors import AuditError
from ringfence.privacy.audit.files import KEY_FILE, decode_head, read_key
from ringfence.privacy.audit.segments import NOTHING_REMOVED, Checkpoint, decode_checkpoint
from ringfence.privacy.audit.snapshot import no_log, snapshot
from ringfence.privacy.audit.walk import ChainWalk, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check found. `count` authentic records; `head` is the mac of the last one, worth keeping elsewhere.

    `notes` are what a writer's death explains, and what weakens the protection without being a fault of the log.
    `removed` is what retention took away, by the policy's `audit: {keep: …}`.
    """

    ok: bool
    count: int
    head: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    removed: Checkpoint = NOTHING_REMOVED

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return {
            "ok": self.ok,
            "count": self.count,
            "head": self.head,
            "problems": [{"record": p.record, "line": p.line, "detail": p.detail} for p in self.problems],
            "notes": list(self.notes),
            "removed": self.removed.as_dict() if self.removed.sequence else None,
        }


def verify_log(folder: Path, *, kept_head: str | None, lock_timeout_s: float) -> Verification:
    """Checks the log in `folder` as it stood when the check began; writers go on meanwhile.

    Raises:
        AuditError: there is no log, or it or its key cannot be read.
    """
    with snapshot(folder, lock_timeout_s=lock_timeout_s) as log:
        if not log.begun:
            raise no_log(folder)
        key = _key(folder)
        removed = decode_checkpoint(key, log.checkpoint)
        after = removed or NOTHING_REMOVED
        walk = ChainWalk(
            key=key,
            head=decode_head(key, log.head),
            kept_head=kept_head.strip().lower() if kept_head else None,
            last_sequence=after.sequence,
            last_mac=after.mac,
        )
        if removed is None:
            walk.problems.append(Problem(detail="the checkpoint of what was removed is not one of this log"))
        walk.kept_head_seen = walk.kept_head == after.mac
        for line in log.lines():
            walk.take(line)
    walk.end()
    walk.notes.extend((*_retention(after), *_weaknesses(folder)))
    return Verification(
        ok=not walk.problems,
        count=walk.count,
        head=walk.last_mac,
        problems=tuple(walk.problems),
        notes=tuple(walk.notes),
        removed=after,
    )


def _key(folder: Path) -> bytes:
    key = read_key(folder)
    if key is None:
        raise AuditError(
            f"the key of the audit log in {folder} is lost, so nothing can be verified",
            way_out="restore audit.key from a backup",
        )
    return key


def _retention(removed: Checkpoint) -> Iterator[str]:
    if removed.sequence:
        records = "record 1 was" if removed.sequence == 1 else f"records 1 to {removed.sequence} were"
        yield f"{records} removed by retention, the youngest of {_day(removed.time_s)}, on {_day(removed.removed_at_s)}"


def _day(time_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time_s))


def _weaknesses(folder: Path) -> Iterator[str]:
    if stat.S_IMODE((folder / KEY_FILE).stat().st_mode) & 0o077:
        yield f"others on this machine can read {KEY_FILE} and could forge the chain (try: chmod 600)"
    if stat.S_IMODE(folder.stat().st_mode) & 0o022:
        yield "others on this machine can remove files from the folder of the log (try: chmod 700)"


__all__ = ["Problem", "Verification", "verify_log"]
