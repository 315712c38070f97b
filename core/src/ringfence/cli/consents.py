"""`ringfence consent`: the consents that are stored on this machine, and how they are taken back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import click

from ringfence.cli import terminal
from ringfence.cli.failure import REFUSED, Misuse
from ringfence.cli.options import json_option
from ringfence.policy.faults import quoted
from ringfence.privacy.consent_store import ConsentStore

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.privacy.consent_record import ConsentRecord

_SHORT = 8
"""So many characters of an id are shown, and so few are enough to name it."""

_STATES = {"given": "green", "expired": "dim", "revoked": "yellow"}


@click.group()
def consent() -> None:
    """The consents that outlast a request: what may be sent where without asking again.

    A policy says for how long a yes counts (consent: with lasts:). What is stored names recipients, labels and tasks,
    never content. A consent that is taken back stops requests that are under way, too.
    """


@consent.command("list")
@click.option("--all", "ended", is_flag=True, help="Also those that expired or were revoked.")
@json_option()
def list_consents(*, ended: bool, as_json: bool) -> None:
    """Shows the consents that hold, oldest first."""
    with closing(ConsentStore()) as store:
        records = store.list(ended=ended)
    if as_json:
        now = time.time()
        found = [{**record.as_dict(), "state": record.state(now)} for record in records]
        terminal.write_json({"consents": found}, indent=2)
    elif records:
        terminal.write_table(_table(records))
    else:
        terminal.say("no consent is stored" if ended else "no stored consent holds")


@consent.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--recipient", metavar="NAME", help="Every consent that covers this recipient.")
@click.option("--all", "everything", is_flag=True, help="Every consent.")
@json_option()
def revoke(*, ids: tuple[str, ...], recipient: str | None, everything: bool, as_json: bool) -> None:
    """Takes consents back: those with an ID as 'list' shows it, all for one recipient, or all.

    When this has ended, nothing leaves on one of them any more, in no process of this user. Exit 1 if none covers NAME.
    """
    if not ids and recipient is None and not everything:
        raise click.UsageError("Name an ID, --recipient NAME or --all.")
    with closing(ConsentStore()) as store:
        unmet = None if recipient is None or everything else _nothing_covers(store, recipient)
        count = store.revoke(*_whole(store, ids), recipient=recipient, everything=everything)
    if as_json:
        terminal.write_json({"revoked": count}, indent=2)
    elif count or unmet is None:
        terminal.say(f"{count:,} consent{'' if count == 1 else 's'} revoked")
    if unmet is not None:
        terminal.say(unmet)
        click.get_current_context().exit(REFUSED)


def _nothing_covers(store: ConsentStore, recipient: str) -> str | None:
    """That no consent which holds covers `recipient`, and which are covered; `None` where one does."""
    covered = sorted({name for record in store.list() for name in record.covered})
    if recipient in covered:
        return None
    if not covered:
        return "no stored consent holds" if store.list(ended=True) else "no consent is stored"
    return terminal.harmless(f"no consent covers {quoted(recipient)}. Stored: {', '.join(covered)}")


def _whole(store: ConsentStore, ids: Sequence[str]) -> list[str]:
    """The whole ids whose beginnings these are."""
    known = [record.id for record in store.list(ended=True)] if ids else []
    return [_one(begin, [id_ for id_ in known if id_.startswith(begin)]) for begin in ids]


def _one(begin: str, found: Sequence[str]) -> str:
    if len(begin) < _SHORT or not found:
        raise Misuse(f"there is no consent '{begin}'", way_out="an ID of 'ringfence consent list --all'")
    if len(found) > 1:
        raise Misuse(f"{len(found)} consents begin with '{begin}'", way_out="more of the ID: --json shows all of it")
    return found[0]


def _table(records: Sequence[ConsentRecord]) -> Table:
    from ringfence.cli.rows import rows  # noqa: PLC0415  (rich takes 45 ms, and only a table needs it)

    now = time.time()
    names = ("id", "recipient", "ring", "labels", "task", "given", "expires", "state")
    return rows(names, [_row(record, now) for record in records])


def _row(record: ConsentRecord, now: float) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    styles = {"ring": terminal.RING_STYLES.get(record.ring, ""), "state": _STATES[record.state(now)]}
    cells = _cells(record, now).items()
    return [Text(terminal.harmless(written), style=styles.get(name, "")) for name, written in cells]


def _cells(record: ConsentRecord, now: float) -> dict[str, str]:
    redacted = record.redact
    others = len(record.covered) - 1
    return {
        "id": record.id[:_SHORT],
        "recipient": record.recipient + (f" and {others} more of its ring" if others else ""),
        "ring": record.ring,
        "labels": ", ".join(f"{name} ({redacted[name]})" if name in redacted else name for name in record.labels),
        "task": record.task,
        "given": _moment(record.given_at),
        "expires": "–" if record.expires_at is None else _moment(record.expires_at),
        "state": record.state(now),
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")


__all__ = ["consent"]
