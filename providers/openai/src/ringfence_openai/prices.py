"""What an answer costs, from the tables that genai-prices carries; it is never let fetch newer ones."""

from __future__ import annotations

from ringfence.recipient import Recipient
from ringfence.response import Usage
from ringfence_openai.options import is_vendor


def price_usd(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at `recipient`; `None` where the tables do not have it, such as for one's own server."""
    from genai_prices import Usage as Counted  # noqa: PLC0415  (0.2 s, and only a price needs it)
    from genai_prices import calc_price  # noqa: PLC0415

    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    try:
        counted = Counted(
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            cache_read_tokens=usage.cached_input_tokens,
        )
        if is_vendor(recipient):
            return float(calc_price(counted, recipient.model, provider_id="openai").total_price)
        return float(calc_price(counted, recipient.model, provider_api_url=recipient.url).total_price)
    except (LookupError, ValueError, ArithmeticError):
        return None


__all__ = ["price_usd"]
