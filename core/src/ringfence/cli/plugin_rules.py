"""What `ringfence plugin test` shows: how far it is, the groups of rules, and each rule that is broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ringfence.cli import terminal

if TYPE_CHECKING:
    from rich.table import Table

    from ringfence.testing.kit.running import Rule

_STYLES = {"passed": "green", "failed": "red", "expected failure": "yellow", "skipped": "red"}
_WORST_FIRST = ("failed", "skipped", "expected failure", "passed")
_CLEAR = "\r\x1b[K"


@contextmanager
def progress() -> Generator[Callable[[int, int], None]]:
    """A line on stderr that says how far the kit is, as long as it runs; nothing where that is no terminal."""
    if not terminal.is_terminal(sys.stderr):
        yield lambda done, of: None  # noqa: ARG005
        return
    try:
        yield lambda done, of: terminal.say(f"{_CLEAR}{done} of {of} cases", newline=False, dim=True)
    finally:
        terminal.say(_CLEAR, newline=False)


def documents(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules as JSON data."""
    return [
        {
            "suite": rule.suite,
            "group": rule.group,
            rule.plugin: rule.of,
            "rule": rule.name,
            "says": rule.says,
            "result": rule.result,
            "cases": [{"case": one["case"], "result": one["result"], "detail": one["detail"]} for one in rule.lines],
        }
        for rule in rules
    ]


def table(rules: Iterable[Rule]) -> Table:
    """A row for each group of rules: how many are kept, over how many cases, and what they are about."""
    from rich.table import Table  # noqa: PLC0415  (45 ms, and only a table needs it)
    from rich.text import Text  # noqa: PLC0415

    groups: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        groups.setdefault((rule.suite, rule.group), []).append(rule)
    several = len({suite for suite, _ in groups}) > 1
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*(["suite"] if several else []), "group", "result"):
        made.add_column(name, no_wrap=True)
    for name in ("rules", "cases"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("what they are about", overflow="fold")
    for (suite, group), members in groups.items():
        result = min((rule.result for rule in members), key=_WORST_FIRST.index)
        lines = [line for rule in members for line in rule.lines]
        made.add_row(
            *([Text(suite)] if several else []),
            Text(group),
            Text(result, style=_STYLES[result]),
            f"{sum(rule.kept for rule in members)}/{len(members)}",
            f"{sum(line['result'] == 'passed' for line in lines)}/{len(lines)}",
            Text(members[0].about),
        )
    return made


def say_the_end(rules: Sequence[Rule], target: str | None) -> None:
    """Each rule that did not pass: what it says, what happened, and how to go on; then the sum."""
    for rule in rules:
        _say_rule(rule)
    broken = [rule for rule in rules if not rule.kept]
    if broken:
        terminal.say(f"{terminal.styled('try:', bold=True)} {_way_out(broken, target)}")
    cases = f"{sum(len(rule.lines) for rule in rules)} cases of {len(rules)} rules"
    found = f"{len(broken)} {'rule is' if len(broken) == 1 else 'rules are'} broken" if broken else "every rule is kept"
    terminal.say(f"{cases}: {found}", bold=True)


def _say_rule(rule: Rule) -> None:
    wanting = [line for line in rule.lines if line["result"] != "passed"]
    if wanting:
        terminal.say(f"{rule.group}: {rule.says}", bold=True)
    for line in wanting:
        case = f"[{line['case']}]" if line["case"] else ""
        terminal.say(f"  {rule.name}{case}: {terminal.harmless(line['detail'])}", fg=_STYLES[line["result"]])


def _way_out(broken: Sequence[Rule], target: str | None) -> str:
    """Where to see more, and what to do about a rule that is known to be broken."""
    from pathlib import Path  # noqa: PLC0415
    from shlex import quote  # noqa: PLC0415

    if target is not None and not Path(target).exists():
        return f"tell the author of {target}, or upgrade it"
    names = " or ".join(dict.fromkeys(rule.name for rule in broken[:3]))
    shown = f"python -m pytest {quote(target or '.')} -k {quote(names)}"
    return f"{shown}, which shows where; for a known fault xfail = {{{broken[0].name!r}: 'why'}} in the class"


__all__ = ["documents", "progress", "say_the_end", "table"]
