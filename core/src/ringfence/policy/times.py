"""Time as a policy reads it: minutes since Monday 00:00 in the zone that the file names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

MINUTES_OF_A_DAY: Final = 1_440
MINUTES_OF_A_WEEK: Final = 7 * MINUTES_OF_A_DAY
UTC_ZONE: Final = "UTC"


def minute_of_week(zone: str, unix_s: float) -> int:
    """The minute (0 … 10079) of the moment `unix_s` in `zone`, which exists on this machine.

    Raises:
        NotAZone: it does not.
    """
    from datetime import datetime  # noqa: PLC0415  (only a policy with a condition on time needs it)

    return _minute(datetime.fromtimestamp(unix_s, _zone(zone)))


def minute_of_moment(zone: str, written: str) -> int | None:
    """The minute of a moment in ISO 8601, which is one in `zone` where it has no offset; `None` if it is no moment.

    Raises:
        NotAZone: there is no such zone on this machine.
    """
    from datetime import datetime  # noqa: PLC0415  (as above)

    try:
        moment = datetime.fromisoformat(written)
        found = moment.replace(tzinfo=_zone(zone)) if moment.tzinfo is None else moment.astimezone(_zone(zone))
    except (ValueError, OverflowError):
        return None
    return _minute(found)


def zone_exists(zone: str) -> bool:
    """Whether this machine knows the time zone."""
    try:
        _zone(zone)
    except NotAZone:
        return False
    return True


def zone_named_like(written: str) -> str | None:
    """A zone of this machine whose city is called `written`."""
    return _cities().get(written.replace(" ", "_").casefold())


@cache
def _cities() -> Mapping[str, str]:
    """The zones by their cities, the first of each: a file may have many faults, and all zones take 0.3 s to list."""
    import zoneinfo  # noqa: PLC0415  (only a fault needs it)

    zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    return {zone.rpartition("/")[2].casefold(): zone for zone in reversed(zones)}


class NotAZone(Exception):
    """This machine knows no time zone of that name."""


def _minute(moment: datetime) -> int:
    return moment.weekday() * MINUTES_OF_A_DAY + moment.hour * 60 + moment.minute


def _zone(name: str) -> tzinfo:
    # The one zone that needs no table, which a small machine may lack.
    if name == UTC_ZONE:
        from datetime import UTC  # noqa: PLC0415  (as above)

        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415  (4 ms, for a file that names a zone)

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotAZone from None
