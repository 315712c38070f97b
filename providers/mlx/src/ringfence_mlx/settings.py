"""What becomes of a request's settings: what the engine takes, and an adjustment for each that it cannot honour.

Pure, as is the rest of planning. A setting that is not given is nowhere in the result.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any, Literal

from ringfence.provider import ModelCard
from ringfence.request import Request, Settings
from ringfence.response import Adjustment

_MEDIA = ("image_size", "image_count", "language", "voice", "audio_format")
_NOT_SAMPLING = frozenset({"stop", "logit_bias", "reasoning_effort", *_MEDIA})


def given(settings: Settings) -> dict[str, Any]:
    """The settings that the caller gave, by name."""
    values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    return {name: value for name, value in values.items() if value is not None and value not in ((), {})}


def sampling(settings: Settings) -> dict[str, Any]:
    """The settings that choose the next token, as the worker takes them."""
    found = {name: value for name, value in given(settings).items() if name not in _NOT_SAMPLING}
    if settings.logit_bias:
        found["logit_bias"] = {str(token): bias for token, bias in settings.logit_bias.items()}
    return found


def media_adjustments(settings: Settings) -> list[Adjustment]:
    """An adjustment for each setting of pictures and sound: a text has neither."""
    return _ignored(settings, _MEDIA, "the answer is text")


def embedding_adjustments(settings: Settings) -> list[Adjustment]:
    """An adjustment for each setting: a vector is computed, not generated. To ask for no reasoning changes nothing."""
    names = [name for name, value in given(settings).items() if (name, value) != ("reasoning_effort", "none")]
    return _ignored(settings, names, "an embedding takes no settings")


def _ignored(settings: Settings, names: Collection[str], detail: str) -> list[Adjustment]:
    return [Adjustment(setting=name, action="ignored", detail=detail) for name in given(settings) if name in names]


def reasoning(request: Request, card: ModelCard, adjustments: list[Adjustment]) -> dict[str, Any]:
    """Whether the model reasons, as the worker takes it; what cannot be honoured is added to `adjustments`."""
    effort = request.settings.reasoning_effort
    if "reasoning" not in card.capabilities:
        if effort not in (None, "none"):
            adjustments.append(_effort("ignored", "the model answers without reasoning"))
        return {}
    if effort not in (None, "none") and _is_forced(request):
        adjustments.append(_effort("ignored", "an answer in a forced form comes without reasoning"))
        return {}
    if effort in ("low", "medium", "high"):
        adjustments.append(_effort("changed", "reasoning is switched on; the model knows no levels"))
    return {} if effort is None else {"thinking": effort != "none"}


def _effort(action: Literal["changed", "ignored"], detail: str) -> Adjustment:
    return Adjustment(setting="reasoning_effort", action=action, detail=detail)


def _is_forced(request: Request) -> bool:
    return request.output is not None or (bool(request.tools) and request.tool_choice == "required")


__all__ = ["embedding_adjustments", "given", "media_adjustments", "reasoning", "sampling"]
