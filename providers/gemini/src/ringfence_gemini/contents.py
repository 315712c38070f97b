"""From messages to `systemInstruction` and `contents`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, assert_never

import msgspec
from msgspec import Raw

from ringfence.errors import InvalidRequest, Unsupported
from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.response import Adjustment
from ringfence_gemini import state
from ringfence_gemini.answer import OWN_CALL_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ringfence.provider import ModelCard
    from ringfence_gemini.state import State

_UNSIGNED = "skip_thought_signature_validator"
"""What the vendor's page on thought signatures gives for calls that another model made."""

_encode = msgspec.json.Encoder().encode
_AS_TEXT = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
_Wire = dict[str, Any]


class Contents:
    """Collects what a request says; `adjustments` is what was not said as asked."""

    def __init__(self, card: ModelCard, *, signs_calls: bool) -> None:
        self._card = card
        self._signs_calls = signs_calls
        self.system: list[_Wire] = []
        self.turns: list[_Wire] = []
        self.adjustments: list[Adjustment] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Takes all messages.

        Raises:
            Unsupported: a part that this model does not take, or no turn of a user.
        """
        for message in messages:
            if message.role == "system":
                self._system(message)
            elif message.role == "assistant":
                self._turn("model", self._said(message.parts))
            else:
                if message.role == "tool" and any(isinstance(part, TextPart) and part.text for part in message.parts):
                    self._adjust("messages", "changed", "text in a turn of a tool is sent as the user's")
                self._turn("user", [self._part(part) for part in message.parts if not _is_empty(part)])
        if not self.turns:
            raise Unsupported("Gemini needs a turn of the user", setting="messages", way_out="add a user message")

    def _system(self, message: Message) -> None:
        if any(not isinstance(part, TextPart) for part in message.parts):
            raise Unsupported(
                "instructions can only be text", setting="messages", way_out="put files in a user message"
            )
        if self.turns:
            self._adjust("messages", "changed", "instructions between the turns stand before all of them")
        self.system += [{"text": encodable(part.text)} for part in message.parts if isinstance(part, TextPart)]

    def _turn(self, role: str, parts: list[_Wire]) -> None:
        if not parts:
            return
        last = self.turns[-1] if self.turns else None
        # Results of tools stay a turn of their own, as the API counts them against the calls before.
        if last is not None and last["role"] == role and _answers(last["parts"]) == _answers(parts):
            last["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": parts})

    # ------------------------------------------------------------ turns of the model

    def _said(self, parts: Iterable[Part]) -> list[_Wire]:
        said: list[_Wire] = []
        pending: State | None = None
        for part in parts:
            if isinstance(part, ReasoningPart):
                self._drop(pending)
                pending = self._recall(part, said)
            elif not _is_empty(part):
                wire = self._part(part)
                if pending is not None and pending.next_kind in wire:
                    wire |= pending.fields or {}
                else:
                    self._drop(pending)
                pending = None
                said.append(wire)
        self._drop(pending)
        return self._signed(said)

    def _recall(self, part: ReasoningPart, said: list[_Wire]) -> State | None:
        """Puts back what Gemini said in `part`; what belongs to the part after it is returned."""
        kept = state.read(part.state) if part.state is not None else state.State(thought=True, length=len(part.text))
        if kept is None:
            self._adjust("reasoning", "ignored", "a state that is not Gemini's was not sent back")
        elif kept.next_kind is not None:
            return kept
        elif kept.thought:
            self._mark(kept, encodable(part.text), said)
        elif kept.marks is not None:
            self._mark(kept, said.pop()["text"] if said and said[-1].keys() == {"text"} else None, said)
        elif kept.part is not None:
            said.append(dict(kept.part))
        return None

    def _mark(self, kept: State, text: str | None, said: list[_Wire]) -> None:
        """Takes a text apart again where it came in pieces that matter; another text than that goes back unmarked."""
        found = None if text is None else state.pieces(text, kept)
        if found is not None:
            said += found
            return
        self._drop(kept)
        if text:
            said.append({"text": text, "thought": True} if kept.thought else {"text": text})

    def _drop(self, pending: State | None) -> None:
        if pending is not None:
            self._adjust("reasoning", "ignored", "a signature was not sent back: the part it belongs to is not there")

    def _signed(self, said: list[_Wire]) -> list[_Wire]:
        """A turn whose first call has a signature, as newer models want it, where another model made the call."""
        calls = [wire for wire in said if "functionCall" in wire]
        if self._signs_calls and calls and not any("thoughtSignature" in call for call in calls):
            calls[0]["thoughtSignature"] = _UNSIGNED
            self._adjust(
                "reasoning", "emulated", "tool calls that another model made carry the vendor's marker for them"
            )
        return said

    # ------------------------------------------------------------ parts

    def _part(self, part: Part) -> _Wire:
        match part:
            case TextPart():
                return {"text": encodable(part.text)}
            case ImagePart():
                self._require("image_input", "image", "take pictures")
                return _inline(part.media_type, part.data)
            case FilePart():
                return self._file(part)
            case ToolCallPart():
                return {"functionCall": {"name": part.name, "args": self._arguments(part), **_id(part.id)}}
            case ToolResultPart():
                result = {("error" if part.is_error else "output"): encodable(part.text)}
                return {"functionResponse": {"name": part.name, "response": result, **_id(part.call_id)}}
            case ReasoningPart():
                raise InvalidRequest("reasoning stands in a turn of the assistant", way_out='Message("assistant", …)')
            case _:
                assert_never(part)

    def _file(self, part: FilePart) -> _Wire:
        media_type = part.media_type
        if media_type.startswith("audio/") and "transcribe" in self._card.capabilities:
            return _inline(media_type, part.data)
        self._require("file_input", "file", f"take files of type {media_type}")
        if media_type in _AS_TEXT:
            self._adjust("file", "changed", f"a file of type {media_type} is sent as text/plain")
            media_type = "text/plain"
        return _inline(media_type, part.data)

    def _arguments(self, part: ToolCallPart) -> Raw | _Wire:
        try:
            msgspec.json.decode(part.arguments, type=dict[str, Raw])
        except (msgspec.DecodeError, UnicodeEncodeError):
            self._adjust("messages", "changed", "arguments of a tool call that are no JSON object are sent as text")
            return {"arguments": encodable(part.arguments)}
        # INVARIANT: arguments go back as the model wrote them.
        return Raw(part.arguments.encode())

    def _require(self, capability: str, setting: str, what: str) -> None:
        if capability not in self._card.capabilities:
            raise Unsupported(
                f"the model '{self._card.name}' cannot {what}", setting=setting, way_out="name another model"
            )

    def _adjust(self, setting: str, action: Literal["emulated", "changed", "ignored"], detail: str) -> None:
        adjustment = Adjustment(setting=setting, action=action, detail=detail)
        if adjustment not in self.adjustments:
            self.adjustments.append(adjustment)


def encodable(text: str) -> str:
    """`text`, if it can be sent.

    Raises:
        InvalidRequest: it is no valid Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            "a text holds half of a surrogate pair", way_out="decode it with errors='replace'"
        ) from None
    return text


def encoded(body: object) -> bytes:
    """The JSON of `body`.

    Raises:
        InvalidRequest: a text in it, such as in a schema, is no valid Unicode.
    """
    try:
        return _encode(body)
    except (ValueError, TypeError):
        raise InvalidRequest(
            "a name, schema or option holds half of a surrogate pair", way_out="decode it with errors='replace'"
        ) from None


def _inline(media_type: str, data: bytes) -> _Wire:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _id(call_id: str) -> dict[str, str]:
    """The id as the API gave it, or another provider; one made here means nothing to the API."""
    return {} if call_id.startswith(OWN_CALL_ID) else {"id": call_id}


def _is_empty(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.text


def _answers(parts: list[_Wire]) -> bool:
    return "functionResponse" in parts[0]


__all__ = ["Contents", "encodable", "encoded"]
