"""Answers of the Chat Completions API, streamed and whole: a whole answer is read as one large delta."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ringfence.response import Finish, FinishReason, ProviderEvent, Usage, UsageReport
from ringfence_openai.chat import wire
from ringfence_openai.faults import Cut, Malformed, Refused
from ringfence_openai.parts import Parts, is_object

_DONE = b"[DONE]"
_NOTHING: tuple[ProviderEvent, ...] = ()

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

_COMPLETE: frozenset[FinishReason] = frozenset({"stop", "tool_calls"})
"""What the model ended by itself, with its calls."""


class ChatDecoder:
    """Reads the chunks of one answer. A chunk with the finish reason is not the end: `[DONE]` is."""

    __slots__ = ("_calls", "_finish_reason", "_last", "_parts", "_usage", "finished")

    def __init__(self) -> None:
        self._parts = Parts()
        self._calls: dict[int, tuple[int, str | None]] = {}
        """By the index in the stream: the number of the call here, and its id."""
        self._last: int | None = None
        """The index of the call that began last."""
        self._finish_reason: str | None = None
        self._usage: wire.UsageBody | None = None
        self.finished = False

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        """The events that `data` stands for.

        Raises:
            Malformed: it is no chunk of this API.
            Refused: it says that the backend failed.
        """
        if data == _DONE:
            return self._end()
        try:
            chunk = wire.decode_chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Malformed from None
        if chunk.error is not None:
            raise _refused(chunk.error)
        if chunk.choices is None and chunk.usage is None:
            raise Malformed
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                return self.take(choice.delta, choice.finish_reason)
        return _NOTHING

    def take(self, delta: wire.Delta | None, finish_reason: str | None) -> Sequence[ProviderEvent]:
        """The events of one delta."""
        if finish_reason is not None:
            self._finish_reason = finish_reason
        if delta is None:
            return _NOTHING
        events: list[ProviderEvent] = []
        if thought := delta.reasoning_content or delta.reasoning:
            events += self._parts.reasoning("reasoning", thought)
        if delta.content or delta.refusal or delta.tool_calls:
            events += self._parts.end("reasoning")
        if delta.content:
            events += self._parts.text("content", delta.content)
        if delta.refusal:
            self._parts.refused = True
            events += self._parts.text("refusal", delta.refusal)
        for call in delta.tool_calls or ():
            events += self._call(self._place(call) if call.index is None else call.index, call)
        return events

    def _place(self, call: wire.ToolCall) -> int:
        """Where a call stands of which the server does not say it: at its id, else a name begins a new one."""
        for index, (_, known_id) in self._calls.items():
            if call.id and call.id == known_id:
                return index
        if call.id or self._last is None or (call.function and call.function.name):
            return -1 - len(self._calls)
        return self._last

    def _call(self, index: int, call: wire.ToolCall) -> list[ProviderEvent]:
        function = call.function or wire.Function()
        number, known_id = self._calls.get(index, (None, None))
        events: list[ProviderEvent] = []
        if number is None or (function.name and self._is_another(number, known_id, call.id)):
            if not function.name:
                raise Malformed
            number = len(self._calls) if number is None else number + _APART
            self._calls[index] = (number, call.id)
            self._last = index
            events += self._parts.call(number, call.id or f"call_{number}", function.name)
        return events + self._parts.arguments(number, function.arguments or "")

    def _is_another(self, number: int, known_id: str | None, call_id: str | None) -> bool:
        """Whether a name at an index that has a call begins another one: Ollama gives every call the index 0.

        Its id tells; without ids, nothing can follow arguments that are complete.
        """
        return call_id != known_id if call_id else is_object(self._parts.arguments_of(number))

    def _end(self) -> Sequence[ProviderEvent]:
        if self._finish_reason is None:
            raise Malformed
        events = self.ending(self._usage)
        self.finished = True
        return events

    def ending(self, usage: wire.UsageBody | None) -> Sequence[ProviderEvent]:
        """The events at the end of the answer.

        Raises:
            Cut: it ended inside a call.
        """
        raw = self._finish_reason
        reason: FinishReason = _REASONS.get(raw or "", "other")
        # INVARIANT: half of a call never passes for a whole one.
        if reason not in _COMPLETE and self._parts.has_half_a_call(cut=True):
            raise Cut
        if reason == "stop" and self._parts.called:
            reason = "tool_calls"
        if reason == "stop" and self._parts.refused:
            reason = "refusal"
        report = [UsageReport(usage=usage_of(usage))] if usage is not None else []
        return [*self._parts.end_all(), *report, Finish(reason, raw)]


_APART = 1_000
"""Between the numbers of calls that share an index."""


def _refused(error: wire.ErrorBody | str) -> Refused:
    return Refused() if isinstance(error, str) else Refused(error.code, error.type)


def usage_of(usage: wire.UsageBody) -> Usage:
    """The tokens, in the words of the provider interface."""
    into, out = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_input_tokens=into.cached_tokens if into is not None else None,
        reasoning_tokens=out.reasoning_tokens if out is not None else None,
    )


def whole(body: bytes, media_type: str) -> Sequence[ProviderEvent]:  # noqa: ARG001  (every body of this API is JSON)
    """The events of an answer that came whole.

    Raises:
        Malformed: it is no answer of this API.
    """
    try:
        answer = wire.decode_whole(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed from None
    choice = next((choice for choice in answer.choices if choice.index == 0), None)
    if choice is None or choice.finish_reason is None:
        raise Malformed
    decoder = ChatDecoder()
    events = decoder.take(choice.message, choice.finish_reason)
    return [*events, *decoder.ending(answer.usage)]


__all__ = ["ChatDecoder", "usage_of", "whole"]
