"""From a request to the body of `POST /responses`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import (
    FilePart,
    ImagePart,
    JsonValue,
    Message,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import Adjustment
from ringfence_openai import settings
from ringfence_openai.content import data_url, encoded, file_name, no_part, no_sound, require, result_text
from ringfence_openai.extras import image_detail, merged
from ringfence_openai.native import Decoder, Native
from ringfence_openai.options import RecipientOptions
from ringfence_openai.responses.items import REPLAYED, whole
from ringfence_openai.responses.stream import ResponsesDecoder
from ringfence_openai.stops import Stopping
from ringfence_openai.structured import function, output_format

ROUTE = "/responses"

_REPLAYED = "reasoning that the vendor did not make cannot be replayed to it"
_MOVED = "the API takes pictures and files of the user only, so this one stands in a turn of the user"


def plan_responses(request: Request, recipient: Recipient, card: ModelCard, options: RecipientOptions) -> Plan[object]:
    """The plan of a request for a text answer.

    Raises:
        Unsupported: a part, a tool or a shape that this model cannot honour.
        InvalidRequest: a provider option that is not the app's to set.
    """
    require(card, "text", "task", "answer in text")
    builder = _Builder(request, card, options)
    body = builder.body(recipient)
    native = Native(
        recipient=recipient,
        route=ROUTE,
        body=body,
        content=encoded(body),
        whole=whole,
        decoder=_decoder(request) if builder.streams else None,
    )
    return Plan(request=request, card=card, native=native, adjustments=tuple(builder.adjustments))


def _decoder(request: Request) -> type[ResponsesDecoder] | _WithStops:
    stops = request.settings.stop
    return _WithStops(stops) if stops else ResponsesDecoder


class _WithStops:
    """Makes decoders that cut."""

    __slots__ = ("_stops",)

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops

    def __call__(self) -> Decoder:
        return Stopping(ResponsesDecoder(), self._stops)


class _Builder:
    """One body in the making, and what could not be honoured as asked."""

    def __init__(self, request: Request, card: ModelCard, options: RecipientOptions) -> None:
        self._request = request
        self._card = card
        self._options = options
        self._detail = image_detail(request)
        # A stop sequence is found while the answer comes, and the request closed there.
        self.streams = request.stream or bool(request.settings.stop)
        self.adjustments: list[Adjustment] = []

    def body(self, recipient: Recipient) -> dict[str, JsonValue]:
        """The whole body."""
        fields, left_out = settings.apply_settings(
            self._request.settings,
            settings.RESPONSES,
            handled=("stop", "reasoning_effort"),
            what="the Responses API",
        )
        self.adjustments += left_out
        if self._request.settings.stop:
            detail = "the API has none; the answer is cut where one comes, and the request closed"
            self._adjust("stop", "emulated", detail)
        body: dict[str, JsonValue] = {
            "model": recipient.model,
            "input": [item for message in self._request.messages for item in self._items(message)],
            "stream": self.streams,
            # INVARIANT: the vendor keeps nothing unless the operator lets it.
            "store": self._options.store,
            **fields,
            **self._reasoning(),
            **self._tools(),
        }
        self._output(body)
        return merged(ROUTE, body, self._request, self._options)

    def _adjust(self, setting: str, action: str, detail: str) -> None:
        made = Adjustment(setting=setting, action=action, detail=detail)  # type: ignore[arg-type]
        if made not in self.adjustments:
            self.adjustments.append(made)

    # ------------------------------------------------------------ settings

    def _reasoning(self) -> dict[str, JsonValue]:
        effort = self._request.settings.reasoning_effort
        if "reasoning" not in self._card.capabilities:
            if effort not in (None, "none"):
                self._adjust("reasoning_effort", "ignored", "the model answers without reasoning")
            return {}
        # Without storage, the encrypted item is the only way to give the model its reasoning back.
        fields: dict[str, JsonValue] = {"include": ["reasoning.encrypted_content"]}
        return fields if effort is None else {**fields, "reasoning": {"effort": effort}}

    def _tools(self) -> dict[str, JsonValue]:
        if not self._request.tools:
            return {}
        require(self._card, "tools", "tools", "call tools")
        tools: list[JsonValue] = [{"type": "function", **function(tool, self._options)} for tool in self._request.tools]
        return {"tools": tools, "tool_choice": self._request.tool_choice}

    def _output(self, body: dict[str, JsonValue]) -> None:
        if self._request.output is None:
            return
        require(self._card, "output_schema", "output", "answer to a schema")
        asked = output_format(self._request.output, self._options)
        self.adjustments += asked.adjustments
        if asked.kind == "json_schema":
            schema: dict[str, JsonValue] = {"name": asked.name, "schema": asked.schema, "strict": asked.strict}
            body["text"] = {"format": {"type": "json_schema", **schema}}
        elif asked.kind is not None:
            body["text"] = {"format": {"type": asked.kind}}
        if asked.instruction is not None:
            body["instructions"] = asked.instruction

    # ------------------------------------------------------------ messages

    def _items(self, message: Message) -> Iterator[JsonValue]:
        """The items of one turn, in the order of its parts; neighbours of one role make one item."""
        role, content = "", list[JsonValue]()
        for part in message.parts:
            speaker, piece = self._piece(message, part)
            if speaker != role:
                yield from _message(role, content)
                role, content = speaker, []
            if speaker:
                content.append(piece)
            elif piece is not None:
                yield piece
        yield from _message(role, content)

    def _piece(self, message: Message, part: Part) -> tuple[str, JsonValue]:
        """Who says `part`, and its content; or nobody, and an item of its own, or none."""
        role = "user" if message.role == "tool" else message.role
        match part:
            case TextPart(text=text):
                kind = "output_text" if role == "assistant" else "input_text"
                return role, {"type": kind, "text": text}
            case ImagePart() | FilePart():
                return "user", self._attachment(role, part)
            case ToolCallPart():
                call: dict[str, JsonValue] = {"call_id": part.id, "name": part.name, "arguments": part.arguments}
                return "", {"type": "function_call", **call}
            case ToolResultPart():
                return "", {"type": "function_call_output", "call_id": part.call_id, "output": result_text(part)}
            case ReasoningPart():
                return "", self._replayed(part)

    def _attachment(self, role: str, part: ImagePart | FilePart) -> JsonValue:
        if role == "system":
            raise no_part(part, "in the instructions")
        if role == "assistant":
            self._adjust("image" if isinstance(part, ImagePart) else "file", "emulated", _MOVED)
        if isinstance(part, ImagePart):
            require(self._card, "image_input", "image", "look at pictures")
            return {"type": "input_image", "image_url": data_url(part), "detail": self._detail or "auto"}
        no_sound(part)
        require(self._card, "file_input", "file", "read files")
        return {"type": "input_file", "filename": file_name(part), "file_data": data_url(part)}

    def _replayed(self, part: ReasoningPart) -> JsonValue:
        """The item that the vendor made, as it made it; `None` where it made none."""
        try:
            item: object = msgspec.json.decode(part.state or "")
        except msgspec.DecodeError:
            item = None
        # INVARIANT: an answer never speaks for the app: only what the vendor makes by itself goes back.
        if isinstance(item, dict) and _kind(item) in REPLAYED:  # pyright: ignore[reportUnknownArgumentType]
            return item  # pyright: ignore[reportUnknownVariableType]  (JSON)
        self._adjust("reasoning", "ignored", _REPLAYED)
        return None


def _kind(item: dict[str, JsonValue]) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else ""


def _message(role: str, content: list[JsonValue]) -> Iterator[JsonValue]:
    if role and content:
        yield {"role": role, "content": _plain(content)}


def _plain(content: list[JsonValue]) -> JsonValue:
    """The text alone, where there is nothing else: what earlier turns of the model must be, and shorter."""
    texts = [piece["text"] for piece in content if isinstance(piece, dict) and "text" in piece]
    if len(texts) < len(content):
        return content
    return "".join(text for text in texts if isinstance(text, str))


__all__ = ["ROUTE", "plan_responses"]
