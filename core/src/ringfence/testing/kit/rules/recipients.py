"""Rules on what a provider says of its recipients without asking anybody: what they cost, and how full they are."""

from __future__ import annotations

import math

from ringfence.provider import Prices, ReportsUtilisation
from ringfence.response import Usage
from ringfence.testing.kit.base import Subject
from ringfence.testing.kit.expect import expect

_USAGES = (
    Usage(),
    Usage(input_tokens=0, output_tokens=0),
    Usage(input_tokens=10**9, output_tokens=10**9, cached_input_tokens=10**9, reasoning_tokens=10**9),
    Usage(output_tokens=5),
)


class RecipientRules(Subject):
    """What is said of a recipient is a figure or nothing, whatever the recipient."""

    def test_a_price_never_raises(self) -> None:
        """`price_usd` gives a price that is not negative, or nothing; it never raises."""

        async def asked() -> list[object]:
            provider = (await self.bench.opened()).provider
            if not isinstance(provider, Prices):
                return []
            return [provider.price_usd(one, usage) for one in self.bench.odd_recipients() for usage in _USAGES]

        for price in self.bench.run(asked()):
            expect(_is_none_or_within(price, math.inf), "a price that is no price")

    def test_utilisation_is_a_share_or_nothing(self) -> None:
        """`utilisation` gives a share from 0 to 1, or nothing, before an answer and after it; it never raises."""

        async def asked() -> list[object]:
            provider = (await self.bench.opened()).provider
            if not isinstance(provider, ReportsUtilisation):
                return []
            return [provider.utilisation(one) for one in self.bench.odd_recipients()]

        shares = self.bench.run(asked())
        if shares:
            self.bench.answer(self.bench.asking())
            shares += self.bench.run(asked())
        for share in shares:
            expect(_is_none_or_within(share, 1.0), "a utilisation that is no share from 0 to 1")


def _is_none_or_within(given: object, most: float) -> bool:
    """Whether a plugin, which may return anything, gave nothing or a finite number from 0 to `most`."""
    if given is None:
        return True
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return math.isfinite(given) and 0 <= given <= most


__all__ = ["RecipientRules"]
