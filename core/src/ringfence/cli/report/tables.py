"""A report in the terminal: a bar for each day, and a row for each recipient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ringfence.cli import terminal
from ringfence.cli.report import words
from ringfence.privacy.audit.summary import REFUSED
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from ringfence.privacy.audit.summary import Day, Place, Summary

_BAR_CHARACTERS = 40
_STYLES = {**terminal.RING_STYLES, REFUSED: "bright_black"}
_MARKS = {"device": "█", "house": "▓", "partner": "▒", REFUSED: "░"}
_LEAST_COLUMNS = {
    "recipient": 0,
    "ring": 0,
    "requests": 0,
    "labels": 0,
    "consented": 80,
    "redacted": 90,
    "tokens in → out": 100,
    "cost": 100,
    "model": 130,
    "attested": 140,
    "last": 150,
}


def bars(summary: Summary) -> Table:
    """A row a day: a bar whose pieces are the rings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("day", no_wrap=True)
    table.add_column("requests", justify="right")
    legend = Text("  ").join(
        Text(f"{_MARKS[ring]} {words.LEGEND[ring]}", style=_STYLES[ring])
        for ring in (*RINGS, REFUSED)
        if summary.rings[ring]
    )
    table.add_column(legend, no_wrap=True)
    longest = max(day.requests.total() for day in summary.days.values())
    for day in summary.days.values():
        table.add_row(day.date.strftime("%a %Y-%m-%d"), f"{day.requests.total():,}", _bar(day, longest))
    return table


def _bar(day: Day, longest: int) -> Text:
    bar = Text()
    for ring in (*RINGS, REFUSED):
        count = day.requests[ring]
        # A request is never too few to be seen.
        size = max(1, round(count * _BAR_CHARACTERS / longest)) if count else 0
        bar.append(_MARKS[ring] * size, style=_STYLES[ring])
    return bar


def recipients(summary: Summary) -> Table:
    """A row for each recipient that anything reached, partners first."""
    shown = terminal.fitting(_LEAST_COLUMNS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in shown:
        table.add_column(name, justify="right" if name in ("requests", "consented", "cost") else "left")
    for place in summary.recipients():
        cells = dict(zip(_LEAST_COLUMNS, _cells(place), strict=True))
        table.add_row(*(cells[name] for name in shown))
    return table


def _cells(place: Place) -> list[Text]:
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(place.labels.items()))
    failed = f" ({place.failed:,} failed)" if place.failed else ""
    plain = (
        f"{place.requests:,}{failed}",
        labels,
        f"{place.consented:,}" if place.ring == "partner" else "–",
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
