"""From settings to `generationConfig`, with a word on every setting that is not honoured as asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ringfence.errors import Unsupported
from ringfence.response import Adjustment
from ringfence_gemini import pictures

if TYPE_CHECKING:
    from ringfence.provider import ModelCard
    from ringfence.request import Settings
    from ringfence_gemini.models import Effort, Facts
    from ringfence_gemini.sound import SoundFormat

_MAX_STOPS = 5
_MAX_SEED = 2**31 - 1
_EFFORTS: tuple[Effort, ...] = ("none", "low", "medium", "high")
_SAME = {
    "max_output_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_NO_SUCH = ("min_p", "repetition_penalty", "logit_bias")
_ONLY_FOR = {
    "image_size": "image",
    "image_count": "image",
    "voice": "speak",
    "audio_format": "speak",
    "language": "transcribe",
}


@dataclass(slots=True, kw_only=True)
class Generation:
    """What the settings come to: `config` goes out, `adjustments` goes to the caller."""

    config: dict[str, Any] = field(default_factory=dict[str, Any])
    adjustments: list[Adjustment] = field(default_factory=list[Adjustment])
    sound_format: SoundFormat = "wav"

    def adjust(self, setting: str, action: Literal["emulated", "changed", "ignored"], detail: str) -> None:
        """Notes what was not honoured as asked."""
        self.adjustments.append(Adjustment(setting=setting, action=action, detail=detail))


def generation_of(settings: Settings, task: str, card: ModelCard, facts: Facts) -> Generation:
    """Every setting of `settings`, for `task`.

    Raises:
        Unsupported: one that the model cannot honour, and without which the answer would be another.
    """
    made = Generation()
    _sampling(settings, made)
    _thinking(settings.reasoning_effort, card, facts, made)
    _unused(settings, task, made)
    if task == "image":
        _drawing(settings, card, facts, made)
    elif task == "speak":
        _speaking(settings, made)
    return made


def _sampling(settings: Settings, made: Generation) -> None:
    for name, wire_name in _SAME.items():
        if (value := getattr(settings, name)) is not None:
            made.config[wire_name] = value
    if settings.seed is not None and settings.seed > _MAX_SEED:
        raise Unsupported(f"Gemini takes a seed up to {_MAX_SEED}", setting="seed", way_out="a smaller seed")
    if len(settings.stop) > _MAX_STOPS:
        raise Unsupported(f"Gemini takes {_MAX_STOPS} stop sequences", setting="stop", way_out="fewer stop sequences")
    if settings.stop:
        made.config["stopSequences"] = settings.stop
    for name in _NO_SUCH:
        if getattr(settings, name) is not None:
            made.adjust(name, "ignored", "the Gemini API has no such setting")


def _thinking(effort: Effort | None, card: ModelCard, facts: Facts, made: Generation) -> None:
    if effort is None:
        return
    if "reasoning" not in card.capabilities or not facts.thinking:
        if effort != "none":
            made.adjust("reasoning_effort", "ignored", "the model answers without reasoning")
        return
    nearest: Effort = next(one for one in _EFFORTS[_EFFORTS.index(effort) :] if one in facts.thinking)
    value = facts.thinking[nearest]
    # Thoughts are shown to whoever asks for them by an effort; without one the model decides, and shows nothing.
    config: dict[str, Any] = {} if effort == "none" else {"includeThoughts": True}
    if isinstance(value, str):
        made.config["thinkingConfig"] = config | {"thinkingLevel": value}
        if nearest != effort or effort == "none":
            made.adjust("reasoning_effort", "changed", f"the nearest level of the model is {value}")
        return
    made.config["thinkingConfig"] = config | {"thinkingBudget": value}
    if nearest != effort:
        made.adjust("reasoning_effort", "changed", f"the model always reasons; its budget is {value} tokens")
    elif value:
        made.adjust("reasoning_effort", "emulated", f"a budget of {value} tokens")


def _unused(settings: Settings, task: str, made: Generation) -> None:
    for name, its_task in _ONLY_FOR.items():
        if getattr(settings, name) is not None and task != its_task and not (name == "language" and task == "speak"):
            made.adjust(name, "ignored", f"it means nothing for the task '{task}'")


def _drawing(settings: Settings, card: ModelCard, facts: Facts, made: Generation) -> None:
    made.config["responseModalities"] = ["TEXT", "IMAGE"]
    if settings.image_count not in (None, 1):
        raise Unsupported(
            f"the model '{card.name}' draws one picture a request", setting="image_count", way_out="ask several times"
        )
    if settings.image_size is not None:
        config, exact = pictures.image_config(settings.image_size, sizes=facts.image_sizes)
        made.config["imageConfig"] = config
        if not exact:
            asked_for = " at ".join(config.values())
            made.adjust("image_size", "changed", f"the model is asked for the nearest it has: {asked_for}")


def _speaking(settings: Settings, made: Generation) -> None:
    made.config["responseModalities"] = ["AUDIO"]
    speech: dict[str, Any] = {}
    if settings.voice is not None:
        speech["voiceConfig"] = {"prebuiltVoiceConfig": {"voiceName": settings.voice}}
    if settings.language is not None:
        speech["languageCode"] = settings.language
    if speech:
        made.config["speechConfig"] = speech
    match settings.audio_format:
        case None | "wav":
            made.sound_format = "wav"
        case "pcm":
            made.sound_format = "pcm"
        case _:
            raise Unsupported("Gemini speaks wav or pcm", setting="audio_format", way_out='audio_format="wav"')


__all__ = ["Generation", "generation_of"]
