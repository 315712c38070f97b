"""A table that loses nothing in a narrow window: a row for each thing where it fits, else a line for each fact."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.table import Table
from rich.text import Text

from ringfence.cli import terminal

NOTHING = "–"
"""Stands where there is nothing to say."""


def rows(names: Sequence[str], cells: Sequence[Sequence[Text]], *, right: Collection[str] = ()) -> Table:
    """The table of `cells`, a sequence for each thing, under `names`; those in `right` are numbers.

    INVARIANT: a narrow window changes the layout and leaves nothing out.
    """
    wide = _wide(names, cells, right)
    return wide if terminal.fits(wide) else _stacked(names, cells)


def _wide(names: Sequence[str], cells: Sequence[Sequence[Text]], right: Collection[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left")
    for row in cells:
        table.add_row(*row)
    return table


def _stacked(names: Sequence[str], cells: Sequence[Sequence[Text]]) -> Table:
    """The facts that there are, below one another; an empty line between two things."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for number, row in enumerate(cells):
        if number:
            table.add_row()
        for name, cell in zip(names, row, strict=True):
            if cell.plain.strip(NOTHING):
                table.add_row(name, cell)
    return table


__all__ = ["NOTHING", "rows"]
