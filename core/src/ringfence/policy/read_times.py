"""A condition on time in the file → the days and minutes that it holds for, and the zone that they are in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.policy import fields
from ringfence.policy.conditions import TimeIn
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import DAYS, TIME
from ringfence.policy.place import Position
from ringfence.policy.times import MINUTES_OF_A_DAY, UTC_ZONE, zone_exists, zone_named_like
from ringfence.policy.tree import Entry, Node, Scalar, kind

_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_EVERY_DAY: Final = frozenset(range(len(DAYS)))


@dataclass(frozen=True, slots=True)
class TimeWritten:
    """A condition on time, and the zone that it is in."""

    condition: TimeIn
    zone: str
    assumed: bool
    """Whether the file names no zone for it."""


def read_time(node: Node, where: str, faults: Faults) -> TimeWritten | None:
    """The condition; `None`, with a fault noted, where it cannot be read."""
    before = len(faults.found)
    found = fields.entries(node, where, TIME, faults)
    if found is None:
        return None
    if not found.keys() - {"zone"} and len(faults.found) == before:
        faults.add(node.at, f'{where} needs days, from or to, such as {{days: [mon, fri], from: "08:00"}}.')
    days = _days(found["days"].value, f"{where}.days", faults) if "days" in found else _EVERY_DAY
    start = _minute(found, "from", where, faults)
    end = _minute(found, "to", where, faults)
    if start == MINUTES_OF_A_DAY:
        faults.add(found["from"].value.at, f'{where}.from must be before 24:00. Write "00:00".')
    if start is not None and start == end:
        faults.add(node.at, f"{where} begins and ends at the same time. Leave out from and to for the whole day.")
    zone = _zone(found["zone"].value, f"{where}.zone", faults) if "zone" in found else UTC_ZONE
    if zone is None or len(faults.found) > before:
        return None
    return TimeWritten(TimeIn(days, start or 0, end or MINUTES_OF_A_DAY), zone, assumed="zone" not in found)


def _days(node: Node, where: str, faults: Faults) -> frozenset[int]:
    found = fields.names(node, where, faults, "[mon, fri]") or ()
    written = [fields.one_of(name, at, where, DAYS, faults) for name, at in found]
    return frozenset(DAYS.index(day) for day in written if day is not None)


def _minute(found: Mapping[str, Entry], key: str, where: str, faults: Faults) -> int | None:
    """The minute of the day; `None` where the key is not there, or with a fault noted."""
    if key not in found:
        return None
    node = found[key].value
    written = node.value if isinstance(node, Scalar) else None
    time = _TIME.fullmatch(written) if isinstance(written, str) else None
    minute = -1 if time is None else int(time[1]) * 60 + int(time[2])
    if time is None or int(time[2]) > 59 or minute > MINUTES_OF_A_DAY:  # noqa: PLR2004
        shown = quoted(written) if isinstance(written, str) else kind(node)
        faults.add(node.at, f'{where}.{key} must be a time of day such as "08:00", not {shown}.')
        return None
    return minute


def _zone(node: Node, where: str, faults: Faults) -> str | None:
    found = fields.text(node, where, faults)
    if found is None or zone_exists(found):
        return found
    like = zone_named_like(found)
    hint = f"Did you mean {quoted(like)}?" if like else "Write one such as Europe/Zurich."
    faults.add(node.at, f"{quoted(found)} is not a time zone that is known here. {hint}")
    return None


def one_zone(zones: Mapping[str, Position], faults: Faults) -> str | None:
    """The zone of all conditions on time; a second one is a fault."""
    first = next(iter(zones), None)
    if first is None:
        return None
    for zone, at in zones.items():
        if zone != first:
            line = zones[first].line
            says = f"this time is in {zone}, and the one{f' on line {line}' if line else ' before it'} in {first}"
            faults.add(at, f"{says}. A policy has one time zone: write the same zone: in each.")
    return first
