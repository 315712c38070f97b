"""What an answer of a recipient costs, as its provider's plugin says, asked without importing the provider.

A plugin offers prices as an entry point of the group `ringfence.prices`, named like its provider: a callable of a
recipient and a usage that gives US dollars, or `None` where the price is not known. It answers at run time too, where
the provider itself has no `price_usd`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from ringfence.errors import PluginError, PluginLocked
from ringfence.lock import find_lock
from ringfence.response import Usage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ringfence.recipient import Recipient

GROUP: Final = "ringfence.prices"
_PROVIDERS: Final = "ringfence.providers"
_SAMPLE: Final = Usage(input_tokens=1_000, output_tokens=1_000)

_SILENT: Final[set[str]] = set()
"""Providers that no plugin answered for: a request looks for it once, a policy that is loaded looks again."""

PriceOf: TypeAlias = "Callable[[Recipient, Usage], float | None]"


class _NobodyAnswersError(Exception):
    """No plugin offers prices of a provider, or two do."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a price function said. `why`: what it did instead of saying, such as `raised ValueError`; no content."""

    usd: float | None = None
    why: str | None = None


def price_of(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at `recipient` in US dollars; `None` where it is not known. On the device it is 0."""
    return plugin_price(recipient, usage).usd


def plugin_price(recipient: Recipient, usage: Usage) -> Price:
    """The same, and why where the plugin failed. Never raises."""
    if recipient.ring != "partner":
        return Price(0.0 if recipient.ring == "device" else None)
    if recipient.provider in _SILENT:
        return Price()
    try:
        function, name = _price_function(recipient.provider)
    except (_NobodyAnswersError, PluginError):
        _SILENT.add(recipient.provider)
        return Price()
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a plugin raises, the price is not known)
        return Price(why=f"the prices of provider '{recipient.provider}' cannot be loaded: {type(error).__name__}")
    return asked_price(function, name, recipient, usage)


def asked_price(function: PriceOf, name: str, recipient: Recipient, usage: Usage) -> Price:
    """What `function` says. `name` is what it is called in `why`. Never raises."""
    try:
        found: object = function(recipient, usage)
        usd = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (as above; its message may hold content)
        return Price(why=f"{name} raised {type(error).__name__}")
    if found is None:
        return Price()
    if usd is None:
        return Price(why=f"{name} gave a {type(found).__name__}, which is no price")
    if not math.isfinite(usd) or usd < 0:
        return Price(why=f"{name} gave a number that is no price")
    return Price(usd)


def missing_price(partner: Recipient) -> Price | None:
    """What is said instead of a price, where the provider of `partner` may be used on this machine and none is known.

    Nothing is sent.
    """
    _SILENT.discard(partner.provider)
    if not _entries(_PROVIDERS, partner.provider):
        return None
    try:
        _price_function(partner.provider)
    except PluginLocked:
        return None
    except (Exception, SystemExit):  # noqa: BLE001, S110  (the price is not known, and plugin_price says why)
        pass
    said = plugin_price(partner, _SAMPLE)
    return said if said.usd is None else None


def has_list_price(partner: Recipient) -> bool:
    """Whether a price would be known if `partner` had no `url:` of its own."""
    return price_of(replace(partner, url=None), _SAMPLE) is not None


def refresh() -> None:
    """Forgets what was loaded, so that a plugin that changed since then is found."""
    _price_function.cache_clear()
    _SILENT.clear()


@cache
def _price_function(provider: str) -> tuple[PriceOf, str]:
    """What answers for `provider`, and its name. What cannot be had now is looked for again next time.

    Raises:
        PluginLocked: the lock does not approve it.
        _NobodyAnswersError: nothing answers, or two do, and which one did would be chance.
        TypeError: what answers is no function.
    """
    entries = _entries(GROUP, provider)
    if len(entries) != 1:
        raise _NobodyAnswersError
    # INVARIANT: nothing of a plugin is imported before the lock has approved it.
    find_lock().check(entries[0])
    found: object = entries[0].load()
    if not callable(found):
        raise TypeError
    package = entries[0].dist.name if entries[0].dist is not None else f"provider '{provider}'"
    return cast("PriceOf", found), f"{entries[0].attr or provider} of {package}"


def _entries(group: str, name: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a budget of money needs it)

    return tuple(dict.fromkeys(entry_points(group=group, name=name)))


__all__ = ["GROUP", "Price", "asked_price", "has_list_price", "missing_price", "plugin_price", "price_of", "refresh"]
