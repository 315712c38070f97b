"""What was spent of the budgets of a user's policies: one SQLite file, written before a send and after it.

A write-ahead log, and no wait for the disk: what is written survives the death of the process, not of the power.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ringfence.errors import BudgetSpent
from ringfence.privacy.database import Database
from ringfence.routing.budget import (
    MOST,
    BudgetState,
    Charge,
    Cost,
    Reservation,
    as_said,
    in_units,
    limit_of,
    period_of,
    resets_at,
)

if TYPE_CHECKING:
    import sqlite3

    from ringfence.policy.document import Budget

FILE = "budget.db"

_SETUP = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
_CHECKPOINT_EVERY = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS budgets (
    policy TEXT NOT NULL, budget TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL,
    spent INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, budget, unit, period)
) WITHOUT ROWID;
"""
_KEY = "policy=? AND budget=? AND unit=? AND period=?"
_READ = f"SELECT spent, reserved FROM budgets WHERE {_KEY}"  # noqa: S608  (our own words)
_RESERVE = (
    "INSERT INTO budgets (policy, budget, unit, period, reserved) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET reserved = reserved + excluded.reserved"
)
_SETTLE = f"UPDATE budgets SET reserved = max(0, reserved - ?), spent = spent + ? WHERE {_KEY}"  # noqa: S608


class Ledger:
    """What was spent, in `folder`; without one, in the state folder. Threads and processes may share it.

    INVARIANT: spent and reserved together never exceed a limit by a reservation, whoever reserves at the same time.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    @cached_property
    def file(self) -> Database:
        """The file that it keeps."""
        from ringfence.paths import state_dir  # noqa: PLC0415  (looks the folder up only when it is used)

        return Database(
            (self._folder or state_dir()) / FILE,
            what="record of budgets",
            setup=_SETUP,
            schema=_SCHEMA,
            checkpoint_every=_CHECKPOINT_EVERY,
        )

    def reserve(
        self, policy: str, budgets: Sequence[Budget], recipient: str, most: Cost, *, wait: bool = True
    ) -> Reservation:
        """Room for `most` in all of `budgets`, or in none of them.

        `most` has an amount in the unit of each.

        Raises:
            BudgetSpent: one of them has not that much left.
            Busy: `wait` is false, and somebody else is writing.
            StoreError: it cannot be written.
        """
        now = time.time()
        charges = tuple(_charge(policy, one, most, now) for one in budgets)

        def put(into: sqlite3.Connection) -> None:
            for place, charge in enumerate(charges):
                spent, reserved = _row(into, charge)
                if spent + reserved + charge.amount > charge.limit:
                    raise _Full(place)
                into.execute(_RESERVE, (*_key(charge), charge.amount))

        try:
            self.file.write(put, wait=wait)
        except _Full as full:
            place = full.place
        else:
            return Reservation(recipient=recipient, charges=charges)
        raise _spent(budgets[place], now)

    def settle(self, reservation: Reservation, cost: Cost | None, *, wait: bool = True) -> None:
        """Puts what the send did cost in the place of what was reserved; `None` if nothing was sent.

        An amount that is not known is the one that was reserved. Call it once.

        Raises:
            Busy: `wait` is false, and somebody else is writing.
            StoreError: it cannot be written; what was reserved stays counted.
        """
        rows = [(charge.amount, _settled(charge, cost), *_key(charge)) for charge in reservation.charges]
        self.file.write(lambda into: into.executemany(_SETTLE, rows), wait=wait)

    def states(self, policy: str, budgets: Sequence[Budget]) -> tuple[BudgetState, ...]:
        """How each of `budgets` stands now.

        Raises:
            StoreError: it cannot be read.
        """
        now = time.time()
        return tuple(self._state(policy, one, now) for one in budgets)

    def close(self) -> None:
        """Gives the file back."""
        self.file.close()

    def _state(self, policy: str, budget: Budget, now: float) -> BudgetState:
        period = period_of(budget.per, now)
        rows = self.file.read(_READ, (policy, budget.id, budget.unit, period))
        spent, reserved = cast("tuple[int, int]", rows[0]) if rows else (0, 0)
        return BudgetState(
            id=budget.id,
            of=tuple(sorted(budget.of)),
            per=budget.per,
            period=period,
            spent=as_said(spent, budget.unit),
            reserved=as_said(reserved, budget.unit),
            limit=budget.limit,
            unit=budget.unit,
            resets_at=resets_at(budget.per, now),
        )


class _Full(Exception):
    """The budget at `place` has no room; the transaction is undone."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


def _charge(policy: str, budget: Budget, most: Cost, now: float) -> Charge:
    amount = most.amount(budget.unit)
    assert amount is not None  # noqa: S101  (the caller looked)
    return Charge(
        policy=policy,
        budget=budget.id,
        unit=budget.unit,
        period=period_of(budget.per, now),
        amount=amount,
        limit=in_units(budget.limit, budget.unit),
    )


def _settled(charge: Charge, cost: Cost | None) -> int:
    if cost is None:
        return 0
    amount = cost.amount(charge.unit)
    return charge.amount if amount is None else min(amount, MOST)


def _key(charge: Charge) -> tuple[str, str, str, str]:
    return charge.policy, charge.budget, charge.unit, charge.period


def _row(into: sqlite3.Connection, charge: Charge) -> tuple[int, int]:
    found: tuple[int, int] | None = into.execute(_READ, _key(charge)).fetchone()
    return found or (0, 0)


def _spent(budget: Budget, now: float) -> BudgetSpent:
    again = resets_at(budget.per, now)
    when = None if again is None else datetime.fromtimestamp(again, UTC)
    return BudgetSpent(
        f"budget '{budget.id}' of {limit_of(budget)} has no room for this request",
        budget=budget.id,
        limit=limit_of(budget),
        resets_at=again,
        way_out="a larger limit in the policy" if when is None else f"again after {when:%Y-%m-%d %H:%M} UTC",
    )


__all__ = ["FILE", "Ledger"]
