"""`ringfence doctor`: what works on this machine, what does not, and how to mend it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ringfence.cli import interrupts, options, terminal
from ringfence.cli.failure import REFUSED

if TYPE_CHECKING:
    from rich.table import Table

    from ringfence.provider import Finding

_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red")}


@click.command()
@options.policy_option
@options.json_option()
def doctor(*, policy: str | None, as_json: bool) -> None:
    """Looks at everything a request needs: each provider and detector is loaded, no model is.

    Exit 0 if nothing is at fault, else 1. A warning is no fault.
    """
    from ringfence.cli.checks import all_findings  # noqa: PLC0415  (`--help` waits for none of it)

    findings = interrupts.run(all_findings(policy))
    sound = all(finding.level != "fault" for finding in findings)
    if as_json:
        terminal.write_json({"ok": sound, "findings": [asdict(finding) for finding in findings]}, indent=2)
    else:
        terminal.write_table(_table(findings))
        faults = sum(finding.level == "fault" for finding in findings)
        terminal.say("nothing is at fault" if sound else f"{faults} at fault", fg="green" if sound else "red")
    if not sound:
        sys.exit(REFUSED)


def _table(findings: list[Finding]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        text = Text(finding.detail)
        if finding.way_out:
            text.append(f"\ntry: {finding.way_out}", style="bold")
        table.add_row(Text(sign, style=style), Text(finding.subject), text)
    return table


__all__ = ["doctor"]
