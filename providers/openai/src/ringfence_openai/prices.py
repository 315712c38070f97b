"""What an answer costs, from the tables that genai-prices carries; it is never let fetch newer ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ringfence.recipient import Recipient
from ringfence.response import Usage
from ringfence_openai.cards import capabilities_of
from ringfence_openai.options import is_vendor

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation


PLACES = {
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.moonshot.ai": "moonshotai",
    "api.novita.ai": "novita",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together",
    "api.x.ai": "x-ai",
    "api.z.ai": "zai",
    "generativelanguage.googleapis.com": "google",
    "openrouter.ai": "openrouter",
}
"""By host, whose prices hold there. The patterns of the tables are not used: they match the beginning of an address, so
every host whose name begins like one of these."""

_OTHER_TOKENS = frozenset({"draw", "transcribe", "speak"})
"""What pictures and sound cost is told by other counts than an answer has."""


def price_usd(recipient: Recipient, usage: Usage) -> float | None:
    """The price of `usage` at `recipient`; `None` where it is not known.

    That is so where the tables do not have the model or the place, such as one's own server; where a count is missing;
    for models that draw, transcribe or speak; and where the tables say that it costs nothing.
    """
    place = "openai" if is_vendor(recipient) else _place(recipient.url)
    capabilities = capabilities_of(recipient.model.rpartition("/")[2])
    if place is None or usage.input_tokens is None or _OTHER_TOKENS.intersection(capabilities):
        return None
    if usage.output_tokens is None and "embed" not in capabilities:
        return None
    try:
        found = _found(recipient.model, place)
        if found is None:
            return None
        from genai_prices import Usage as Counted  # noqa: PLC0415  (0.2 s, and only a price needs it)

        counted = Counted(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens or 0,
            cache_read_tokens=usage.cached_input_tokens,
        )
        # Nothing is free: a price of nothing is one that the tables do not have.
        return float(found.model.calc_price(counted, found.provider).total_price) or None
    except (LookupError, ValueError, ArithmeticError):
        return None


def _place(url: str | None) -> str | None:
    """Whose prices hold at `url`."""
    parts = urlsplit(url or "")
    # INVARIANT: the host is compared whole, so that no server passes for another by the beginning of its name.
    return PLACES.get((parts.hostname or "").lower()) if parts.scheme == "https" else None


@lru_cache(maxsize=256)
def _found(model: str, place: str) -> PriceCalculation | None:
    """Where the tables have `model`; `None` if they do not. Finding it takes as long as the calculation."""
    from genai_prices import Usage as Counted  # noqa: PLC0415  (as above)
    from genai_prices import calc_price  # noqa: PLC0415

    nothing = Counted(input_tokens=0, output_tokens=0)
    try:
        return calc_price(nothing, model, provider_id=place)
    except LookupError:
        return None


__all__ = ["PLACES", "price_usd"]
