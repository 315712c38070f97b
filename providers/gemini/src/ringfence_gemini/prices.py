"""What an answer costs, from the table in genai-prices. No network and no thread: its updater is never started."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ringfence_gemini.models import facts_of

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

    from ringfence.recipient import Recipient
    from ringfence.response import Usage


def price_usd(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at the vendor's own address in US dollars; `None` where it is not known.

    Pictures are priced by tokens of another kind than text, and `usage` does not tell them apart: `None`.
    """
    if recipient.url is not None or "draw" in facts_of(recipient.model).capabilities:
        return None
    try:
        return _calculated(recipient.model.removeprefix("models/"), usage)
    except (ImportError, LookupError, ValueError, TypeError, ArithmeticError):
        return None


def _calculated(model: str, usage: Usage) -> float:
    import genai_prices  # noqa: PLC0415  (half a second; loaded when a price is first asked)

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
    )
    found = _found(model)
    return float(found.model.calc_price(counted, found.provider).total_price)


@lru_cache(maxsize=256)
def _found(model: str) -> PriceCalculation:
    """Where the table has `model`. Finding it takes as long as the calculation.

    Raises:
        LookupError: it has not.
    """
    import genai_prices  # noqa: PLC0415  (as above)

    return genai_prices.calc_price(genai_prices.Usage(input_tokens=0, output_tokens=0), model, provider_id="google")
