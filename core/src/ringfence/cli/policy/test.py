"""`ringfence policy test`: the file's own tests, and the rules that they cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ringfence.cli import failure, terminal
from ringfence.cli.options import json_option, layer_option
from ringfence.cli.policy.shown import count, layers_in_force, text

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.review.coverage import RuleCoverage
    from ringfence.review.tests import TestResult, TestRun


_ALL = 100


def _percent(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    try:
        number = None if value is None else float(value)
    except ValueError:
        number = -1.0
    # NaN is in no range.
    if number is not None and not 0 <= number <= _ALL:
        raise click.BadParameter("write a number from 0 to 100, such as 90", ctx, param)
    return number


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "--min-coverage",
    callback=_percent,
    metavar="PERCENT",
    help="Fail where the tests cover a smaller share of the rules.",
)
@layer_option
@json_option()
def test(*, file: str, min_coverage: float | None, layers: Sequence[str], as_json: bool) -> None:
    """Runs the tests under `tests:` in FILE, and shows which rules they cover.

    Each request is labelled by the installed detectors and decided as a real one; nothing is sent. Exit 0 if all
    pass, 1 if one fails, there is none, too few rules are covered or FILE has faults, 2 if FILE cannot be read.
    """
    from ringfence.policy import load_policy  # noqa: PLC0415  (help and completion read no policy)
    from ringfence.review.tests import as_document, run_tests  # noqa: PLC0415

    run = run_tests(load_policy(file, layers=layers_in_force(layers)))
    enough = min_coverage is None or run.coverage.reaches(min_coverage)
    if as_json:
        terminal.write_json(
            {"file": file, **as_document(run), "min_coverage": min_coverage, "enough": enough}, indent=2
        )
    else:
        _show(run, min_coverage, enough=enough)
    click.get_current_context().exit(failure.DONE if run.passed and enough else failure.REFUSED)


def _show(run: TestRun, min_coverage: float | None, *, enough: bool) -> None:
    if run.results:
        terminal.write_table(_results_table(run))
        terminal.write("\n")
    terminal.write_table(_coverage_table(run))
    terminal.write("\n")
    terminal.write(f"{_summary(run)}\n")
    if not run.results:
        terminal.say(f"policy '{terminal.harmless(run.policy)}' has no tests, so nothing was tried")
        terminal.say("try: a section tests: with a name, a request and what to expect of it")
    if not enough:
        covered = f"{run.coverage.covered} of {len(run.coverage.rules)} rules"
        terminal.say(f"the tests cover {covered}, which is less than {min_coverage:g} %")


def _summary(run: TestRun) -> str:
    passed = sum(result.passed for result in run.results)
    failed = len(run.results) - passed
    outcome = f"{count(passed, 'test')} passed" + (f", {failed} failed" if failed else "")
    covered = f"{run.coverage.covered} of {count(len(run.coverage.rules), 'rule')} covered"
    # Rounded down: 100 % is said only where every rule is covered.
    return f"{outcome}; {covered} ({int(run.coverage.percent)} %)"


def _results_table(run: TestRun) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for number, result in enumerate(run.results, 1):
        mark = text("✓", "green") if result.passed else text("✗", "bold red")
        table.add_row(mark, text(str(number), "dim"), text(result.test.name, "" if result.passed else "bold"))
        if not result.passed:
            table.add_row("", "", _details(result))
    return table


def _details(result: TestResult) -> Table:
    """What a failed test expected, what came and why, in aligned lines."""
    from rich.table import Table  # noqa: PLC0415

    details = Table.grid(padding=(0, 2))
    details.add_column(no_wrap=True)
    details.add_column(overflow="fold")
    for name, value in _detail_lines(result):
        details.add_row(name, value)
    return details


def _detail_lines(result: TestResult) -> Iterator[tuple[Text, Text]]:
    if result.test.at.line is not None:
        yield text("line", "dim"), text(str(result.test.at.line), "dim")
    for problem in result.problems:
        yield text("problem", "bold"), text(problem, "yellow")
    for one in result.mismatches:
        yield text("expected", "bold"), text(f"{one.expect}: {one.wanted}")
        yield text("came", "bold"), text(one.found, "red")
    # Two differences often have one cause.
    causes = {name: reason for one in result.mismatches for name, reason in one.why.items()}
    for recipient, reason in causes.items():
        for sentence in reason.split("; "):
            yield text("why", "dim"), text(f"{recipient}: {sentence}", "dim")


def _coverage_table(run: TestRun) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("covered by", overflow="fold")
    for rule in run.coverage.rules:
        table.add_row(text(rule.id), text(rule.kind), _covering(rule, [result.test.name for result in run.results]))
    return table


def _covering(rule: RuleCoverage, names: Sequence[str]) -> Text:
    """The numbers of the tests that cover `rule`."""
    if not rule.covered:
        return text("no test", "yellow")
    return text(", ".join(str(number) for number, name in enumerate(names, 1) if name in rule.tests))


__all__ = ["test"]
