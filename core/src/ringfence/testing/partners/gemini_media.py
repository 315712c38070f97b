"""Token counts, vectors, drawn pictures and models of the Gemini API."""

from __future__ import annotations

import base64
import json

from ringfence.request import ImagePart
from ringfence.testing.partners.answer import Answer
from ringfence.testing.partners.asked import token_estimate
from ringfence.testing.partners.gemini_content import JSON_UTF8, either
from ringfence.testing.partners.gemini_errors import error_body
from ringfence.testing.partners.loose_json import JsonObject, as_count, as_object, as_text, encoded, objects_in
from ringfence.testing.partners.silence import pixel_png
from ringfence.testing.partners.vectors import vectors_for
from ringfence.testing.scenes import Scene

MODELS = ("gemini-2.5-flash", "gemini-2.5-flash-image", "gemini-embedding-001", "imagen-4.0-generate-001")
_DIMENSIONS = 3072


def _whole(body: object, scene: Scene | None) -> Answer:
    return Answer(
        media_type=JSON_UTF8,
        body=json.dumps(body, indent=2, ensure_ascii=False).encode(),
        malformed=b'{"candidates": [',
        failed=(500, encoded(error_body("server", "", None))),
        scene=scene,
    )


def count(body: JsonObject, scene: Scene) -> Answer:
    """`:countTokens`."""
    inner = as_object(either(body, "generateContentRequest")) or body
    tokens = scene.usage.input_tokens
    total = token_estimate(len(encoded(inner.get("contents")))) if tokens is None else tokens
    return _whole({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}, scene)


def embed(body: JsonObject, scene: Scene) -> Answer:
    """`:embedContent`: one text, or the parts of one content together."""
    return _whole({"embedding": _vectors([body], scene)[0]}, scene)


def embed_all(body: JsonObject, scene: Scene) -> Answer:
    """`:batchEmbedContents`."""
    return _whole({"embeddings": _vectors(objects_in(body.get("requests")), scene)}, scene)


def _vectors(requests: list[JsonObject], scene: Scene) -> list[JsonObject]:
    texts = [_text(as_object(request.get("content"))) for request in requests]
    wanted = as_count(either(requests[0], "outputDimensionality"), _DIMENSIONS, most=3072)
    return [{"values": list(vector)} for vector in vectors_for(texts, scene.vectors, wanted)]


def _text(content: JsonObject) -> str:
    return "".join(as_text(part.get("text")) for part in objects_in(content.get("parts")))


def predict(body: JsonObject, scene: Scene) -> Answer:
    """`:predict`, which draws."""
    played = [(part.media_type, part.data) for part in scene.media if isinstance(part, ImagePart)]
    wanted = as_count(either(as_object(body.get("parameters")), "sampleCount"), 1, most=4)
    drawn = played or [("image/png", pixel_png())] * wanted
    return _whole(
        {
            "predictions": [
                {"mimeType": kind, "bytesBase64Encoded": base64.b64encode(data).decode()} for kind, data in drawn
            ]
        },
        scene,
    )


def models() -> Answer:
    """`GET /v1beta/models`."""
    return _whole({"models": [_model(name) for name in MODELS]}, None)


def model(name: str) -> Answer:
    """`GET /v1beta/models/NAME`."""
    return _whole(_model(name), None)


def _model(name: str) -> JsonObject:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A model of the local double.",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }


__all__ = ["MODELS", "count", "embed", "embed_all", "model", "models", "predict"]
