"""A report in the terminal: a bar for each day, and a row for each recipient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ringfence.cli import terminal
from ringfence.cli.report import words
from ringfence.cli.rows import NOTHING, rows
from ringfence.privacy.audit.summary import REFUSED
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from ringfence.privacy.audit.summary import Day, Place, Summary

_MOST_BAR_CHARACTERS = 40
_FEWEST_BAR_CHARACTERS = 8
_BESIDE_THE_BAR = 30
"""Columns of a row that are no bar: the day, the number, the gaps, and a character for each ring that is rounded up."""

_STYLES = {**terminal.RING_STYLES, REFUSED: "bright_black"}
_MARKS = {"device": "█", "house": "▓", "partner": "▒", REFUSED: "░"}
_NUMBERS = frozenset({"requests", "consented", "cost"})
_NAMES = (
    "recipient",
    "ring",
    "requests",
    "labels",
    "consented",
    "redacted",
    "tokens in → out",
    "cost",
    "model",
    "attested",
    "last",
)


def bars(summary: Summary) -> Table:
    """A row a day: a bar whose pieces are the rings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("day", no_wrap=True)
    table.add_column("requests", justify="right")
    table.add_column(_legend(summary), no_wrap=True)
    longest = max(day.requests.total() for day in summary.days.values())
    most = min(_MOST_BAR_CHARACTERS, max(_FEWEST_BAR_CHARACTERS, terminal.columns() - _BESIDE_THE_BAR))
    for day in summary.days.values():
        table.add_row(day.date.strftime("%a %Y-%m-%d"), f"{day.requests.total():,}", _bar(day, longest, most))
    return table


def _legend(summary: Summary) -> Text:
    """What each mark means: beside one another where there is room for it."""
    known = [
        Text(f"{_MARKS[ring]} {words.LEGEND[ring]}", style=_STYLES[ring])
        for ring in (*RINGS, REFUSED)
        if summary.rings[ring]
    ]
    in_one_line = Text("  ").join(known)
    return in_one_line if terminal.columns() - _BESIDE_THE_BAR >= len(in_one_line) else Text("\n").join(known)


def _bar(day: Day, longest: int, most: int) -> Text:
    bar = Text()
    for ring in (*RINGS, REFUSED):
        count = day.requests[ring]
        # A request is never too few to be seen.
        size = max(1, round(count * most / longest)) if count else 0
        bar.append(_MARKS[ring] * size, style=_STYLES[ring])
    return bar


def recipients(summary: Summary) -> Table:
    """Each recipient that anything reached, partners first."""
    return rows(_NAMES, [_cells(place) for place in summary.recipients()], right=_NUMBERS)


def _cells(place: Place) -> list[Text]:
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(place.labels.items()))
    failed = f" ({place.failed:,} failed)" if place.failed else ""
    plain = (
        f"{place.requests:,}{failed}",
        labels,
        f"{place.consented:,}" if place.ring == "partner" else NOTHING,
        words.redactions(place.redactions),
        words.tokens(place),
        words.cost(place),
        words.model(place),
        words.attested(place),
        words.moment(place.last_s),
    )
    ring = Text(words.ring(place), style=_STYLES.get(place.ring, ""))
    return [_text(place.name), ring, *map(_text, plain)]


def _text(written: str) -> Text:
    """Text of the log: never read as markup, and no control character reaches the terminal."""
    return Text(" ".join(terminal.harmless(written).split()))


__all__ = ["bars", "recipients"]
