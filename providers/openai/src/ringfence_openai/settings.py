"""Which settings each route knows, and by what name; a setting that is in no table of its route is not sent.

The source is the SDK's parameters, in openai/types: responses/response_create_params.py,
chat/completion_create_params.py, image_generate_params.py, audio/speech_create_params.py,
audio/transcription_create_params.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ringfence.request import JsonValue, Settings
from ringfence.response import Adjustment

RESPONSES: Mapping[str, str] = {
    "max_output_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
}
CHAT: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop",
    "logit_bias": "logit_bias",
}
CHAT_EXTENDED: Mapping[str, str] = {
    **CHAT,
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
}
"""Of servers that take vLLM's names too."""
IMAGE: Mapping[str, str] = {"image_size": "size", "image_count": "n"}
SPEECH: Mapping[str, str] = {"voice": "voice", "audio_format": "response_format"}
TRANSCRIPTION: Mapping[str, str] = {"temperature": "temperature", "language": "language"}
NONE: Mapping[str, str] = {}

_MEDIA = frozenset({"image_size", "image_count", "language", "voice", "audio_format"})


def given_settings(settings: Settings) -> dict[str, object]:
    """The settings that were given, by name."""
    values = ((name, getattr(settings, name)) for name in settings.__slots__)
    return {name: value for name, value in values if value is not None and value != ()}


def apply_settings(
    settings: Settings, table: Mapping[str, str], *, handled: Collection[str] = (), what: str
) -> tuple[dict[str, JsonValue], list[Adjustment]]:
    """The fields for the body, and what is left out: everything given that is neither in `table` nor in `handled`.

    `what` names the route in the detail of an adjustment, such as 'the Responses API'.
    """
    fields: dict[str, JsonValue] = {}
    left_out: list[Adjustment] = []
    for name, value in given_settings(settings).items():
        if name in table:
            fields[table[name]] = _json(value)
        elif name not in handled:
            detail = "the answer is text" if name in _MEDIA and table is not TRANSCRIPTION else f"{what} has none"
            left_out.append(Adjustment(setting=name, action="ignored", detail=detail))
    return fields, left_out


def _json(value: object) -> JsonValue:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]  (Settings checked it)
    if isinstance(value, tuple):
        return list(value)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]  (Settings checked it)
    assert isinstance(value, str | int | float)  # noqa: S101  (Settings checked it)
    return value


__all__ = [
    "CHAT",
    "CHAT_EXTENDED",
    "IMAGE",
    "NONE",
    "RESPONSES",
    "SPEECH",
    "TRANSCRIPTION",
    "apply_settings",
    "given_settings",
]
