"""From a request to the body of `POST /chat/completions`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import (
    FilePart,
    ImagePart,
    JsonValue,
    Message,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import Adjustment
from ringfence_openai import settings
from ringfence_openai.chat.answer import ChatDecoder, whole
from ringfence_openai.content import (
    data_url,
    encoded,
    file_name,
    is_text_file,
    no_part,
    no_sound,
    require,
    result_text,
    text_of_file,
)
from ringfence_openai.extras import image_detail, merged
from ringfence_openai.native import Native
from ringfence_openai.options import RecipientOptions
from ringfence_openai.structured import function, output_format

ROUTE = "/chat/completions"

_NO_REPLAY = "the Chat Completions API takes no earlier reasoning"
_FILE_AS_TEXT = "the file's text stands in the prompt"
_MOVED = "the API takes pictures and files of the user only, so this one stands in a turn of the user"


def plan_chat(request: Request, recipient: Recipient, card: ModelCard, options: RecipientOptions) -> Plan[object]:
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
        decoder=ChatDecoder if request.stream else None,
    )
    return Plan(request=request, card=card, native=native, adjustments=tuple(builder.adjustments))


class _Builder:
    """One body in the making, and what could not be honoured as asked."""

    def __init__(self, request: Request, card: ModelCard, options: RecipientOptions) -> None:
        self._request = request
        self._card = card
        self._options = options
        self._detail = image_detail(request)
        self.adjustments: list[Adjustment] = []

    def body(self, recipient: Recipient) -> dict[str, JsonValue]:
        """The whole body."""
        messages = [item for message in self._request.messages for item in self._messages(message)]
        body: dict[str, JsonValue] = {
            "model": recipient.model,
            "messages": messages,
            "stream": self._request.stream,
            **self._settings(),
            **self._tools(),
        }
        if self._options.vendor:
            # INVARIANT: the vendor keeps nothing unless the operator lets it. Other servers know no such field.
            body["store"] = self._options.store
        if self._request.stream and self._options.stream_usage:
            body["stream_options"] = {"include_usage": True}
        self._output(body, messages)
        return merged(ROUTE, body, self._request, self._options)

    def _adjust(self, setting: str, action: str, detail: str) -> None:
        made = Adjustment(setting=setting, action=action, detail=detail)  # type: ignore[arg-type]
        if made not in self.adjustments:
            self.adjustments.append(made)

    # ------------------------------------------------------------ settings

    def _settings(self) -> dict[str, JsonValue]:
        given = self._request.settings
        table = settings.CHAT_EXTENDED if self._options.extended_sampling else settings.CHAT
        handled = ("max_output_tokens", "reasoning_effort")
        what = "the Chat Completions API"
        fields, left_out = settings.apply_settings(given, table, handled=handled, what=what)
        self.adjustments += left_out
        if given.max_output_tokens is not None:
            fields[self._options.max_tokens_field] = given.max_output_tokens
        if given.reasoning_effort is not None:
            fields |= self._effort(given.reasoning_effort)
        return fields

    def _effort(self, effort: str) -> dict[str, JsonValue]:
        if "reasoning" in self._card.capabilities:
            return {"reasoning_effort": effort}
        if effort != "none":
            self._adjust("reasoning_effort", "ignored", "the model answers without reasoning")
        return {}

    def _tools(self) -> dict[str, JsonValue]:
        if not self._request.tools:
            return {}
        require(self._card, "tools", "tools", "call tools")
        tools: list[JsonValue] = [
            {"type": "function", "function": function(tool, self._options)} for tool in self._request.tools
        ]
        return {"tools": tools, "tool_choice": self._request.tool_choice}

    def _output(self, body: dict[str, JsonValue], messages: list[JsonValue]) -> None:
        if self._request.output is None:
            return
        require(self._card, "output_schema", "output", "answer to a schema")
        asked = output_format(self._request.output, self._options)
        self.adjustments += asked.adjustments
        if asked.kind == "json_schema":
            schema: dict[str, JsonValue] = {"name": asked.name, "schema": asked.schema, "strict": asked.strict}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif asked.kind is not None:
            body["response_format"] = {"type": asked.kind}
        if asked.instruction is not None:
            messages.insert(0, {"role": "system", "content": asked.instruction})

    # ------------------------------------------------------------ messages

    def _messages(self, message: Message) -> Iterator[JsonValue]:
        """What one turn is here: results of tools first, each a message; then what is said, with its calls."""
        content: list[JsonValue] = []
        moved: list[JsonValue] = []
        calls: list[JsonValue] = []
        for part in message.parts:
            match part:
                case ToolResultPart():
                    yield {"role": "tool", "tool_call_id": part.call_id, "content": result_text(part)}
                case ToolCallPart():
                    called: dict[str, JsonValue] = {"name": part.name, "arguments": part.arguments}
                    calls.append({"id": part.id, "type": "function", "function": called})
                case ReasoningPart():
                    self._adjust("reasoning", "ignored", _NO_REPLAY)
                case TextPart(text=text):
                    content.append({"type": "text", "text": text})
                case ImagePart() | FilePart():
                    (moved if message.role == "assistant" else content).append(self._attachment(message, part))
        yield from _said("user" if message.role == "tool" else message.role, content, calls)
        yield from _said("user", moved, [])

    def _attachment(self, message: Message, part: ImagePart | FilePart) -> JsonValue:
        if message.role == "system":
            raise no_part(part, "in the instructions")
        if message.role == "assistant":
            self._adjust("image" if isinstance(part, ImagePart) else "file", "emulated", _MOVED)
        return self._image(part) if isinstance(part, ImagePart) else self._file(part)

    def _image(self, part: ImagePart) -> JsonValue:
        require(self._card, "image_input", "image", "look at pictures")
        detail: dict[str, JsonValue] = {} if self._detail is None else {"detail": self._detail}
        return {"type": "image_url", "image_url": {"url": data_url(part), **detail}}

    def _file(self, part: FilePart) -> JsonValue:
        no_sound(part)
        if "file_input" not in self._card.capabilities and is_text_file(part):
            self._adjust("file", "emulated", _FILE_AS_TEXT)
            return {"type": "text", "text": text_of_file(part)}
        require(self._card, "file_input", "file", "read files")
        return {"type": "file", "file": {"filename": file_name(part), "file_data": data_url(part)}}


def _said(role: str, content: list[JsonValue], calls: list[JsonValue]) -> Iterator[JsonValue]:
    if not content and not calls:
        return
    said: dict[str, JsonValue] = {"role": role, "content": _plain(content)}
    yield {**said, "tool_calls": calls} if calls else said


def _plain(content: list[JsonValue]) -> JsonValue:
    """The text alone, where there is nothing else: every server takes that; `None` for nothing."""
    if not content:
        return None
    texts = [piece["text"] for piece in content if isinstance(piece, dict) and piece.get("type") == "text"]
    if len(texts) < len(content):
        return content
    return "".join(text for text in texts if isinstance(text, str))


__all__ = ["ROUTE", "plan_chat"]
