"""The sentences of a report, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from ringfence.privacy.audit import Verification
from ringfence.privacy.audit.summary import REFUSED, Place, Summary
from ringfence.receipt import DEVELOPMENT

STAYED = {
    "device": "stayed on this device",
    "house": "went to in-house servers",
    "partner": "went to partners",
    REFUSED: "reached nobody",
}
"""What became of requests, by the outermost ring that they reached."""


NOTHING = "–"
"""Stands where there is nothing to say, as in every table."""

LEGEND = {"device": "device", "house": "house", "partner": "partner", REFUSED: "nobody"}


def headline(summary: Summary) -> str:
    """How many requests there were, in one sentence."""
    period = f"{day(summary.since_s)} to {day(summary.until_s)}"
    if not summary.requests:
        return f"{period}: no requests"
    parts = [f"{summary.rings[ring]:,} {what}" for ring, what in STAYED.items() if summary.rings[ring]]
    return f"{period}: {counted(summary.requests, 'request')} – {', '.join(parts)}"


def remarks(summary: Summary, found: Verification) -> Iterator[str]:
    """What a person should know besides."""
    if found.ok:
        yield f"the log is whole: {counted(found.count, 'record')} verified"
    else:
        yield f"the log is NOT whole: {found.problems[0]} (see: ringfence audit verify)"
    if found.removed.sequence:
        yield f"{counted(found.removed.sequence, 'older record')} went by retention"
    if summary.unreadable:
        yield f"{counted(summary.unreadable, 'record')} could not be read"
    if summary.shadow_differences:
        yield f"the shadow policy would have decided otherwise {summary.shadow_differences:,} times"


def counted(number: int, what: str) -> str:
    """`3 requests`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def day(time_s: float) -> str:
    """The date, in this machine's time zone."""
    return datetime.fromtimestamp(time_s).astimezone().strftime("%Y-%m-%d")


def moment(time_s: float) -> str:
    """Date and time to the minute, in this machine's time zone; a dash where there is none."""
    if not time_s:
        return NOTHING
    return datetime.fromtimestamp(time_s).astimezone().strftime("%Y-%m-%d %H:%M")


def model(place: Place) -> str:
    """Who runs what there, and how many requests each model of several had, the busiest first."""
    if len(place.models) > 1:
        busiest = sorted(place.models.items(), key=lambda one: (-one[1], one[0]))
        return ", ".join(f"{name} {count:,}" for name, count in busiest)
    return next(iter(place.models), NOTHING)


def cost(place: Place) -> str:
    """What it cost, in dollars; a dash where nothing is known to."""
    return f"${place.cost_usd:,.4f}".rstrip("0").rstrip(".") if place.cost_usd else NOTHING


def tokens(place: Place) -> str:
    """Tokens in and out."""
    return f"{place.input_tokens:,} → {place.output_tokens:,}"


def ring(place: Place) -> str:
    """The ring, and `DEVELOPMENT` where some machine there proved nothing."""
    unproved = any(label.startswith(DEVELOPMENT) for label in place.attestations)
    return f"{place.ring} {DEVELOPMENT}" if unproved else place.ring


def attested(place: Place) -> str:
    """What vouched for the machines that were asked, and for how many requests."""
    return ", ".join(f"{label} {count:,}" for label, count in sorted(place.attestations.items())) or NOTHING


def redactions(counts: Mapping[str, int]) -> str:
    """How many values were redacted, by label."""
    return ", ".join(f"{count:,} {label}" for label, count in sorted(counts.items())) or NOTHING


__all__ = [
    "LEGEND",
    "NOTHING",
    "STAYED",
    "attested",
    "cost",
    "counted",
    "day",
    "headline",
    "model",
    "moment",
    "redactions",
    "remarks",
    "ring",
    "tokens",
]
