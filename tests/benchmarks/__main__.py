"""`python -m tests.benchmarks`: the budgets of the design, measured here and now, as one table.

It never fails for a figure: what is over its bar says so in the table, and a person judges.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.benchmarks.chart import write_chart
from tests.benchmarks.row import Row, shown
from tests.benchmarks.setting import Setting
from tests.benchmarks.suite import CORE, HOUSE, MODEL, measure, model_is_here

METHOD = (
    "Times of the core are CPU time of the process, medians of rounds that take turns (the least in brackets); other "
    "processes on the machine make them larger, never smaller. Times with the model are wall time, as a person waits."
)
_COLOURS = {"ok": "green", "over": "red", "no bar": "dim"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes the chart if one is asked for."""
    given = _parser().parse_args(arguments)
    progress = Console(stderr=True)
    rows: list[Row] = []
    for name, found in measure(_names(given), Setting(quick=given.quick)):
        rows += found
        progress.print(f"[dim]measured {name}[/dim]", highlight=False)
    if given.json:
        print(json.dumps({"machine": machine(), "method": METHOD, "rows": [row.as_dict() for row in rows]}, indent=1))
    else:
        _print(rows)
    if given.chart is not None:
        write_chart(given.chart, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    groups = [*CORE, *MODEL, *HOUSE]
    parser.add_argument("--only", action="append", choices=groups, metavar="NAME", help=f"one of {', '.join(groups)}")
    parser.add_argument("--quick", action="store_true", help="few rounds: whether every row runs, not how fast")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="also write the chart, an SVG, to FILE")
    model = "with the embedded model; by default if it is on this machine"
    parser.add_argument("--model", action=argparse.BooleanOptionalAction, default=None, help=model)
    return parser


def _names(given: argparse.Namespace) -> list[str]:
    if given.only:
        return list(given.only)
    with_model = model_is_here() if given.model is None else given.model
    return [*CORE, *(MODEL if with_model else ())]


def machine() -> dict[str, str | int | None]:
    """Where the figures come from."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def _print(rows: Sequence[Row]) -> None:
    facts = machine()
    title = f"Python {facts['python']}, {facts['system']}, {facts['cores']} cores"
    table = Table(title=title, caption=METHOD, caption_justify="left", title_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("bar", justify="right")
    table.add_column("of bar", justify="right")
    table.add_column("", justify="left")
    group = None
    for row in rows:
        if group not in (None, row.group):
            table.add_section()
        group = row.group
        measured = shown(row.value, row.unit) + (f" ({shown(row.lowest, row.unit)})" if row.lowest is not None else "")
        share = f"{row.of_bar:.2f}" if row.of_bar is not None else ""
        what = row.what + (f"\n[dim]{row.note}[/dim]" if row.note else "")
        verdict = f"[{_COLOURS[row.verdict]}]{row.verdict if row.bar else ''}[/]"
        table.add_row(what, measured, row.bar.text if row.bar else "", share, verdict)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    sys.exit(main())
