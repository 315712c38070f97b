"""The Gemini API of Google: `:generateContent` and `:streamGenerateContent`.

The API has no word for a refusal in the model's own words; `refusal` is played as a prompt that was blocked
(`promptFeedback`, no candidate), every other finish reason as a candidate's.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import replace

from ringfence.request import ToolCallPart
from ringfence.response import FinishReason
from ringfence.testing.partners.answer import EVENT_STREAM, Answer
from ringfence.testing.partners.asked import Asked, counted, last_text
from ringfence.testing.partners.gemini_errors import error_body
from ringfence.testing.partners.loose_json import JsonObject, as_list, as_object, as_text, encoded, objects_in
from ringfence.testing.scenes import Scene

FINISH_WORDS: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "MALFORMED_RESPONSE",
    "other": "OTHER",
}
BLOCK_REASON = "PROHIBITED_CONTENT"
JSON_UTF8 = "application/json; charset=UTF-8"


def either(body: JsonObject, name: str) -> object:
    """The field `name`, which the API also takes in snake case."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return body.get(name, body.get(snake))


def asked_of(model: str, body: JsonObject, *, stream: bool) -> Asked:
    """What a body asks for."""
    config = as_object(either(body, "generationConfig"))
    kinds = {as_text(kind).upper() for kind in as_list(either(config, "responseModalities"))}
    turns = objects_in(body.get("contents"))
    parts = objects_in(turns[-1].get("parts")) if turns else []
    return Asked(
        model=model,
        stream=stream,
        tools=tuple(_tools(body)),
        tool_answered=any(either(part, "functionResponse") for part in parts),
        schema=either(config, "responseJsonSchema") or either(config, "responseSchema"),
        wants_image="IMAGE" in kinds,
        wants_audio="AUDIO" in kinds,
        characters=len(encoded(body.get("contents"))),
        last_text=last_text(body.get("contents"), "parts"),
    )


def _tools(body: JsonObject) -> list[tuple[str, object]]:
    calling = as_object(either(as_object(either(body, "toolConfig")), "functionCallingConfig"))
    if as_text(calling.get("mode")).upper() == "NONE":
        return []
    return [
        (as_text(function.get("name")), either(function, "parametersJsonSchema") or function.get("parameters"))
        for tool in objects_in(body.get("tools"))
        for function in objects_in(either(tool, "functionDeclarations"))
    ]


def answer(model: str, scene: Scene, *, stream: bool, sse: bool) -> Answer:
    """`scene` in the words of this API; streamed without `sse`, it is a JSON array that grows."""
    failure = encoded(error_body("server", model, None))
    if not stream:
        return Answer(
            media_type=JSON_UTF8,
            body=json.dumps(_whole(model, scene), indent=2, ensure_ascii=False).encode(),
            malformed=b'{"candidates": [',
            failed=(500, failure),
            scene=scene,
        )
    chunks = [encoded(chunk) for chunk in _chunks(model, scene)]
    if sse:
        return Answer(
            media_type=EVENT_STREAM.partition(";")[0],
            events=tuple(_sse(chunk) for chunk in chunks),
            malformed=_sse(b'{"candidates": ['),
            failure=_sse(failure),
            scene=scene,
        )
    events = [(b"[" if index == 0 else b",\r\n") + chunk for index, chunk in enumerate(chunks)]
    return Answer(
        media_type=JSON_UTF8,
        events=(*events[:-1], events[-1] + b"]"),
        malformed=b',\r\n{"candidates": [',
        failure=b",\r\n" + failure + b"]",
        scene=scene,
    )


def _sse(chunk: bytes) -> bytes:
    return b"data: %s\r\n\r\n" % chunk


def _chunks(model: str, scene: Scene) -> list[JsonObject]:
    head: JsonObject = {"modelVersion": model, "responseId": secrets.token_urlsafe(16)}
    if scene.finish == "refusal":
        return [_blocked(head, scene)]
    groups = _part_groups(scene) or [[]]
    chunks: list[JsonObject] = []
    for index, parts in enumerate(groups):
        last = index == len(groups) - 1
        candidate: JsonObject = {"index": 0}
        if parts:
            candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = FINISH_WORDS[scene.finish or "stop"]
        chunk: JsonObject = {"candidates": [candidate], **_usage(scene, last=last), **head}
        chunks.append(chunk)
    return chunks


def _whole(model: str, scene: Scene) -> JsonObject:
    chunks = _chunks(model, scene)
    whole = chunks[-1]
    if "candidates" in whole and (parts := _joined(scene)):
        candidate = objects_in(whole["candidates"])[0]
        whole["candidates"] = [{**candidate, "content": {"parts": parts, "role": "model"}}]
    return whole


def _blocked(head: JsonObject, scene: Scene) -> JsonObject:
    usage = counted(scene.usage)
    count = {} if usage is None else {"promptTokenCount": usage.input_tokens, "totalTokenCount": usage.input_tokens}
    return {"promptFeedback": {"blockReason": BLOCK_REASON}, "usageMetadata": count, **head}


def _joined(scene: Scene) -> list[JsonObject]:
    """The parts of a whole answer: text and thoughts in one piece each."""
    text, reasoning = "".join(scene.text), "".join(scene.reasoning)
    whole = replace(scene, text=(text,) if text else (), reasoning=(reasoning,) if reasoning else ())
    return [part for group in _part_groups(whole) for part in group]


def _part_groups(scene: Scene) -> list[list[JsonObject]]:
    """The parts, as they come together: one chunk of text each, all tool calls at once, one medium each."""
    thoughts: list[JsonObject] = [{"text": chunk, "thought": True} for chunk in scene.reasoning]
    texts: list[JsonObject] = [{"text": chunk} for chunk in scene.text]
    groups = [[part] for part in (*thoughts, *texts)]
    for part in scene.media:
        data = base64.b64encode(part.data).decode()
        groups.append([{"inlineData": {"mimeType": part.media_type, "data": data}}])
    if scene.tool_calls:
        groups.append([_function_call(call) for call in scene.tool_calls])
    if scene.reasoning and groups:
        # The signature stands on the first tool call, else on the last part.
        groups[-1][0]["thoughtSignature"] = base64.b64encode(secrets.token_bytes(48)).decode()
    return groups


def _function_call(call: ToolCallPart) -> JsonObject:
    try:
        arguments = as_object(json.loads(call.arguments))
    except ValueError:
        # This API sends an object: arguments that are no JSON cannot be said in it.
        arguments = {}
    named: JsonObject = {"name": call.name, "args": arguments}
    # Older models give their calls no id.
    return {"functionCall": {**named, "id": call.id} if call.id else named}


def _usage(scene: Scene, *, last: bool) -> JsonObject:
    usage = counted(scene.usage)
    if usage is None:
        return {}
    taken, made, thought = usage.input_tokens or 0, usage.output_tokens or 0, usage.reasoning_tokens or 0
    count: JsonObject = {
        "promptTokenCount": taken,
        "totalTokenCount": taken + made if last else taken,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": taken}],
    }
    if usage.cached_input_tokens:
        count["cachedContentTokenCount"] = usage.cached_input_tokens
        count["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cached_input_tokens}]
    if last:
        # Here, unlike at OpenAI, thoughts are not among the candidates' tokens.
        count["candidatesTokenCount"] = max(0, made - thought)
        if thought:
            count["thoughtsTokenCount"] = thought
    return {"usageMetadata": count}


def wire_events(scene: Scene) -> int:
    """How many events a streamed answer has."""
    return len(_chunks("m", scene))


__all__ = ["BLOCK_REASON", "FINISH_WORDS", "JSON_UTF8", "answer", "asked_of", "either", "wire_events"]
