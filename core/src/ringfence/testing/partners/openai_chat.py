"""The Chat Completions API, of OpenAI and of every server that speaks it: `POST /v1/chat/completions`."""

from __future__ import annotations

import base64
import secrets
import time

from ringfence.request import FilePart
from ringfence.response import FinishReason
from ringfence.testing.partners.answer import EVENT_STREAM, Answer
from ringfence.testing.partners.asked import Asked, counted, interleaved, last_text, wire_id
from ringfence.testing.partners.loose_json import JsonObject, as_list, as_object, as_text, encoded, objects_in
from ringfence.testing.scenes import Scene

# OpenAI has no word for `error` and `other`; these are those of two servers that speak its API.
FINISH_WORDS: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
    "error": "error",
    "other": "abort",
}

_FAILURE: JsonObject = {
    "error": {
        "message": "The server had an error while processing your request. Sorry about that!",
        "type": "server_error",
        "param": None,
        "code": None,
    }
}


def asked_of(body: JsonObject) -> Asked:
    """What a body asks for."""
    turns = objects_in(body.get("messages"))
    functions = [as_object(tool.get("function")) for tool in objects_in(body.get("tools"))]
    output = as_object(body.get("response_format"))
    return Asked(
        model=as_text(body.get("model")),
        stream=body.get("stream") is True,
        tools=tuple((as_text(tool.get("name")), tool.get("parameters")) for tool in functions)
        if body.get("tool_choice") != "none"
        else (),
        tool_answered=bool(turns) and turns[-1].get("role") == "tool",
        schema=as_object(output.get("json_schema")).get("schema"),
        wants_audio="audio" in as_list(body.get("modalities")),
        characters=len(encoded(body.get("messages"))),
        last_text=last_text(body.get("messages"), "content"),
    )


def answer(body: JsonObject, scene: Scene) -> Answer:
    """`scene` in the words of this API."""
    play = _Play(body, scene)
    if body.get("stream") is True:
        return Answer(
            media_type=EVENT_STREAM,
            events=play.events(),
            malformed=b'data: {"id":"chatcmpl-","choices":[{"delta":{"content":\n\n',
            failure=_sse(_FAILURE),
            scene=scene,
        )
    return Answer(
        body=encoded(play.whole()), malformed=b'{"id":"chatcmpl-', failed=(500, encoded(_FAILURE)), scene=scene
    )


def _sse(event: JsonObject) -> bytes:
    return b"data: %s\n\n" % encoded(event)


class _Play:
    """One completion."""

    def __init__(self, body: JsonObject, scene: Scene) -> None:
        self._body = body
        self._scene = scene
        reason: FinishReason = scene.finish or ("tool_calls" if scene.tool_calls else "stop")
        self._refused = reason == "refusal"
        self._finish = FINISH_WORDS[reason]
        self._head: JsonObject = {
            "id": f"chatcmpl-{secrets.token_hex(15)}",
            "created": int(time.time()),
            "model": body.get("model"),
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
        }
        options = as_object(body.get("stream_options"))
        self._tells_usage = options.get("include_usage") is True
        self._pads = options.get("include_obfuscation") is not False

    def whole(self) -> JsonObject:
        """The body of an answer that is not streamed."""
        scene = self._scene
        text = "".join(scene.text) or None
        message: JsonObject = {
            "role": "assistant",
            "content": None if self._refused else text,
            "refusal": text if self._refused else None,
            "annotations": [],
        }
        if scene.reasoning:
            message["reasoning_content"] = "".join(scene.reasoning)
        if scene.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in scene.tool_calls
            ]
        if audio := self._audio():
            message["audio"] = audio
        choice: JsonObject = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    def events(self) -> tuple[bytes, ...]:
        """The events of the streamed answer, with the mark of its end."""
        scene = self._scene
        word = "refusal" if self._refused else "content"
        first: JsonObject = {"role": "assistant", "content": None if scene.tool_calls else "", "refusal": None}
        chunks = [self._chunk(first)]
        chunks += [self._chunk({"reasoning_content": chunk}) for chunk in scene.reasoning]
        chunks += [self._chunk({word: chunk}) for chunk in scene.text]
        chunks += [self._chunk({"tool_calls": [call]}) for call in self._call_deltas()]
        if audio := self._audio():
            chunks.append(self._chunk({"audio": audio}))
        chunks.append(self._chunk({}, self._finish))
        usage = self._usage()
        if self._tells_usage and usage is not None:
            chunks.append({**self._chunk({}), "choices": [], "usage": usage})
        return (*(_sse(chunk) for chunk in chunks), b"data: [DONE]\n\n")

    def _chunk(self, delta: JsonObject, finish: str | None = None) -> JsonObject:
        choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk: JsonObject = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        if self._tells_usage:
            chunk["usage"] = None
        if self._pads:
            chunk["obfuscation"] = secrets.token_hex(4)
        return chunk

    def _call_deltas(self) -> list[JsonObject]:
        begun: list[JsonObject] = [
            {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
            for index, call in enumerate(self._scene.tool_calls)
        ]
        grown = interleaved(self._scene.tool_calls)
        return begun + [{"index": index, "function": {"arguments": piece}} for index, piece in grown]

    def _audio(self) -> JsonObject | None:
        sounds = [part for part in self._scene.media if isinstance(part, FilePart)]
        if not sounds:
            return None
        data = base64.b64encode(sounds[0].data).decode()
        return {"id": wire_id("audio_"), "data": data, "expires_at": int(time.time()) + 3600, "transcript": ""}

    def _usage(self) -> JsonObject | None:
        usage = counted(self._scene.usage)
        if usage is None:
            return None
        taken, made = usage.input_tokens or 0, usage.output_tokens or 0
        return {
            "prompt_tokens": taken,
            "completion_tokens": made,
            "total_tokens": taken + made,
            "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def wire_events(scene: Scene) -> int:
    """How many events a streamed answer has that tells its usage, the mark of the end included."""
    return len(_Play({"model": "m", "stream_options": {"include_usage": True}}, scene).events())


__all__ = ["FINISH_WORDS", "answer", "asked_of", "wire_events"]
