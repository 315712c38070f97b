"""Facts about models, in a table: the first pattern that matches a name holds. No fact decides where a request goes.

Sources: the vendor's model pages and thinking guide; context sizes are compared with genai-prices by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from ringfence.provider import Capability, ModelCard

Effort: TypeAlias = Literal["none", "low", "medium", "high"]
Thinking: TypeAlias = dict[Effort, str | int]
"""What each effort is on the wire: a level (a word) or a budget (tokens); an effort not listed is the next one up."""

_CHAT: frozenset[Capability] = frozenset(
    {"text", "image_input", "file_input", "tools", "output_schema", "transcribe", "count_tokens"}
)
_THINKING: frozenset[Capability] = _CHAT | frozenset[Capability]({"reasoning"})
_DRAWING: frozenset[Capability] = frozenset({"text", "image_input", "draw", "count_tokens"})
_SPEAKING: frozenset[Capability] = frozenset({"speak", "count_tokens"})
_EMBEDDING: frozenset[Capability] = frozenset({"embed"})
_CAUTIOUS: frozenset[Capability] = frozenset({"text", "tools", "output_schema", "count_tokens"})

_LEVELS: Thinking = {"none": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_PRO_LEVELS: Thinking = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_TWO_LEVELS: Thinking = {"low": "LOW", "high": "HIGH"}
_BUDGETS: Thinking = {"none": 0, "low": 1024, "medium": 8192, "high": 24_576}
_PRO_BUDGETS: Thinking = {"low": 1024, "medium": 8192, "high": 32_768}
_NO_THINKING: Thinking = {}

_MILLION = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What this provider must know of a model to translate for it.

    `output_with_tools`: structured output and tools in one request; otherwise the output is asked for as one more tool.
    `image_sizes`: it draws in more sizes than about one megapixel. `signs_calls`: a tool call in a turn before must
    carry a signature.
    """

    context_tokens: int
    capabilities: frozenset[Capability]
    max_output_tokens: int | None = None
    thinking: Thinking
    output_with_tools: bool = False
    image_sizes: bool = False
    signs_calls: bool = False


def _chat(thinking: Thinking, *, newer: bool = False, context_tokens: int = _MILLION) -> Facts:
    return Facts(
        context_tokens=context_tokens,
        capabilities=_THINKING if thinking else _CHAT,
        max_output_tokens=65_536 if thinking else 8192,
        thinking=thinking,
        output_with_tools=newer,
        signs_calls=newer,
    )


def _drawing(*, image_sizes: bool) -> Facts:
    return Facts(context_tokens=32_768, capabilities=_DRAWING, thinking=_NO_THINKING, image_sizes=image_sizes)


_TABLE: tuple[tuple[str, Facts], ...] = (
    ("gemini-2.5-*image*", _drawing(image_sizes=False)),
    ("gemini-*image*", _drawing(image_sizes=True)),
    ("gemini-nano-banana-*", _drawing(image_sizes=True)),
    ("gemini-*tts*", Facts(context_tokens=8192, capabilities=_SPEAKING, thinking=_NO_THINKING)),
    ("gemini-embedding-2*", Facts(context_tokens=8192, capabilities=_EMBEDDING, thinking=_NO_THINKING)),
    ("gemini-embedding-*", Facts(context_tokens=2048, capabilities=_EMBEDDING, thinking=_NO_THINKING)),
    ("text-embedding-*", Facts(context_tokens=2048, capabilities=_EMBEDDING, thinking=_NO_THINKING)),
    ("imagen-*", Facts(context_tokens=480, capabilities=frozenset(), thinking=_NO_THINKING)),
    ("gemini-pro-latest", _chat(_PRO_LEVELS, newer=True)),
    ("gemini-flash*-latest", _chat(_LEVELS, newer=True)),
    ("gemini-1.5-*", _chat(_NO_THINKING)),
    ("gemini-2.0-*", _chat(_NO_THINKING)),
    ("gemini-2.5-pro*", _chat(_PRO_BUDGETS)),
    ("gemini-2.5-flash*", _chat(_BUDGETS)),
    ("gemini-3-pro*", _chat(_TWO_LEVELS, newer=True)),
    ("gemini-3.*-pro*", _chat(_PRO_LEVELS, newer=True)),
    ("gemini-3*-flash*", _chat(_LEVELS, newer=True)),
    ("gemini-4-*", _chat(_PRO_LEVELS, newer=True)),
)
# Imagen answers `:predict`, which the SDK does not offer for the Gemini API: nothing is promised of it.
UNKNOWN = Facts(context_tokens=32_768, capabilities=_CAUTIOUS, thinking=_LEVELS)
"""Of a name that is not in the table: little is promised. The policy's `capabilities:` says more."""

KNOWN_MODELS = (
    "gemini-3.8-flash",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
    "gemini-3.1-pro-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-3-pro-image-preview",
    "gemini-2.5-flash-image",
    "gemini-3.8-flash-tts",
    "gemini-2.5-flash-preview-tts",
    "gemini-embedding-2",
    "gemini-embedding-001",
)
"""What `models` lists; any other name can be used too."""


def facts_of(model: str) -> Facts:
    """The facts of `model`, with or without `models/` before it."""
    name = model.removeprefix("models/")
    return next((facts for pattern, facts in _TABLE if fnmatchcase(name, pattern)), UNKNOWN)


def card_of(model: str) -> ModelCard:
    """The card of `model`."""
    facts = facts_of(model)
    return ModelCard(
        name=model,
        context_tokens=facts.context_tokens,
        capabilities=facts.capabilities,
        max_output_tokens=facts.max_output_tokens,
    )
