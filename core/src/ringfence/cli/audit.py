"""`ringfence audit`: what was asked of whom, whether the record is whole, and a copy of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TextIO

import click

from ringfence.errors import AuditError
from ringfence.paths import state_dir
from ringfence.privacy.audit import AuditLog, AuditRecord, Verification
from ringfence.privacy.audit_files import RECORDS_FILE
from ringfence.privacy.audit_record import GENESIS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_WIDTH_WITHOUT_TERMINAL = 200
_OUTCOME_STYLES = {"answered": "green", "denied": "yellow", "failed": "red", "cancelled": "dim"}
_RING_STYLES = {"device": "green", "house": "cyan", "partner": "magenta"}

_log_option = click.option(
    "--log", "folder", type=click.Path(path_type=Path), help="The folder of the log. [default: in the state folder]"
)
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")


@click.group()
def audit() -> None:
    """The record of every request: where it went and why.

    It holds names, digests and counts, never content. A record survives the death of the process (kill -9), not of the
    power: nothing is forced to the disk.
    """


@audit.command("list")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="The newest N; 0 for all.")
@_json_option
@_log_option
def list_records(limit: int, as_json: bool, folder: Path | None) -> None:  # noqa: FBT001  (click passes by name)
    """Shows the newest records, oldest first."""
    with _log(folder, as_json=as_json) as log:
        records = list(log.records(limit=limit or None))
    if as_json:
        _print_json({"records": [record.as_dict() for record in records]})
    elif records:
        _console().print(_table(records))
    else:
        click.echo("the audit log has no records yet", err=True)


@audit.command()
@click.option("--head", metavar="MAC", help="A head that was printed earlier and kept elsewhere; it must be there.")
@_json_option
@_log_option
def verify(head: str | None, as_json: bool, folder: Path | None) -> None:  # noqa: FBT001  (click passes by name)
    """Checks that no record was changed, removed, moved or put in.

    Exit 0 if the log is whole, 1 if it is not. Somebody who can read the key beside the log, or puts the whole folder
    back to an older copy, is found out only by a head that was kept elsewhere: note the one that this prints, and give
    it back with --head.
    """
    with _log(folder, as_json=as_json) as log:
        found = log.verify(head=head)
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_verification(found)
    sys.exit(0 if found.ok else 1)


@audit.command()
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@click.option(
    "-o", "--output", type=click.File("w", encoding="utf-8", lazy=True, atomic=True), help="A file. [default: stdout]"
)
@_log_option
def export(form: Literal["json", "csv"], output: TextIO | None, folder: Path | None) -> None:
    """Copies all records out, as one JSON array or as CSV."""
    with _log(folder, as_json=False) as log:
        count = log.export(output or sys.stdout, form)
    if output is not None:
        click.echo(f"{_records(count)} written to {output.name}", err=True)


@contextmanager
def _log(folder: Path | None, *, as_json: bool) -> Generator[AuditLog]:
    """The log; a missing one is wrong usage (2), one that cannot be read a failure (1)."""
    chosen = folder if folder is not None else state_dir() / "audit"
    if not (chosen / RECORDS_FILE).exists():
        missing = AuditError(
            f"there is no audit log in {chosen}", way_out="ask something first, or name its folder with --log"
        )
        _fail(missing, as_json=as_json, code=2)
    log = AuditLog(chosen)
    try:
        yield log
    except AuditError as error:
        _fail(error, as_json=as_json, code=1)
    finally:
        log.close()


def _fail(error: AuditError, *, as_json: bool, code: int) -> NoReturn:
    if as_json:
        _print_json({"error": {"type": type(error).__name__, "message": str(error)}})
    else:
        click.echo(f"ringfence: {error}", err=True)
    sys.exit(code)


def _print_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print_verification(found: Verification) -> None:
    console = _console()
    verdict = "[green]whole[/]" if found.ok else "[bold red]not whole[/]"
    console.print(f"{verdict}: {_records(found.count)}", highlight=False)
    for problem in found.problems:
        console.print(f"  [red]{problem}[/]", highlight=False)
    for note in found.notes:
        console.print(f"  [yellow]note:[/] {note}", highlight=False)
    if found.head != GENESIS:
        console.print(f"head: {found.head}", highlight=False)
        click.echo("keep the head elsewhere; 'ringfence audit verify --head MAC' then shows a later cut", err=True)


def _table(records: Sequence[AuditRecord]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time", "outcome", "ring", "recipient", "task", "labels"):
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "ring"))
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("rules", overflow="fold")
    for record in records:
        table.add_row(*_cells(record))
    return table


def _cells(record: AuditRecord) -> Iterator[Text]:
    receipt = record.receipt
    outcome, ring = str(receipt.get("outcome")), str(receipt.get("ring") or "–")
    yield _text(datetime.fromtimestamp(record.time_s).astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    yield _text(outcome + _error(receipt), style=_OUTCOME_STYLES.get(outcome, ""))
    yield _text(ring, style=_RING_STYLES.get(ring, ""))
    yield _text("/".join(str(receipt[name]) for name in ("recipient", "model") if receipt.get(name)) or "–")
    yield _text(str(receipt.get("task")))
    yield _text(", ".join(map(str, receipt.get("labels") or ())) or "–")
    yield _text(_tokens(receipt))
    yield _text(", ".join(map(str, receipt.get("rules") or ())) or "–")


def _text(written: str, *, style: str = "") -> Text:
    """Text of the log: never read as markup, and no control character reaches the terminal."""
    from rich.text import Text  # noqa: PLC0415  (45 ms, and only a table needs it)

    return Text(
        "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in written),
        style=style,
    )


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


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415  (45 ms, and only text for people needs it)

    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(width=width, soft_wrap=False)


__all__ = ["audit"]
