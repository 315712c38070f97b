"""What `ringfence doctor` says of what is kept on this machine: consents, budgets and the record. It makes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from ringfence.errors import AuditError, StoreError
from ringfence.paths import state_dir
from ringfence.provider import Finding

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.privacy.database import Database
    from ringfence.routing.budget import BudgetState


def consents() -> Iterator[Finding]:
    """Whether the stored consents can be read, and how many hold."""
    from ringfence.privacy.consent_store import ConsentStore  # noqa: PLC0415

    with closing(ConsentStore()) as store:
        try:
            detail = "none is stored yet; they will be kept"
            if not store.file.absent:
                _require_sound(store.file)
                held = len(store.list())
                detail = f"{held:,} {'holds' if held == 1 else 'hold'}, kept"
        except StoreError as error:
            yield Finding(level="fault", subject="consents", detail=error.message, way_out=error.way_out)
            return
        yield Finding(level="ok", subject="consents", detail=f"{detail} in {store.file.path}")


def budgets(policy: Policy | None) -> Iterator[Finding]:
    """Whether what was spent can be read, and which budgets of the policy are spent."""
    from ringfence.routing.ledger import Ledger  # noqa: PLC0415

    states: tuple[BudgetState, ...] = ()
    with closing(Ledger()) as ledger:
        try:
            kept = "nothing was spent yet; it will be kept"
            if not ledger.file.absent:
                _require_sound(ledger.file)
                kept = "what was spent is kept"
            if policy is not None:
                states = ledger.states(policy.name, policy.document.budgets)
        except StoreError as error:
            yield Finding(level="fault", subject="budgets", detail=error.message, way_out=error.way_out)
            return
        has = f"the policy has {len(states) or 'none'}; " if policy is not None else ""
        yield Finding(level="ok", subject="budgets", detail=f"{has}{kept} in {ledger.file.path}")
    for state in states:
        if state.spent + state.reserved >= state.limit:
            again = "its limit is raised" if state.resets_at is None else "it resets"
            yield Finding(
                level="warning",
                subject=f"budget {state.id}",
                detail=f"it is spent: nothing goes to {', '.join(state.of)} until {again}",
                way_out="ringfence budget list",
            )


def _require_sound(file: Database) -> None:
    """Reads the whole file.

    Raises:
        StoreError: it cannot be read or is damaged.
    """
    if file.read("PRAGMA quick_check(1)") != [("ok",)]:
        raise file.damaged()


def audit() -> Iterator[Finding]:
    """Whether the record can be written and is whole."""
    from ringfence.privacy.audit import AuditLog  # noqa: PLC0415
    from ringfence.privacy.audit.files import RECORDS_FILE  # noqa: PLC0415

    folder = state_dir() / "audit"
    if not (folder / RECORDS_FILE).exists():
        yield Finding(level="ok", subject="audit log", detail=f"no record yet; it will be kept in {folder}")
        return
    log = AuditLog(folder)
    try:
        log.open()
        state = log.verify()
    except AuditError as error:
        yield Finding(level="fault", subject="audit log", detail=error.message, way_out=error.way_out)
        return
    finally:
        log.close()
    if state.ok:
        yield Finding(level="ok", subject="audit log", detail=f"{state.count:,} records in {folder}, whole")
    else:
        yield Finding(
            level="fault",
            subject="audit log",
            detail=f"{folder} is not whole: {state.problems[0]}",
            way_out="ringfence audit verify",
        )
    for note in state.notes:
        yield Finding(level="warning", subject="audit log", detail=note)


__all__ = ["audit", "budgets", "consents"]
