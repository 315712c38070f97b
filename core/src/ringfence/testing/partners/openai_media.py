"""Vectors, pictures, transcripts and speech of OpenAI's API, and its list of models."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Sequence

from ringfence.request import FilePart, ImagePart
from ringfence.testing.partners.answer import EVENT_STREAM, Answer
from ringfence.testing.partners.asked import counted, token_estimate
from ringfence.testing.partners.loose_json import JsonObject, as_count, as_list, as_text, encoded
from ringfence.testing.partners.openai_errors import refusal
from ringfence.testing.partners.silence import AUDIO_TYPES, pixel_png, silence
from ringfence.testing.partners.vectors import vectors_for
from ringfence.testing.scenes import Scene

MODELS = ("gpt-4.1-mini", "gpt-5-mini", "gpt-image-1", "gpt-4o-mini-tts", "gpt-4o-transcribe", "text-embedding-3-small")
_FAILURE: JsonObject = refusal("The server had an error while processing your request.", said="server_error")
_DIMENSIONS = 1536
_PIECES = 4


def _whole(body: object, scene: Scene | None) -> Answer:
    return Answer(body=encoded(body), malformed=b'{"data": [', failed=(500, encoded(_FAILURE)), scene=scene)


def _streamed(events: Sequence[JsonObject], scene: Scene | None, *, named: bool = True) -> Answer:
    name = [b"event: %s\n" % as_text(event["type"]).encode() if named else b"" for event in events]
    return Answer(
        media_type=EVENT_STREAM,
        events=tuple(b"%sdata: %s\n\n" % (head, encoded(event)) for head, event in zip(name, events, strict=True)),
        malformed=b'data: {"type":\n\n',
        failure=b"data: %s\n\n" % encoded(_FAILURE),
        scene=scene,
    )


def embeddings(body: JsonObject, scene: Scene) -> Answer:
    """`POST /v1/embeddings`."""
    given = body.get("input")
    listed = as_list(given)
    texts = [str(text) for text in listed] if listed and not isinstance(listed[0], int) else [str(given)]
    wanted = as_count(body.get("dimensions"), _DIMENSIONS, most=4096)
    vectors = vectors_for(texts, scene.vectors, wanted)
    packed = body.get("encoding_format") == "base64"
    usage = counted(scene.usage)
    tokens = (usage.input_tokens if usage else None) or token_estimate(sum(map(len, texts)))
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    told = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _whole({"object": "list", "data": data, "model": body.get("model"), "usage": told}, scene)


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def images(body: JsonObject, scene: Scene) -> Answer:
    """`POST /v1/images/generations`; streamed, a partial picture comes before the complete one."""
    played = [part.data for part in scene.media if isinstance(part, ImagePart)]
    wanted = len(played) or as_count(body.get("n"), 1, most=10)
    drawn = [base64.b64encode(data).decode() for data in played or [pixel_png()] * wanted]
    look: JsonObject = {"background": "opaque", "output_format": "png", "quality": "high", "size": "1024x1024"}
    usage = _image_usage(scene)
    if body.get("stream") is True:
        head: JsonObject = {"created_at": int(time.time()), **look}
        partial: JsonObject = {"type": "image_generation.partial_image", "b64_json": drawn[0], "partial_image_index": 0}
        complete: list[JsonObject] = [
            {"type": "image_generation.completed", "b64_json": data, "usage": usage} for data in drawn
        ]
        return _streamed([{**event, **head} for event in (partial, *complete)], scene)
    data = [{"b64_json": picture} for picture in drawn]
    return _whole({"created": int(time.time()), **look, "data": data, "usage": usage}, scene)


def _image_usage(scene: Scene) -> JsonObject:
    usage = counted(scene.usage)
    taken = (usage.input_tokens if usage else None) or 0
    made = (usage.output_tokens if usage else None) or 0
    return {
        "input_tokens": taken,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": taken},
        "output_tokens": made,
        "total_tokens": taken + made,
    }


def transcription(body: JsonObject, scene: Scene) -> Answer:
    """`POST /v1/audio/transcriptions`: the scene's text is what was heard."""
    text = "".join(scene.text)
    usage = counted(scene.usage)
    taken, made = (usage.input_tokens or 0, usage.output_tokens or 0) if usage else (0, 0)
    detail = {"audio_tokens": taken, "text_tokens": 0}
    told = {
        "type": "tokens",
        "input_tokens": taken,
        "input_token_details": detail,
        "output_tokens": made,
        "total_tokens": taken + made,
    }
    if body.get("stream") == "true":
        deltas: list[JsonObject] = [{"type": "transcript.text.delta", "delta": chunk} for chunk in scene.text]
        return _streamed([*deltas, {"type": "transcript.text.done", "text": text, "usage": told}], scene)
    match body.get("response_format", "json"):
        case "text":
            return Answer(media_type="text/plain; charset=utf-8", body=f"{text}\n".encode(), scene=scene)
        case "verbose_json":
            length = {"type": "duration", "seconds": 1}
            return _whole({"text": text, "language": "english", "duration": 0.5, "usage": length}, scene)
        case _:
            return _whole({"text": text, "usage": told}, scene)


def speech(body: JsonObject, scene: Scene) -> Answer:
    """`POST /v1/audio/speech`: the scene's first sound, else silence, in a few pieces."""
    wanted = as_text(body.get("response_format"), "mp3")
    played = next((part for part in scene.media if isinstance(part, FilePart)), None)
    sound = played.data if played else silence(wanted)
    if sound is None:
        return Answer(status=400, body=encoded(refusal(f"This double makes no silence in '{wanted}'.")))
    cut = [
        sound[start : start + -(-len(sound) // _PIECES)] for start in range(0, len(sound), -(-len(sound) // _PIECES))
    ]
    if body.get("stream_format") == "sse":
        deltas: list[JsonObject] = [
            {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()} for piece in cut
        ]
        usage: JsonObject = {"input_tokens": 5, "output_tokens": 20, "total_tokens": 25}
        return _streamed([*deltas, {"type": "speech.audio.done", "usage": usage}], scene, named=False)
    media_type = played.media_type if played else AUDIO_TYPES[wanted]
    # Sound has no words for a failure, and no byte of it is malformed: both end the answer short.
    return Answer(media_type=media_type, events=tuple(cut), scene=scene)


def count(body: JsonObject, scene: Scene) -> Answer:
    """`POST /v1/responses/input_tokens`."""
    tokens = scene.usage.input_tokens
    counted_tokens = token_estimate(len(encoded(body.get("input")))) if tokens is None else tokens
    return _whole({"object": "response.input_tokens", "input_tokens": counted_tokens}, scene)


def models() -> Answer:
    """`GET /v1/models`."""
    return _whole({"object": "list", "data": [_model(name) for name in MODELS]}, None)


def model(name: str) -> Answer:
    """`GET /v1/models/NAME`."""
    return _whole(_model(name), None)


def _model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 1_744_317_547, "owned_by": "system"}


__all__ = ["MODELS", "count", "embeddings", "images", "model", "models", "speech", "transcription"]
