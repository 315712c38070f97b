"""Consents that outlast a process: one SQLite file, read at every use, so that a revocation counts everywhere at once.

A rollback journal, and every transaction on the disk before it counts: a person says yes or takes it back seldom, and a
power cut must not bring back what was taken back. Each row is sealed (see `consent_seal`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ringfence.errors import InvalidRequest, StoreError
from ringfence.privacy.consent_record import ConsentRecord, Lasts, Wanted, usable
from ringfence.privacy.consent_seal import ENDED, seal, seal_of
from ringfence.privacy.database import Busy, Database, Row, Value

if TYPE_CHECKING:
    import sqlite3

    from ringfence.policy.decision import ConsentRule, Redaction

FILE = "consent.db"

_SETUP = "PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS consents (
    id TEXT PRIMARY KEY, given_at REAL NOT NULL, expires_at REAL NOT NULL, revoked_at REAL,
    expired INTEGER NOT NULL DEFAULT 0,
    recipient TEXT NOT NULL, ring TEXT NOT NULL, labels TEXT NOT NULL, shown TEXT NOT NULL, redact TEXT NOT NULL,
    task TEXT NOT NULL, per TEXT NOT NULL, tenant TEXT, policy TEXT NOT NULL, policy_digest TEXT NOT NULL,
    covered TEXT NOT NULL, seal TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS covered (
    recipient TEXT NOT NULL, identity TEXT NOT NULL, task TEXT NOT NULL, consent TEXT NOT NULL REFERENCES consents(id),
    PRIMARY KEY (recipient, identity, task, consent)
) WITHOUT ROWID;
"""
_COLUMNS = (
    "id, given_at, expires_at, revoked_at, expired, recipient, ring, labels, shown, redact, task, per, tenant, policy, "
    "policy_digest, covered, seal"
)


class ConsentStore:
    """The stored consents of one user, in `folder`; without one, in the state folder.

    Threads and processes may share it. A store that was never written is empty.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @cached_property
    def file(self) -> Database:
        """The file that it keeps."""
        from ringfence.paths import state_dir  # noqa: PLC0415  (looks the folder up only when it is used)

        return Database((self._folder or state_dir()) / FILE, what="consent store", setup=_SETUP, schema=_SCHEMA)

    def list(self, *, ended: bool = False) -> tuple[ConsentRecord, ...]:
        """The yeses that hold, oldest first; with `ended` also those that expired or were revoked.

        Raises:
            StoreError: the store cannot be read.
        """
        now = time.time()
        records = self._records("ORDER BY given_at, id")
        return tuple(record for record in records if ended or record.state(now) == "given")

    def revoke(self, *ids: str, recipient: str | None = None, everything: bool = False) -> int:
        """Takes back the yeses with these ids, or all that cover `recipient`, or all; how many held until now.

        INVARIANT: nothing leaves on one of them after this returned, in no process.

        Raises:
            InvalidRequest: an id that no yes has.
            StoreError: the store cannot be written; then they are not taken back.
        """
        if not ids and recipient is None and not everything:
            return 0
        if self.file.absent:
            unknown(ids, ())
            return 0
        return self.file.write(lambda into: _revoke(into, ids, recipient, everything=everything))

    # ------------------------------------------------------------ for the gate
    def find(self, wanted: Wanted, *, policy: str, tenant: str | None, rule: ConsentRule) -> ConsentRecord | None:
        """A yes that holds now for `wanted`; see `Keeper`.

        Raises:
            StoreError: the store cannot be read.
        """
        now = time.time()
        found = self._records(
            "WHERE revoked_at IS NULL AND NOT expired AND id IN (SELECT consent FROM covered WHERE recipient=? "
            "AND identity=? AND task=?) ORDER BY given_at DESC",
            (wanted.recipient, wanted.identity, wanted.task),
        )
        if over := [record.id for record in found if record.state(now) == "expired"]:
            self._note_expired(over)
        fits = (one for one in found if usable(one, wanted, policy=policy, tenant=tenant, rule=rule, now=now))
        return next(fits, None)

    def add(self, record: ConsentRecord) -> None:
        """Keeps a yes, on the disk when this returns.

        Raises:
            StoreError: it cannot be written.
        """
        row: tuple[Value, ...] = (
            record.id,
            record.given_at,
            record.expires_at,
            record.revoked_at,
            0,
            record.recipient,
            record.ring,
            json.dumps(record.labels),
            json.dumps(record.shown),
            json.dumps(dict(record.redact)),
            record.task,
            record.per,
            record.tenant,
            record.policy,
            record.policy_digest,
            json.dumps(dict(record.covered)),
        )

        def put(into: sqlite3.Connection) -> None:
            sealed = (*row, seal(record, self.file.path.parent))
            into.execute(f"INSERT INTO consents ({_COLUMNS}) VALUES ({', '.join('?' * len(sealed))})", sealed)  # noqa: S608  (our own columns)
            covered = [(name, identity, record.task, record.id) for name, identity in record.covered.items()]
            into.executemany("INSERT INTO covered VALUES (?, ?, ?, ?)", covered)

        self.file.write(put)

    def holds(self, record: ConsentRecord) -> bool:
        """Whether `record` holds at this moment: not expired, and not revoked by any process.

        Raises:
            StoreError: the store cannot be read.
        """
        now = time.time()
        rows = self.file.read("SELECT revoked_at, expired, seal FROM consents WHERE id=?", (record.id,))
        if record.state(now) == "expired" and rows:
            self._note_expired([record.id])
        # INVARIANT: what was taken back, or was edited, is no yes, also if somebody writes into the row that it holds.
        return bool(rows) and rows == [(None, 0, self._seal_of(record))] and record.state(now) == "given"

    def close(self) -> None:
        """Gives the file back."""
        self.file.close()

    # ------------------------------------------------------------ rows
    def _note_expired(self, ids: Sequence[str]) -> None:
        """Remembers that these are over. Where that cannot be written, the next look tries again."""
        try:
            self.file.write(
                lambda into: into.executemany(
                    "UPDATE consents SET expired=1, seal=? WHERE id=?", [(ENDED, one) for one in ids]
                ),
                wait=False,
            )
        except (Busy, StoreError):
            return

    def _records(self, where: str, values: Sequence[Value] = ()) -> Sequence[ConsentRecord]:
        rows = self.file.read(f"SELECT {_COLUMNS} FROM consents {where}", values)  # noqa: S608  (our own words)
        try:
            records = [_record(row) for row in rows]
        except (ValueError, TypeError, AttributeError):
            records = None
        # INVARIANT: a row that we did not write as it stands is no yes. One that is over proves nothing, and is shown.
        if records is None or any(
            one.revoked_at is None and not one.expired and row[-1] != self._seal_of(one)
            for one, row in zip(records, rows, strict=True)
        ):
            raise self.file.damaged()
        return records

    def _seal_of(self, record: ConsentRecord) -> str | None:
        try:
            return seal_of(record, self.file.path.parent)
        except OSError:
            return None


def unknown(ids: Sequence[str], known: Sequence[str]) -> None:
    """Does nothing if every id is known.

    Raises:
        InvalidRequest: one is not.
    """
    for one in ids:
        if one not in known:
            raise InvalidRequest(f"there is no consent '{one[:64]}'", way_out="ringfence consent list --all")


def _revoke(into: sqlite3.Connection, ids: Sequence[str], recipient: str | None, *, everything: bool) -> int:
    known = [cast("str", row[0]) for row in into.execute("SELECT id FROM consents")]
    unknown(ids, known)
    chosen = set(known) if everything else set(ids)
    if recipient is not None:
        covering = into.execute("SELECT consent FROM covered WHERE recipient=?", (recipient,))
        chosen |= {cast("str", row[0]) for row in covering}
    now = time.time()
    ended = 0
    end = "UPDATE consents SET revoked_at=?, seal=? WHERE id=? AND revoked_at IS NULL"
    for one in sorted(chosen):
        ended += into.execute(f"{end} AND NOT expired AND expires_at>?", (now, ENDED, one, now)).rowcount
        # One that is over by the clock is ended too: a clock may be set back.
        into.execute(end, (now, ENDED, one))
    return ended


def _record(row: Row) -> ConsentRecord:
    (id_, given_at, expires_at, revoked_at, expired, recipient, ring, labels, shown, redact, task, per, tenant, policy,
     digest, covered, _) = row  # fmt: skip
    kept: Lasts = "stored"
    return ConsentRecord(
        id=str(id_),
        given_at=float(cast("float", given_at)),
        expires_at=float(cast("float", expires_at)),
        revoked_at=None if revoked_at is None else float(revoked_at),
        expired=bool(expired),
        recipient=str(recipient),
        ring=str(ring),
        labels=tuple(cast("list[str]", json.loads(str(labels)))),
        shown=tuple(cast("list[str]", json.loads(str(shown)))),
        redact=cast("Mapping[str, Redaction]", dict(json.loads(str(redact)))),
        task=str(task),
        per=str(per),
        lasts=kept,
        tenant=None if tenant is None else str(tenant),
        policy=str(policy),
        policy_digest=str(digest),
        covered=cast("Mapping[str, str]", dict(json.loads(str(covered)))),
    )


__all__ = ["FILE", "ConsentStore"]
