"""What an answer of a recipient costs, as its provider's plugin says, asked without importing the provider.

A plugin offers prices as an entry point of the group `ringfence.prices`, named like its provider: a callable of a
recipient and a usage that gives US dollars, or `None` where the price is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from ringfence.errors import PluginLocked
from ringfence.lock import find_lock
from ringfence.response import Usage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ringfence.recipient import Recipient

GROUP: Final = "ringfence.prices"
_PROVIDERS: Final = "ringfence.providers"
_SAMPLE: Final = Usage(input_tokens=1_000, output_tokens=1_000)

PriceOf: TypeAlias = "Callable[[Recipient, Usage], float | None]"


def price_of(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at `recipient` in US dollars; `None` where it is not known. On the device it is 0."""
    if recipient.ring != "partner":
        return 0.0 if recipient.ring == "device" else None
    try:
        return _checked(_price_function(recipient.provider)(recipient, usage))
    except (Exception, SystemExit):  # noqa: BLE001  (whatever a plugin raises, the price is not known)
        return None


def lacks_a_price(partner: Recipient) -> bool:
    """Whether the provider of `partner` may be used on this machine, and no price is known there. Nothing is sent."""
    if not _entries(_PROVIDERS, partner.provider):
        return False
    try:
        _price_function(partner.provider)
    except PluginLocked:
        return False
    except (Exception, SystemExit):  # noqa: BLE001  (as above)
        return True
    return price_of(partner, _SAMPLE) is None


def refresh() -> None:
    """Forgets what was loaded, so that a plugin that changed since then is found."""
    _price_function.cache_clear()


def _checked(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if math.isfinite(found) and found >= 0 else None


@cache
def _price_function(provider: str) -> PriceOf:
    """What answers for `provider`. What cannot be had now is looked for again next time.

    Raises:
        PluginLocked: the lock does not approve it.
        LookupError: nothing answers, or two do, and which one did would be chance.
        TypeError: what answers is no function.
    """
    entries = _entries(GROUP, provider)
    if len(entries) != 1:
        raise LookupError
    # INVARIANT: nothing of a plugin is imported before the lock has approved it.
    find_lock().check(entries[0])
    found: object = entries[0].load()
    if not callable(found):
        raise TypeError
    return cast("PriceOf", found)


def _entries(group: str, name: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a budget of money needs it)

    return tuple(dict.fromkeys(entry_points(group=group, name=name)))


__all__ = ["GROUP", "lacks_a_price", "price_of", "refresh"]
