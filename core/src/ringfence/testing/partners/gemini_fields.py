"""The fields that the Gemini API takes at the top of a body. A test compares them with the SDK's."""

from __future__ import annotations

from ringfence.testing.partners.gemini_errors import refusal
from ringfence.testing.partners.loose_json import JsonObject, as_object, names

_CONTENT = names(
    """cachedContent contents continuationToken generationConfig labels safetySettings serviceTier store
    systemInstruction toolConfig tools"""
)

FIELDS: dict[str, frozenset[str]] = {
    "generateContent": _CONTENT,
    "streamGenerateContent": _CONTENT,
    "countTokens": frozenset({"contents", "generateContentRequest"}),
    "embedContent": frozenset({"content", "model", "outputDimensionality", "taskType", "title"}),
    "batchEmbedContents": frozenset({"requests"}),
    "predict": frozenset({"instances", "parameters"}),
}

GENERATION_CONFIG = names(
    """audioTranscriptionConfig candidateCount enableEnhancedCivicAnswers frequencyPenalty imageConfig
    logprobs maxOutputTokens mediaResolution presencePenalty responseFormat responseJsonSchema responseLogprobs
    responseMimeType responseModalities responseSchema seed speechConfig stopSequences temperature thinkingConfig
    topK topP translationConfig"""
)

NEEDED: dict[str, tuple[str, ...]] = {
    "generateContent": ("contents",),
    "streamGenerateContent": ("contents",),
    "countTokens": (),
    "embedContent": ("content",),
    "batchEmbedContents": ("requests",),
    "predict": ("instances",),
}


def camel(name: str) -> str:
    """`name` as the API writes it; it also takes snake case."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def fault_in(method: str, body: JsonObject) -> JsonObject | None:
    """The refusal of a body that lacks a field or has one that the API does not know; `None` if it has neither."""
    given = {camel(name): value for name, value in body.items()}
    for name in given:
        if name not in FIELDS[method]:
            return _unknown(name, "")
    for name in as_object(given.get("generationConfig")):
        if camel(name) not in GENERATION_CONFIG:
            return _unknown(name, " at 'generation_config'")
    for name in NEEDED[method]:
        if not given.get(name):
            return refusal(400, "INVALID_ARGUMENT", f"* GenerateContentRequest.{name}: {name} is not specified\n")
    return None


def _unknown(name: str, where: str) -> JsonObject:
    message = f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
    return refusal(400, "INVALID_ARGUMENT", message)
