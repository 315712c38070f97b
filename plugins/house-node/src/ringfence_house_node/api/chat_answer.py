"""An answer as the OpenAI API has it: `chat.completion`, or the events of a stream of `chat.completion.chunk`.

The source is the SDK's own types (openai/types/chat); `reasoning_content` is what compatible servers add, and
`adjustments`, which is ours, says what was not honoured as asked. INVARIANT: `cached_tokens` is never told: it says
what was asked before.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

import msgspec

from ringfence.errors import ProtocolViolated, RingfenceError
from ringfence.response import (
    Event,
    FinishReason,
    ReasoningDelta,
    Response,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from ringfence_house_node.api.drawing import Drawing
from ringfence_house_node.api.faults import fault_of

HEAD_AFTER_S = 10.0
"""A stream begins after so long without an event: until then a failure still has a status of its own."""

_DONE = b"data: [DONE]\n\n"

_FINISHES: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    # In a stream the text has gone out before it is known to be a refusal; this is the nearest that the API can say.
    "refusal": "content_filter",
}

_encode = msgspec.json.Encoder().encode


def finish_of(response: Response[None]) -> str:
    """Why the answer ended, in the API's words.

    Raises:
        ProtocolViolated: it did not end as an answer does.
    """
    # INVARIANT 9: what ended for no reason that is known never passes for a complete answer.
    found = _FINISHES.get(response.finish_reason)
    if found is None:
        raise ProtocolViolated("the engine ended the answer for no known reason", phase="mid_stream")
    return found


def _event(data: Any) -> bytes:
    return b"data: " + _encode(data) + b"\n\n"


class ChatAnswer:
    """One answer of `model` in the making."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._calls: dict[int, int] = {}
        """The number of a call by the index of its part."""

    async def stream(
        self, drawing: Drawing, came: Sequence[Event | Response[None]], *, include_usage: bool, of_a_server: bool
    ) -> AsyncGenerator[bytes, None]:
        """The events, each whole; `came` was read already. What came together goes out together.

        The first piece is empty, so that the generator can be begun. A failure is the last event. INVARIANT: only a
        complete answer ends with `[DONE]`.
        """
        made = b""
        try:
            yield made
            made = self._chunk({"role": "assistant", "content": ""})
            try:
                while not came or not isinstance(response := came[-1], Response):
                    made += b"".join(map(self._delta, _joined(came)))
                    if made:
                        yield made
                        made = b""
                    came = await drawing.some()
                made += b"".join(map(self._delta, _joined(came)))
                made += self._end(response, include_usage=include_usage)
            except RingfenceError as error:
                made += b"data: " + fault_of(error, of_a_server=of_a_server).body() + b"\n\n"
            yield made
        finally:
            await drawing.aclose()

    def whole(self, response: Response[None]) -> bytes:
        """The answer at once.

        Raises:
            ProtocolViolated: it did not end as an answer does.
        """
        refusal = response.text if response.finish_reason == "refusal" else None
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if refusal is not None else response.text or None,
            "refusal": refusal,
        }
        if thought := "".join(part.text for part in response.reasoning):
            message["reasoning_content"] = thought
        if response.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in response.tool_calls
            ]
        finish_reason = "stop" if refusal is not None else finish_of(response)
        choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
        head = self._head("chat.completion")
        return _encode({**head, "choices": [choice], "usage": usage_of(response.usage), **_adjusted(response)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _chunk(
        self, delta: dict[str, Any], finish_reason: str | None = None, response: Response[None] | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        adjusted = {} if response is None else _adjusted(response)
        return _event({**self._head("chat.completion.chunk"), "choices": [choice], **adjusted})

    def _end(self, response: Response[None], *, include_usage: bool) -> bytes:
        """The events with which a complete answer ends.

        Raises:
            ProtocolViolated: it did not end as an answer does.
        """
        ended = self._chunk({}, finish_of(response), response)
        if include_usage:
            head = self._head("chat.completion.chunk")
            ended += _event({**head, "choices": [], "usage": usage_of(response.usage)})
        return ended + _DONE

    def _delta(self, event: Event | Response[None]) -> bytes:
        """The event that tells what one of ours adds to the message; nothing where it adds nothing."""
        match event:
            case TextDelta(text=text):
                return self._chunk({"content": text})
            case ReasoningDelta(text=text):
                return self._chunk({"reasoning_content": text})
            case ToolCallStart():
                number = self._calls[event.index] = len(self._calls)
                function = {"name": event.name, "arguments": ""}
                call = {"index": number, "id": event.id, "type": "function", "function": function}
                return self._chunk({"tool_calls": [call]})
            case ToolCallDelta():
                more = {"index": self._calls[event.index], "function": {"arguments": event.arguments}}
                return self._chunk({"tool_calls": [more]})
            case _:
                return b""


def _joined(came: Iterable[Event | Response[None]]) -> Iterator[Event | Response[None]]:
    """What came together, with pieces of text that follow one another as one: each event costs its reader as much."""
    for kind, alike in groupby(came, type):
        if kind is TextDelta or kind is ReasoningDelta:
            first, *more = cast("Sequence[TextDelta | ReasoningDelta]", tuple(alike))
            yield replace(first, text="".join((first.text, *(one.text for one in more)))) if more else first
        else:
            yield from alike


def usage_of(usage: Usage) -> dict[str, Any]:
    """The tokens; what the engine does not say is 0."""
    into, out = usage.input_tokens or 0, usage.output_tokens or 0
    found: dict[str, Any] = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    if usage.reasoning_tokens is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return found


def _adjusted(response: Response[None]) -> dict[str, Any]:
    """What was not honoured as asked (invariant 6)."""
    made = [{"setting": one.setting, "action": one.action, "detail": one.detail} for one in response.adjustments]
    return {"adjustments": made} if made else {}


__all__ = ["HEAD_AFTER_S", "ChatAnswer", "finish_of", "usage_of"]
