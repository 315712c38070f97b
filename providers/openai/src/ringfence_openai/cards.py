"""Facts of models, as a table; context sizes come from genai-prices, which is imported when a card is first asked for.

Sources: the model lists and parameter notes of the SDK's own types (openai/types/shared/chat_model.py, image_model.py,
audio_model.py, speech_model.py, embedding_model.py), and genai-prices for `context_tokens`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache

from ringfence.provider import Capability, ModelCard
from ringfence_openai.options import Api

_TEXT: tuple[Capability, ...] = ("text", "tools", "output_schema")
_SEES: tuple[Capability, ...] = (*_TEXT, "image_input", "file_input")
_THINKS: tuple[Capability, ...] = (*_SEES, "reasoning")

_TABLE: tuple[tuple[str, tuple[Capability, ...]], ...] = (
    ("*-image-*", ("draw",)),
    ("*-image", ("draw",)),
    ("text-embedding-*", ("embed",)),
    ("*-transcribe*", ("transcribe",)),
    ("whisper-*", ("transcribe",)),
    ("tts-*", ("speak",)),
    ("*-tts*", ("speak",)),
    ("gpt-5*-chat*", _SEES),
    ("gpt-6*", _THINKS),
    ("gpt-5*", _THINKS),
    ("o1-mini*", ("text", "reasoning")),
    ("o1-preview*", ("text", "reasoning")),
    ("o3-mini*", (*_TEXT, "reasoning")),
    ("o1*", _THINKS),
    ("o3*", _THINKS),
    ("o4*", _THINKS),
    ("gpt-4.1*", _SEES),
    ("gpt-4o*", _SEES),
    ("gpt-4-turbo*", ("text", "tools", "image_input")),
    ("gpt-4*", ("text", "tools")),
    ("gpt-3.5*", ("text", "tools")),
)
"""The vendor's models by pattern, the first that fits."""

NAMED = (
    "gpt-6.2-astra",
    "gpt-6-astra",
    "gpt-6.2-sol",
    "gpt-6.1-sol",
    "gpt-6.1-terra",
    "gpt-6-sol",
    "gpt-6-luna",
    "gpt-5.5",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-image-2.6-sunburst",
    "gpt-image-2.6-flare",
    "gpt-image-2",
    "text-embedding-3-large",
    "text-embedding-3-small",
    "gpt-transcribe",
    "gpt-4o-mini-tts",
)
"""Those that the SDK lists without an announced end, and the last of their kind."""

_CAUTIOUS_TOKENS = 8_192
"""Of a model that nobody here knows. It is told to people; nothing is refused by it."""


def card_of(model: str, *, vendor: bool, api: Api) -> ModelCard:
    """The facts of `model`; a model that is not known can work with text, and the policy can say what else."""
    name = model.lower()
    capabilities = capabilities_of(name) if vendor else _TEXT
    if api == "responses" and vendor and "text" in capabilities:
        capabilities = (*capabilities, "count_tokens")
    return ModelCard(
        name=model,
        context_tokens=(vendor and _known_context_tokens(name)) or _CAUTIOUS_TOKENS,
        capabilities=frozenset(capabilities),
    )


@cache
def capabilities_of(model: str) -> tuple[Capability, ...]:
    """What the table says that the vendor's `model` can; text, tools and schemas for one that is not in it."""
    name = model.lower()
    return next((found for pattern, found in _TABLE if fnmatchcase(name, pattern)), _TEXT)


@cache
def _known_context_tokens(model: str) -> int | None:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  (0.2 s, and only a card or a price needs it)

    try:
        _, found = get_snapshot().find_provider_model(model, None, "openai", None)
    except LookupError:
        return None
    return found.context_window


__all__ = ["NAMED", "capabilities_of", "card_of"]
