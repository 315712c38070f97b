"""`ringfence policy check`: every fault and warning of a file, or where each label may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ringfence.cli import failure, terminal
from ringfence.cli.options import json_option, layer_option
from ringfence.cli.policy.shown import count, in_ring, joined, layers_in_force, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from ringfence.policy import Document, Fault, Policy, Report
    from ringfence.policy.reach import Way, Ways

_CONDITIONAL = "* under a condition; 'ringfence policy explain' decides for one request"
_CONSENT = "? only after a person consents"
_REDACTED = "(remove, mask, pseudonym) how it is redacted before it is sent"


@click.command()
@click.argument("file", type=click.Path())
@click.option("--strict", is_flag=True, help="Fail where there is a warning, too.")
@layer_option
@json_option()
def check(*, file: str, strict: bool, layers: tuple[str, ...], as_json: bool) -> None:
    """Checks FILE: every fault as `file:line:col: message`, in order, or where each label may go.

    Exit 0 if the file would load, 1 if it has faults (with --strict also for a warning), 2 if it cannot be read.
    """
    from ringfence.policy import check_file  # noqa: PLC0415  (help and completion read no policy)

    over = layers_in_force(layers)
    report = _with_detectors(check_file(file, layers=over))
    if as_json:
        terminal.write_json(_report_document(report, over), indent=2)
    else:
        _show_report(report)
    good = report.policy is not None and not (strict and report.warnings)
    click.get_current_context().exit(failure.DONE if good else failure.REFUSED)


def _with_detectors(report: Report) -> Report:
    """With a warning for each detector that is installed and cannot be loaded."""
    if report.policy is None:
        return report
    from dataclasses import replace  # noqa: PLC0415

    from ringfence.review.detectors import unloadable  # noqa: PLC0415  (loads plugins; only a whole file is worth it)

    return replace(report, warnings=(*report.warnings, *unloadable(report.policy.document)))


def _report_document(report: Report, layers: Sequence[Path]) -> dict[str, object]:
    from ringfence.policy.reach import reached  # noqa: PLC0415
    from ringfence.policy.warnings import find_hints  # noqa: PLC0415
    from ringfence.review.graph import budgets_document  # noqa: PLC0415

    found = report.policy
    return {
        "file": report.source,
        "layers": [str(path) for path in layers],
        "ok": found is not None,
        "policy": {"name": found.name, "digest": found.digest} if found else None,
        "faults": [_fault_document(fault) for fault in report.faults],
        "warnings": [_fault_document(warning) for warning in report.warnings],
        "hints": [hint.message for hint in find_hints(found.document)] if found else [],
        "invariants": [one.text for one in found.document.invariants] if found else [],
        "labels": reached(found.document) if found else {},
        "budgets": budgets_document(found.document) if found else [],
    }


def _fault_document(fault: Fault) -> dict[str, object]:
    return {"line": fault.at.line, "column": fault.at.column, "message": fault.message}


def _show_report(report: Report) -> None:
    for line in report.fault_lines:
        terminal.write(f"{terminal.harmless(line)}\n")
    for line in report.warning_lines:
        terminal.say(terminal.harmless(line))
    if report.policy is None:
        terminal.say(f"{count(len(report.faults), 'fault')}; the file would not load")
        return
    _show_policy(report.policy)
    _show_hints(report)


def _show_hints(report: Report) -> None:
    from ringfence.policy.warnings import find_hints  # noqa: PLC0415

    for hint in find_hints(report.policy.document) if report.policy else ():
        terminal.say(f"hint: {hint.message}", dim=True)
    if report.warnings:
        terminal.say(f"{count(len(report.warnings), 'warning')}; the file loads")


def _show_policy(policy: Policy) -> None:
    from ringfence.policy.reach import ways  # noqa: PLC0415

    terminal.write(f"policy '{terminal.harmless(policy.name)}' has no faults: {_counts(policy.document)}\n")
    found = {
        label: {name: way for name, way in reach.items() if not way.denied}
        for label, reach in ways(policy.document).items()
    }
    terminal.write_table(_reach_table(policy, found))
    shown = [way for reach in found.values() for way in reach.values()]
    if any(way.conditional for way in shown):
        terminal.say(_CONDITIONAL)
    if any(way.consent != "never" for way in shown):
        terminal.say(_CONSENT)
    if any(way.kinds for way in shown):
        terminal.say(_REDACTED)
    _show_budgets(policy)
    _show_invariants(policy)


def _counts(found: Document) -> str:
    counts = (
        count(len(found.recipients), "recipient"),
        count(len(found.labels), "label"),
        count(len(found.flow), "flow rule"),
        count(len(found.route), "route"),
        *((count(len(found.tests), "test"),) if found.tests else ()),
    )
    return ", ".join(counts)


def _show_budgets(policy: Policy) -> None:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    from ringfence.policy.words import budget_words  # noqa: PLC0415

    if not policy.document.budgets:
        return
    table = Table("budget", "of", "at most", box=None, pad_edge=False, header_style="bold")
    for one in policy.document.budgets:
        table.add_row(text(one.id), text(", ".join(sorted(one.of))), text(budget_words(one)))
    terminal.write("\n")
    terminal.write_table(table)


def _show_invariants(policy: Policy) -> None:
    invariants = policy.document.invariants
    if not invariants:
        return
    terminal.write("\nproved for every request\n")
    for one in invariants:
        terminal.write(f"  ✓ {terminal.harmless(one.text)}\n")
    terminal.say("the proof covers the rules, not the detectors")


def _reach_table(policy: Policy, found: Ways) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table("label", "may reach", box=None, pad_edge=False, header_style="bold")
    for label, reach in found.items():
        names = (in_ring(f"{name}{_marks(way)}", policy.recipients[name].ring) for name, way in reach.items())
        table.add_row(text(label), joined(names))
    return table


def _marks(way: Way) -> str:
    """`*? (pseudonym)`."""
    marks = f"{'*' if way.conditional else ''}{'' if way.consent == 'never' else '?'}"
    return f"{marks} ({' or '.join(way.kinds)})" if way.kinds else marks


__all__ = ["check"]
