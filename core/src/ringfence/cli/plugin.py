"""`ringfence plugin`: a new provider that works from the start, and the conformance kit for one that is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringfence.cli import failure, terminal
from ringfence.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ringfence.scaffold import Kind
    from ringfence.testing.kit.report import Line
    from ringfence.testing.kit.running import Rule

_STYLES = {"passed": "green", "failed": "red", "expected failure": "yellow", "skipped": "red"}


@click.group()
def plugin() -> None:
    """Write a provider plugin, and test it."""


@plugin.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["http", "local"]),
    default="http",
    show_default=True,
    help="Whether it asks a service over the network, or answers on this machine.",
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), metavar="PATH", help="Where. [default: ./ringfence-NAME]"
)
@json_option()
def new(*, name: str, kind: Kind, folder: Path | None, as_json: bool) -> None:
    """Writes a provider NAME that works and passes the conformance kit, to go on from.

    The folder is written whole or not at all, and must not exist or be empty.
    """
    from ringfence.scaffold import make_provider  # noqa: PLC0415  (help and completion write nothing)

    target = folder or Path(f"ringfence-{name.replace('_', '-')}")
    made = make_provider(name, kind, target)
    if as_json:
        paths = [path.relative_to(target).as_posix() for path in made]
        terminal.write_json({"name": name, "kind": kind, "path": str(target), "files": paths}, indent=2)
        return
    terminal.write(f"{target}\n")
    terminal.say("it passes the kit as it stands:")
    terminal.say(f"  cd {target}")
    terminal.say("  pip install -e '.[test]'")
    terminal.say("  ringfence plugin test")


@plugin.command()
@click.argument("target", required=False, metavar="[NAME|PATH]")
@json_option()
def test(*, target: str | None, as_json: bool) -> None:
    """Runs the conformance kit, and shows what became of each rule.

    PATH is a provider's folder or a test module; left out, it is this folder. NAME is an installed provider that needs
    no network. Exit 0 if every rule is kept, 1 if one is broken, 2 if there is nothing to test.
    """
    try:
        from ringfence.testing.kit.running import by_rule, run_kit  # noqa: PLC0415  (brings pytest)
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    lines = run_kit(target)
    rules = by_rule(lines)
    if as_json:
        terminal.write_json({"passed": all(rule.kept for rule in rules), "rules": _documents(rules)}, indent=2)
    else:
        terminal.write_table(_table(rules))
        _say_the_end(rules, lines)
    click.get_current_context().exit(failure.DONE if all(rule.kept for rule in rules) else failure.REFUSED)


def _missing(error: ModuleNotFoundError) -> Exception:
    """What it means that a package is not there: the kit needs pytest, and nothing else that is not installed."""
    from ringfence.errors import Unavailable  # noqa: PLC0415

    if (error.name or "").partition(".")[0] not in {"pytest", "_pytest", "httpx2"}:
        return error
    return Unavailable("the conformance kit needs pytest", reason="no_package", way_out="pip install 'ringfence[kit]'")


def _documents(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [
        {
            "suite": rule.suite,
            "provider": rule.provider,
            "rule": rule.name,
            "says": rule.says,
            "result": rule.result,
            "cases": [{"case": one["case"], "result": one["result"], "detail": one["detail"]} for one in rule.lines],
        }
        for rule in rules
    ]


def _table(rules: Sequence[Rule]) -> Table:
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len({rule.suite for rule in rules}) > 1
    if several:
        table.add_column("suite", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("cases", justify="right", no_wrap=True)
    table.add_column("rule", overflow="fold")
    for rule in rules:
        passed = sum(line["result"] == "passed" for line in rule.lines)
        row = [
            Text(rule.result, style=_STYLES[rule.result]),
            Text(f"{passed}/{len(rule.lines)}"),
            Text(rule.says),
        ]
        table.add_row(*([Text(rule.suite), *row] if several else row))
    return table


def _say_the_end(rules: Sequence[Rule], lines: Sequence[Line]) -> None:
    for rule in rules:
        for line in rule.lines:
            if line["result"] != "passed":
                case = f"[{line['case']}]" if line["case"] else ""
                style = _STYLES[line["result"]]
                terminal.say(f"{line['rule']}{case}: {terminal.harmless(line['detail'])}", fg=style)
    broken = sum(not rule.kept for rule in rules)
    cases = f"{len(lines)} cases of {len(rules)} rules"
    terminal.say(f"{cases}: {f'{broken} rules are broken' if broken else 'every rule is kept'}", bold=True)


__all__ = ["plugin"]
