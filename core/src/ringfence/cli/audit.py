"""`ringfence audit`: what was asked of whom, whether the record is whole, and a copy of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.cli.options import json_option
from ringfence.errors import AuditError
from ringfence.paths import state_dir
from ringfence.privacy.audit import AuditLog, AuditRecord, Verification
from ringfence.privacy.audit.files import RECORDS_FILE, reason
from ringfence.privacy.audit.record import GENESIS
from ringfence.privacy.audit.segments import segments

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_OUTCOME_STYLES = {"answered": "green", "denied": "yellow", "failed": "red", "cancelled": "dim"}
_NAMES = ("time", "outcome", "ring", "recipient", "task", "labels", "tokens", "rules")

_log_option = click.option(
    "--log",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder of the log. [default: audit in the state folder]",
)


@click.group()
def audit() -> None:
    """The record of every request: where it went and why.

    It holds names, digests and counts, never content. A record survives the death of the process (kill -9), not of the
    power: nothing is forced to the disk.
    """


@audit.command("list")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="The newest N; 0 for all.")
@json_option()
@_log_option
def list_records(*, limit: int, as_json: bool, folder: Path | None) -> None:
    """Shows the newest records, oldest first."""
    with opened_log(folder) as log:
        records = list(log.records(limit=limit or None))
    if as_json:
        terminal.write_json({"records": [record.as_dict() for record in records]}, indent=2)
    elif records:
        terminal.write_table(_table(records))
    else:
        terminal.say("the audit log has no records yet")


@audit.command()
@click.option("--head", metavar="MAC", help="A head that was printed earlier and kept elsewhere; it must be there.")
@json_option()
@_log_option
def verify(*, head: str | None, as_json: bool, folder: Path | None) -> None:
    """Checks that no record was changed, removed, moved or put in.

    Exit 0 if the log is whole, 1 if it is not. Somebody who can read the key beside the log, or puts the whole folder
    back to an older copy, is found out only by a head that was kept elsewhere: note the one that this prints, and give
    it back with --head.
    """
    with opened_log(folder) as log:
        found = log.verify(head=head)
    if as_json:
        terminal.write_json(found.as_dict(), indent=2)
    else:
        _print_verification(found)
    sys.exit(0 if found.ok else 1)


@audit.command()
@click.option("--format", "form", type=click.Choice(["json", "csv", "report"]), default="json", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: stdout]"
)
@_log_option
def export(*, form: Literal["json", "csv", "report"], output: Path | None, folder: Path | None) -> None:
    """Copies all records out: as one JSON array, as CSV, or as a report.

    A report has the shape of the Apple Intelligence Report that a Mac exports, without prompts and responses.
    """
    with opened_log(folder) as log:
        if output is None:
            log.export(sys.stdout, form)
            return
        with created(output, "-o") as file:
            count = log.export(file, form)
    terminal.say(f"{_records(count)} written to {output}")


@contextmanager
def opened_log(folder: Path | None) -> Generator[AuditLog]:
    """The log; one that is not there is wrong usage."""
    chosen = folder if folder is not None else state_dir() / "audit"
    if not ((chosen / RECORDS_FILE).exists() or segments(chosen)):
        if chosen.is_file():
            raise Misuse(f"'{chosen}' is a file, and an audit log is a folder", way_out=f"--log {chosen.parent}")
        raise Misuse(f"there is no audit log in {chosen}", way_out="ask something first, or name its folder with --log")
    log = AuditLog(chosen)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def created(output: Path, option: str) -> Generator[TextIO]:
    """A file for its owner alone, like the log; `option` is the one that names it."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise Misuse(
            f"{output} cannot be written: {reason(fault)}", way_out=f"name another file with {option}"
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as fault:
        raise AuditError(f"{output} cannot be written: {reason(fault)}", way_out="free some space") from None


def _print_verification(found: Verification) -> None:
    """The verdict on stdout; click takes the colours away where that is no terminal."""
    verdict = click.style("whole", fg="green") if found.ok else click.style("not whole", fg="red", bold=True)
    click.echo(f"{verdict}: {_records(found.count)}")
    for problem in found.problems:
        click.secho(f"  {problem}", fg="red")
    for note in found.notes:
        click.echo(f"  {click.style('note:', fg='yellow')} {note}")
    if found.head != GENESIS:
        click.echo(f"head: {found.head}")
        terminal.say("keep the head elsewhere; 'ringfence audit verify --head MAC' then shows a later cut")


def _table(records: Sequence[AuditRecord]) -> Table:
    from ringfence.cli.rows import rows  # noqa: PLC0415  (rich takes 45 ms, and only a table needs it)

    return rows(_NAMES, [_row(record) for record in records], right=("tokens",))


def _row(record: AuditRecord) -> list[Text]:
    """The cells of a record; where they cannot be made of it, that it is none of ours: no mac was checked."""
    try:
        return list(_cells(record))
    except (AttributeError, LookupError, TypeError, ValueError):
        told = [_when(record), _text("forged (see: audit verify)", style="bold red")]
        return [*told, *(_text("–") for _ in _NAMES[len(told) :])]


def _when(record: AuditRecord) -> Text:
    return _text(datetime.fromtimestamp(record.time_s).astimezone().strftime("%Y-%m-%d %H:%M"))


def _cells(record: AuditRecord) -> Iterator[Text]:
    receipt = record.receipt
    outcome, ring = str(receipt.get("outcome")), str(receipt.get("ring") or "–")
    yield _when(record)
    yield _text(outcome + _error(receipt), style=_OUTCOME_STYLES.get(outcome, ""))
    yield _text(ring, style=terminal.RING_STYLES.get(ring, ""))
    yield _text("/".join(str(receipt[name]) for name in ("recipient", "model") if receipt.get(name)) or "–")
    yield _text(str(receipt.get("task")))
    yield _text(", ".join(map(str, receipt.get("labels") or ())) or "–")
    yield _text(_tokens(receipt))
    yield _text(", ".join(map(str, receipt.get("rules") or ())) or "–")


def _text(written: str, *, style: str = "") -> Text:
    """Text of the log: never read as markup, and no control character reaches the terminal."""
    from rich.text import Text  # noqa: PLC0415  (45 ms, and only a table needs it)

    return Text(" ".join(terminal.harmless(written).split()), style=style)


def _error(receipt: Mapping[str, Any]) -> str:
    attempts = receipt.get("attempts") or ()
    error = attempts[-1].get("error") if attempts else None
    return f" ({error})" if error else ""


def _tokens(receipt: Mapping[str, Any]) -> str:
    counts = [receipt.get("input_tokens"), receipt.get("output_tokens")]
    if counts == [None, None]:
        return "–"
    return " → ".join("–" if count is None else f"{count:,}" for count in counts)


def _records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


__all__ = ["audit", "created", "opened_log"]
