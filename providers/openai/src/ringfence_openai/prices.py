"""What an answer costs, from the tables that genai-prices carries; it is never let fetch newer ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ringfence.recipient import Recipient
from ringfence.response import Usage
from ringfence_openai.options import is_vendor

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation


def price_usd(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at `recipient`; `None` where the tables do not have it, such as for one's own server."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    place = None if is_vendor(recipient) else recipient.url
    try:
        found = _found(recipient.model, place)
        if found is None:
            return None
        from genai_prices import Usage as Counted  # noqa: PLC0415  (0.2 s, and only a price needs it)

        counted = Counted(
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            cache_read_tokens=usage.cached_input_tokens,
        )
        return float(found.model.calc_price(counted, found.provider).total_price)
    except (LookupError, ValueError, ArithmeticError):
        return None


@lru_cache(maxsize=256)
def _found(model: str, url: str | None) -> PriceCalculation | None:
    """Where the tables have `model`; `None` if they do not. Finding it takes as long as the calculation."""
    from genai_prices import Usage as Counted  # noqa: PLC0415  (as above)
    from genai_prices import calc_price  # noqa: PLC0415

    nothing = Counted(input_tokens=0, output_tokens=0)
    try:
        if url is None:
            return calc_price(nothing, model, provider_id="openai")
        return calc_price(nothing, model, provider_api_url=url)
    except LookupError:
        return None


__all__ = ["price_usd"]
