"""What went where in some days: the records of an audit log added up. Content-free, as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, cast

from ringfence.privacy.audit.record import AuditRecord
from ringfence.recipient import RINGS

REFUSED = "refused"
"""Where a request went that reached nobody, in `Day.requests`."""

_NOT_SENT = frozenset({"plan", "connect"})


@dataclass(slots=True, kw_only=True)
class Place:
    """One recipient, and what reached it. `labels` and `tasks` count requests; `redactions` counts values, by label."""

    name: str
    ring: str
    provider: str
    model: str
    """Who ran it, and what, when it was asked last."""
    models: Counter[str] = field(default_factory=Counter[str])
    """The requests by `provider/model`: a policy may have named another one yesterday."""
    requests: int = 0
    failed: int = 0
    consented: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_bytes: int = 0
    cost_usd: float = 0.0
    labels: Counter[str] = field(default_factory=Counter[str])
    tasks: Counter[str] = field(default_factory=Counter[str])
    redactions: Counter[str] = field(default_factory=Counter[str])
    attestations: Counter[str] = field(default_factory=Counter[str])
    """The requests whose machine was attested, by what vouched for it."""
    last_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Day:
    """One day of this machine's calendar: how many requests reached a ring at most, and how many reached nobody."""

    date: date
    requests: Counter[str] = field(default_factory=Counter[str])


@dataclass(slots=True, kw_only=True)
class Summary:
    """All records written from `since_s` to before `until_s` (Unix seconds), added up.

    A request counts for the outermost ring that any attempt of it may have reached, and for every recipient that one
    may have: an attempt that ended while planning or connecting reached nobody.
    """

    since_s: float
    until_s: float
    requests: int = 0
    unreadable: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    rings: Counter[str] = field(default_factory=Counter[str])
    places: dict[tuple[str, str], Place] = field(default_factory=dict[tuple[str, str], Place])
    days: dict[date, Day] = field(default_factory=dict[date, Day])
    outward: list[AuditRecord] = field(default_factory=list[AuditRecord])
    """The requests that reached a partner, oldest first."""
    shadow_differences: int = 0
    policies: Counter[str] = field(default_factory=Counter[str])

    def recipients(self) -> list[Place]:
        """The places, from the outside in, the busiest first."""
        return sorted(self.places.values(), key=lambda place: (-RINGS.index(_ring(place)), -place.requests, place.name))

    def labels(self) -> dict[str, Counter[str]]:
        """For each label, how many requests with it reached each ring."""
        found: dict[str, Counter[str]] = {}
        for place in self.places.values():
            for label, count in place.labels.items():
                found.setdefault(label, Counter())[place.ring] += count
        return dict(sorted(found.items()))

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return {
            "since": self.since_s,
            "until": self.until_s,
            "requests": self.requests,
            "unreadable": self.unreadable,
            "outcomes": dict(self.outcomes),
            "rings": {ring: self.rings[ring] for ring in (*RINGS, REFUSED)},
            "recipients": [_place_dict(place) for place in self.recipients()],
            "labels": {label: dict(counts) for label, counts in self.labels().items()},
            "days": [{"date": day.date.isoformat(), **day.requests} for day in self.days.values()],
            "policies": dict(self.policies),
            "shadow_differences": self.shadow_differences,
        }


def summarize(records: Iterable[AuditRecord], *, since_s: float, until_s: float) -> Summary:
    """The summary of `records`, which were written in this time. One that is not of this version is only counted."""
    summary = Summary(since_s=since_s, until_s=until_s)
    _all_days(summary)
    for record in records:
        # INVARIANT: a record counts whole or not at all. What can be added to nothing can be added to any summary.
        try:
            _add(Summary(since_s=since_s, until_s=until_s), record)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
            summary.unreadable += 1
        else:
            _add(summary, record)
    return summary


def _all_days(summary: Summary) -> None:
    day, last = (datetime.fromtimestamp(time_s).date() for time_s in (summary.since_s, summary.until_s))  # noqa: DTZ006  (this machine's days)
    while day <= last:
        summary.days[day] = Day(date=day)
        day += timedelta(days=1)


def _add(summary: Summary, record: AuditRecord) -> None:
    receipt = record.receipt
    attempts = reached(receipt)
    rings = {str(attempt["ring"]) for attempt in attempts}
    ring = max(rings, key=RINGS.index) if rings else REFUSED
    outcome = str(receipt["outcome"])
    for attempt in attempts:
        _add_place(summary, record, attempt)
    summary.requests += 1
    summary.outcomes[outcome] += 1
    summary.rings[ring] += 1
    summary.policies[str(receipt["policy"])] += 1
    summary.shadow_differences += receipt.get("shadow") is not None
    day = datetime.fromtimestamp(record.time_s).date()  # noqa: DTZ006  (this machine's days)
    summary.days.setdefault(day, Day(date=day)).requests[ring] += 1
    if ring == "partner":
        summary.outward.append(record)


def reached(receipt: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The attempts of a request that may have sent something, one for each recipient."""
    attempts = cast("list[Mapping[str, Any]]", receipt["attempts"])
    sent = {str(one["recipient"]): one for one in attempts if _may_have_sent(one, receipt)}
    return list(sent.values())


def _may_have_sent(attempt: Mapping[str, Any], receipt: Mapping[str, Any]) -> bool:
    error, phase = attempt["error"], attempt["phase"]
    if error is None:
        return True
    if phase is None:
        # The gate refused, or somebody cancelled: only then may something have left, and the receipt tells.
        return error == "cancelled" and attempt["recipient"] == receipt["recipient"] and bool(receipt["input_bytes"])
    return phase not in _NOT_SENT


def _add_place(summary: Summary, record: AuditRecord, attempt: Mapping[str, Any]) -> None:
    receipt, name, ring = record.receipt, str(attempt["recipient"]), str(attempt["ring"])
    told = receipt["recipient"] == name
    place = summary.places.get((name, ring))
    if place is None:
        place = summary.places[name, ring] = Place(name=name, ring=ring, provider="", model="")
    if told:
        place.provider, place.model = str(receipt["provider"]), str(receipt["model"])
        place.models[f"{place.provider}/{place.model}"] += 1
        place.input_tokens += int(receipt["input_tokens"] or 0)
        place.output_tokens += int(receipt["output_tokens"] or 0)
        place.cost_usd += float(receipt["cost_usd"] or 0)
        place.consented += bool(receipt["consented"])
        place.attestations.update([str(receipt["attestation"])] if receipt.get("attestation") else [])
        place.redactions.update({str(label): int(count) for label, count in receipt["redactions"].items()})
    place.requests += 1
    place.failed += attempt["error"] is not None
    place.input_bytes += int(receipt["input_bytes"] or 0)
    place.labels.update(str(label) for label in receipt["labels"])
    place.tasks[str(receipt["task"])] += 1
    place.last_s = max(place.last_s, record.time_s)


def _ring(place: Place) -> Any:
    return place.ring


def _place_dict(place: Place) -> dict[str, Any]:
    counts = {name: getattr(place, name) for name in Place.__dataclass_fields__}
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in counts.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


__all__ = ["REFUSED", "Day", "Place", "Summary", "reached", "summarize"]
