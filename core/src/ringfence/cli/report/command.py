"""The command `ringfence report`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli import terminal
from ringfence.cli.audit import created, opened_log
from ringfence.cli.options import json_option
from ringfence.cli.report.words import headline, remarks
from ringfence.privacy.audit.summary import Summary, summarize

if TYPE_CHECKING:
    from ringfence.privacy.audit import Verification

_SPAN = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNIT_S = {"h": 3_600, "d": 86_400, "w": 604_800}


def _span(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A time such as 12h, 7d or 4w, in seconds."""
    found = _SPAN.fullmatch(value)
    if found is None:
        raise click.BadParameter(f"{value[:20]!r} is no time such as 12h, 7d or 4w", ctx=ctx, param=param)
    return int(found[1]) * _UNIT_S[found[2]]


@click.command()
@click.option("--since", "span_s", callback=_span, default="7d", show_default=True, help="How far back: 12h, 7d, 4w.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also writes one page with a chart; it needs nothing else, and holds no content either.",
)
@json_option()
@click.option("--log", "folder", type=click.Path(path_type=Path), metavar="FOLDER", help="The folder of the audit log.")
def report(*, span_s: int, page: Path | None, as_json: bool, folder: Path | None) -> None:
    """Shows what went where this week: how many requests reached which ring, with which labels.

    It is made of the audit log, so it holds names and counts and never content. Exit 1 if the log does not verify.
    """
    until_s = time.time()
    with opened_log(folder) as log:
        found = log.verify()
        summary = summarize(log.records(since=until_s - span_s), since_s=until_s - span_s, until_s=until_s)
    if page is not None:
        from ringfence.cli.report.page import html_page  # noqa: PLC0415  (only where a page is wanted)

        with created(page, "--html") as file:
            file.write(html_page(summary, found))
    if as_json:
        terminal.write_json({**summary.as_dict(), "verified": found.as_dict()}, indent=2)
    else:
        _show(summary, found)
    if page is not None:
        terminal.say(f"the page is {page}")
    click.get_current_context().exit(0 if found.ok else 1)


def _show(summary: Summary, found: Verification) -> None:
    from ringfence.cli.report.tables import bars, recipients  # noqa: PLC0415  (tables load rich)

    terminal.write(f"{headline(summary)}\n")
    if summary.requests:
        terminal.write("\n")
        terminal.write_table(bars(summary))
        terminal.write("\n")
        terminal.write_table(recipients(summary))
    for remark in remarks(summary, found):
        terminal.say(remark, fg=None if found.ok else "red")


__all__ = ["report"]
