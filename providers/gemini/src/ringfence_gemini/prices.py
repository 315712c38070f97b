"""What an answer costs, from the table in genai-prices. No network and no thread: its updater is never started."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ringfence_gemini.models import facts_of

_PRICED_BY_KIND = frozenset({"draw", "speak"})

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

    from ringfence.recipient import Recipient
    from ringfence.response import Usage


def price_usd(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at the vendor's own address in US dollars; `None` where it is not known.

    Tokens of pictures and of sound have other prices than those of text, and `usage` does not tell them apart: `None`
    for models that draw, speak, or only transcribe. A price of 0 is taken for one that is not known.
    """
    if recipient.url is not None or not usage.input_tokens or _is_priced_by_kind(recipient):
        return None
    try:
        return _calculated(recipient.model.removeprefix("models/"), usage) or None
    except (ImportError, LookupError, ValueError, TypeError, ArithmeticError):
        return None


def _is_priced_by_kind(recipient: Recipient) -> bool:
    known = facts_of(recipient.model).capabilities
    able = known if recipient.capabilities is None else recipient.capabilities
    return not _PRICED_BY_KIND.isdisjoint(known | able) or ("transcribe" in able and "text" not in able)


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
    """Where the table has `model`; where it has only the preview of it, that is taken for its price.

    Finding it takes as long as the calculation.

    Raises:
        LookupError: it has neither.
    """
    import genai_prices  # noqa: PLC0415  (as above)

    nothing = genai_prices.Usage(input_tokens=0, output_tokens=0)
    try:
        return genai_prices.calc_price(nothing, model, provider_id="google")
    except LookupError:
        return genai_prices.calc_price(nothing, f"{model}-preview", provider_id="google")
