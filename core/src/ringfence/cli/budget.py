"""`ringfence budget`: what was spent of the budgets of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from ringfence.cli import terminal
from ringfence.cli.options import json_option, policy_option
from ringfence.routing.ledger import Ledger

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ringfence.routing.budget import BudgetState


@click.group()
def budget() -> None:
    """The budgets of a policy: a recipient whose budget is spent is passed over until the budget resets."""


@budget.command("list")
@policy_option
@json_option()
def list_budgets(*, policy: str | None, as_json: bool) -> None:
    """Shows what was spent in the present period, and what is reserved.

    Reserved is the most that requests under way can cost, and what those had reserved whose process died: that counts
    as spent.
    """
    from ringfence.assistant.setup import find_policy  # noqa: PLC0415  (only this command needs it)

    rules = find_policy(policy)
    with closing(Ledger()) as ledger:
        states = ledger.states(rules.name, rules.document.budgets)
    if as_json:
        found = [{**asdict(state), "of": list(state.of)} for state in states]
        terminal.write_json({"policy": {"name": rules.name, "digest": rules.digest}, "budgets": found}, indent=2)
    elif states:
        terminal.write_table(_table(states))
    else:
        terminal.say(f"policy '{rules.name}' has no budgets (try: --policy FILE)")


def _table(states: Sequence[BudgetState]) -> Table:
    from ringfence.cli.rows import rows  # noqa: PLC0415  (rich takes 45 ms, and only a table needs it)

    names = ("id", "of", "spent", "reserved", "limit", "per", "resets")
    return rows(names, [_row(state) for state in states], right=("spent", "reserved", "limit"))


def _row(state: BudgetState) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    full = state.spent + state.reserved >= state.limit
    cells = _cells(state).items()
    return [Text(written, style="yellow" if full and name == "spent" else "") for name, written in cells]


def _cells(state: BudgetState) -> dict[str, str]:
    again = None if state.resets_at is None else datetime.fromtimestamp(state.resets_at).astimezone()
    return {
        "id": state.id,
        "of": ", ".join(state.of),
        "spent": _amount(state.spent, state.unit),
        "reserved": _amount(state.reserved, state.unit),
        "limit": f"{_amount(state.limit, state.unit)} {state.unit}",
        "per": state.per,
        "resets": "never" if again is None else f"{again:%Y-%m-%d %H:%M}",
    }


def _amount(amount: float, unit: str) -> str:
    return f"{amount:,.2f}" if unit == "USD" else f"{amount:,.0f}"


__all__ = ["budget"]
