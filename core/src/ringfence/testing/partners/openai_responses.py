"""The Responses API of OpenAI: `POST /v1/responses`, streamed and whole."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from ringfence.request import ImagePart
from ringfence.testing.partners.answer import EVENT_STREAM, Answer
from ringfence.testing.partners.asked import Asked, interleaved, last_text, wire_id
from ringfence.testing.partners.loose_json import JsonObject, as_list, as_object, as_text, encoded, objects_in
from ringfence.testing.partners.openai_response_object import ResponseObject
from ringfence.testing.scenes import Scene


def asked_of(body: JsonObject) -> Asked:
    """What a body asks for."""
    tools = objects_in(body.get("tools"))
    items = objects_in(body.get("input"))
    functions = [tool for tool in tools if tool.get("type") == "function"] if body.get("tool_choice") != "none" else []
    output = as_object(as_object(body.get("text")).get("format"))
    return Asked(
        model=as_text(body.get("model")),
        stream=body.get("stream") is True,
        tools=tuple((as_text(tool.get("name")), tool.get("parameters")) for tool in functions),
        tool_answered=bool(items) and items[-1].get("type") == "function_call_output",
        schema=output.get("schema") if output.get("type") == "json_schema" else None,
        wants_image=any(tool.get("type") == "image_generation" for tool in tools),
        characters=len(encoded(body.get("input"))),
        last_text=last_text(body.get("input"), "content"),
    )


def answer(body: JsonObject, scene: Scene) -> Answer:
    """`scene` in the words of this API."""
    play = _Play(body, scene)
    if body.get("stream") is True:
        events = play.events()
        return Answer(
            media_type=EVENT_STREAM,
            events=tuple(_sse(event) for event in events),
            malformed=b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":\n\n',
            failure=_sse(_error_event(scene.fault_at)),
            scene=scene,
        )
    return Answer(
        body=encoded(play.whole()), malformed=b'{"id":"resp_', failed=(200, encoded(play.failed())), scene=scene
    )


def _sse(event: JsonObject) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (as_text(event["type"]).encode(), encoded(event))


def _error_event(number: int) -> JsonObject:
    return {
        "type": "error",
        "code": "server_error",
        "message": "The server had an error while processing your request. Sorry about that!",
        "param": None,
        "sequence_number": number,
    }


@dataclass(slots=True)
class _Item:
    """One output item: as it is added, its events in between, and as it is done."""

    begun: JsonObject
    done: JsonObject
    between: list[JsonObject] = field(default_factory=list[JsonObject])


class _Play:
    """One response. Items come one after another; parallel tool calls interleave."""

    def __init__(self, body: JsonObject, scene: Scene) -> None:
        self._body = body
        self._scene = scene
        self._object = ResponseObject(body, scene)
        self._refused = scene.finish == "refusal"
        # The last item is incomplete where the response is.
        self._item_status = "completed" if self._object.status == "completed" else "incomplete"

    def whole(self) -> JsonObject:
        """The body of an answer that is not streamed."""
        return self._object.final([item.done for item in self._items()])

    def failed(self) -> JsonObject:
        """The body of an answer that failed."""
        return self._object.failed()

    def events(self) -> list[JsonObject]:
        """The events of the streamed answer, numbered."""
        items = self._items()
        calls = [item for item in items if item.done["type"] == "function_call"]
        events: list[JsonObject] = [
            {"type": "response.created", "response": self._object.begun()},
            {"type": "response.in_progress", "response": self._object.begun()},
        ]
        for index, item in enumerate(items):
            if item not in calls:
                events += [_added(index, item), *_placed(item.between, index), _done(index, item)]
        events += self._call_events(calls, len(items) - len(calls))
        final = self._object.final([item.done for item in items])
        events.append({"type": f"response.{self._object.status}", "response": final})
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]

    def _items(self) -> list[_Item]:
        scene = self._scene
        items = [self._reasoning()] if scene.reasoning else []
        items += [_image(part) for part in scene.media if isinstance(part, ImagePart)]
        items += [self._message()] if scene.text else []
        return items + [self._call(index) for index in range(len(scene.tool_calls))]

    def _reasoning(self) -> _Item:
        text = "".join(self._scene.reasoning)
        part: JsonObject = {"type": "summary_text", "text": text}
        done: JsonObject = {"id": wire_id("rs_"), "type": "reasoning", "summary": [part]}
        if "reasoning.encrypted_content" in as_list(self._body.get("include")):
            done["encrypted_content"] = "gAAAAAB" + base64.urlsafe_b64encode(secrets.token_bytes(48)).decode()
        place: JsonObject = {"item_id": done["id"], "summary_index": 0}
        start = "response.reasoning_summary"
        between: list[JsonObject] = [
            {"type": f"{start}_part.added", **place, "part": {"type": "summary_text", "text": ""}},
            *(
                {"type": f"{start}_text.delta", **place, "delta": chunk, **self._noise()}
                for chunk in self._scene.reasoning
            ),
            {"type": f"{start}_text.done", **place, "text": text},
            {"type": f"{start}_part.done", **place, "part": part},
        ]
        return _Item({**done, "summary": []}, done, between)

    def _message(self) -> _Item:
        text = "".join(self._scene.text)
        part = _refusal_part if self._refused else _text_part
        done: JsonObject = {
            "id": wire_id("msg_"),
            "type": "message",
            "status": self._item_status,
            "content": [part(text)],
            "role": "assistant",
        }
        place: JsonObject = {"item_id": done["id"], "content_index": 0}
        deltas = self._refusal_events(place, text) if self._refused else self._text_events(place, text)
        between: list[JsonObject] = [
            {"type": "response.content_part.added", **place, "part": part("")},
            *deltas,
            {"type": "response.content_part.done", **place, "part": part(text)},
        ]
        return _Item({**done, "status": "in_progress", "content": []}, done, between)

    def _text_events(self, place: JsonObject, text: str) -> list[JsonObject]:
        kind = "response.output_text"
        return [
            *(
                {"type": f"{kind}.delta", **place, "delta": chunk, "logprobs": [], **self._noise()}
                for chunk in self._scene.text
            ),
            {"type": f"{kind}.done", **place, "text": text, "logprobs": []},
        ]

    def _refusal_events(self, place: JsonObject, text: str) -> list[JsonObject]:
        kind = "response.refusal"
        return [
            *({"type": f"{kind}.delta", **place, "delta": chunk, **self._noise()} for chunk in self._scene.text),
            {"type": f"{kind}.done", **place, "refusal": text},
        ]

    def _call(self, index: int) -> _Item:
        call = self._scene.tool_calls[index]
        done: JsonObject = {
            "id": wire_id("fc_"),
            "type": "function_call",
            "status": self._item_status,
            "arguments": call.arguments,
            "call_id": call.id,
            "name": call.name,
        }
        return _Item({**done, "status": "in_progress", "arguments": ""}, done)

    def _call_events(self, calls: Sequence[_Item], first: int) -> list[JsonObject]:
        kind = "response.function_call_arguments"
        events = [_added(first + index, item) for index, item in enumerate(calls)]
        for index, piece in interleaved(self._scene.tool_calls):
            place: JsonObject = {"item_id": calls[index].done["id"], "output_index": first + index}
            events.append({"type": f"{kind}.delta", **place, "delta": piece, **self._noise()})
        for index, item in enumerate(calls):
            place = {"item_id": item.done["id"], "output_index": first + index}
            events.append({"type": f"{kind}.done", **place, "arguments": item.done["arguments"]})
            events.append(_done(first + index, item))
        return events

    def _noise(self) -> JsonObject:
        # The vendor pads deltas against guessing from sizes, unless it is told not to.
        if as_object(self._body.get("stream_options")).get("include_obfuscation") is False:
            return {}
        return {"obfuscation": secrets.token_hex(4)}


def _text_part(text: str) -> JsonObject:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _refusal_part(text: str) -> JsonObject:
    return {"type": "refusal", "refusal": text}


def _image(part: ImagePart) -> _Item:
    done: JsonObject = {
        "id": wire_id("ig_"),
        "type": "image_generation_call",
        "status": "completed",
        "background": "opaque",
        "output_format": part.media_type.partition("/")[2],
        "quality": "high",
        "result": base64.b64encode(part.data).decode(),
        "size": "1024x1024",
    }
    steps = ("in_progress", "generating", "completed")
    between: list[JsonObject] = [
        {"type": f"response.image_generation_call.{step}", "item_id": done["id"]} for step in steps
    ]
    return _Item({"id": done["id"], "type": done["type"], "status": "in_progress", "result": None}, done, between)


def _placed(events: Sequence[JsonObject], index: int) -> list[JsonObject]:
    return [{**event, "output_index": index} for event in events]


def _added(index: int, item: _Item) -> JsonObject:
    return {"type": "response.output_item.added", "output_index": index, "item": item.begun}


def _done(index: int, item: _Item) -> JsonObject:
    return {"type": "response.output_item.done", "output_index": index, "item": item.done}


def wire_events(scene: Scene) -> int:
    """How many events a streamed answer has."""
    return len(_Play({"model": "m"}, scene).events())


__all__ = ["answer", "asked_of", "wire_events"]
