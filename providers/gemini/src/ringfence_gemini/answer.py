"""From what the API answers to events: the same for a streamed answer and for a whole one, which is one chunk."""

from __future__ import annotations

import base64
import binascii
from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, Raw

from ringfence.errors import StreamBroken
from ringfence.request import FilePart, ImagePart
from ringfence.response import (
    Finish,
    Media,
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)
from ringfence_gemini.failures import failure_in_stream
from ringfence_gemini.reasons import BLOCK_REASONS, finish_of
from ringfence_gemini.sound import Recording
from ringfence_gemini.state import Kind, Mark, State, beside, written
from ringfence_gemini.wire import REST, Blob, Candidate, Chunk, FunctionCall, Part, UsageMetadata

OWN_CALL_ID = "ringfence-"
"""How the ids begin that are made here, for calls to which the API gave none. They are not sent back."""

OUTPUT_TOOL = "ringfence_output"
"""The function that stands in for structured output where a model cannot have both that and tools."""

_ABOUT = {
    "grounding_metadata": "groundingMetadata",
    "citation_metadata": "citationMetadata",
    "url_context_metadata": "urlContextMetadata",
    "logprobs_result": "logprobsResult",
    "continuation_token": "continuationToken",
}
_CUT = frozenset({"length", "content_filter"})
_Open: TypeAlias = Literal["text", "reasoning"]


def usage_of(counts: UsageMetadata) -> Usage:
    """The tokens, unified: those of the thoughts are among the output's, those of tools among the input's."""
    return Usage(
        input_tokens=_sum(counts.prompt_token_count, counts.tool_use_prompt_token_count),
        output_tokens=_sum(counts.candidates_token_count, counts.thoughts_token_count),
        cached_input_tokens=counts.cached_content_token_count,
        reasoning_tokens=counts.thoughts_token_count,
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return first if second is None else (first or 0) + second


class Answer:
    """Turns chunks into events, in order; keeps nothing of what it has passed on."""

    __slots__ = (
        "_about",
        "_bare_call",
        "_block",
        "_calls",
        "_finish",
        "_index",
        "_length",
        "_marks",
        "_open",
        "_recording",
        "_response_id",
        "_usage",
    )

    def __init__(self, recording: Recording | None = None) -> None:
        self._index = 0
        self._open: _Open | None = None
        self._length = 0
        self._marks: list[Mark] = []
        self._calls = 0
        self._bare_call = False
        self._finish: str | None = None
        self._block: str | None = None
        self._usage: UsageMetadata | None = None
        self._response_id = ""
        self._about: dict[str, Raw] = {}
        self._recording = recording

    def feed(self, chunk: Chunk) -> list[ProviderEvent]:
        """The events of one chunk.

        Raises:
            ProviderError: the chunk says that the answer failed.
        """
        if chunk.error is not None:
            raise failure_in_stream(chunk.error)
        self._response_id = chunk.response_id or self._response_id
        self._usage = chunk.usage_metadata or self._usage
        if chunk.prompt_feedback is not None:
            self._block = chunk.prompt_feedback.block_reason or self._block
        events: list[ProviderEvent] = []
        for candidate in chunk.candidates:
            if candidate.index == 0:
                self._candidate(candidate, events)
        return events

    def end(self) -> list[ProviderEvent]:
        """The last events.

        Raises:
            StreamBroken: the answer has no end.
        """
        # INVARIANT: an answer that broke off never passes for a complete one.
        if self._finish is None and self._block is None:
            raise StreamBroken("the stream ended without a finish reason")
        # INVARIANT: nor does a call. Arguments that were cut off before they began look like none.
        if self._bare_call and self._last().reason in _CUT:
            raise _cut_in_a_call()
        events: list[ProviderEvent] = []
        self._close(events)
        if self._recording is not None and (sound := self._recording.file()) is not None:
            events.append(Media(self._next(), sound))
        if self._about:
            self._opaque(State(about=self._about), events)
        if self._usage is not None:
            events.append(UsageReport(usage=usage_of(self._usage)))
        events.append(self._last())
        return events

    def _last(self) -> Finish:
        if self._finish is None:
            return Finish(BLOCK_REASONS.get(self._block or "", "content_filter"), self._block)
        return Finish(finish_of(self._finish, calls=self._calls > 0), self._finish)

    # ------------------------------------------------------------ parts

    def _candidate(self, candidate: Candidate, events: list[ProviderEvent]) -> None:
        if candidate.content is not None:
            for part in candidate.content.parts:
                self._part(part, events)
        self._finish = candidate.finish_reason or self._finish
        for name, wire_name in _ABOUT.items():
            if (raw := getattr(candidate, name)) is not UNSET:
                self._about[wire_name] = raw

    def _part(self, part: Part, events: list[ProviderEvent]) -> None:
        self._bare_call = False
        text = part.text
        if text is not None and part.thought_signature is None and not part.rest:
            if text:
                self._text(text, "reasoning" if part.thought else "text", events)
        elif text is not None and part.thought:
            self._marked(text, "reasoning", part, events)
        elif text:
            self._marked(text, "text", part, events)
        elif part.function_call is not None:
            self._call(part.function_call, part, events)
        elif part.inline_data is not None and not part.thought:
            self._before("inlineData", part, events)
            self._media(part.inline_data, events)
        else:
            self._unknown(part, events)

    def _text(self, text: str, what: _Open, events: list[ProviderEvent]) -> None:
        if self._open != what:
            self._start(what, events)
        self._length += len(text)
        events.append(TextDelta(self._index, text) if what == "text" else ReasoningDelta(self._index, text))

    def _start(self, what: _Open, events: list[ProviderEvent]) -> None:
        self._close(events)
        self._open = what
        self._length = 0
        events.append(TextStart(self._index) if what == "text" else ReasoningStart(self._index))

    def _marked(self, text: str, what: _Open, part: Part, events: list[ProviderEvent]) -> None:
        """Text that came with a signature: it is joined with the text around it, and where it stood is kept."""
        if self._open != what:
            self._start(what, events)
        start = self._length
        if text:
            self._text(text, what, events)
        if fields := beside(part):
            self._marks.append(Mark(start, self._length, fields))

    def _before(self, kind: Kind, part: Part, events: list[ProviderEvent]) -> None:
        """Ends what is open, and keeps what `part` holds besides its content as state in front of it."""
        self._close(events)
        if fields := beside(part):
            self._opaque(State(next_kind=kind, fields=fields), events)

    def _unknown(self, part: Part, events: list[ProviderEvent]) -> None:
        self._close(events)
        if whole := _whole(part):
            self._opaque(State(part=whole), events)

    def _call(self, call: FunctionCall, part: Part, events: list[ProviderEvent]) -> None:
        if call.partial_args or call.will_continue:
            raise _cut_in_a_call()
        # The API lays a whole answer out over lines, and a streamed one not: the arguments are the same.
        arguments = bytes(msgspec.json.format(call.args, indent=-1)).decode()
        arguments = "{}" if arguments == "null" else arguments
        self._bare_call = arguments == "{}"
        if call.name == OUTPUT_TOOL:
            self._marked(arguments, "text", part, events)
            return
        self._before("functionCall", part, events)
        call_id = call.id or OWN_CALL_ID + "-".join(filter(None, (self._response_id, str(self._calls))))
        self._calls += 1
        index = self._next()
        events += (ToolCallStart(index, call_id, call.name), ToolCallDelta(index, arguments), ToolCallEnd(index))

    def _media(self, blob: Blob, events: list[ProviderEvent]) -> None:
        data = _bytes_of(blob.data)
        if self._recording is not None and blob.mime_type.startswith("audio/"):
            self._recording.add(data, blob.mime_type)
            return
        kind = ImagePart if blob.mime_type.startswith("image/") else FilePart
        events.append(Media(self._next(), kind(data, media_type=blob.mime_type, name=blob.display_name)))

    def _opaque(self, state: State, events: list[ProviderEvent]) -> None:
        index = self._next()
        events += (ReasoningStart(index), ReasoningEnd(index, written(state)))

    def _close(self, events: list[ProviderEvent]) -> None:
        opened, self._open = self._open, None
        marks, self._marks = self._marks, []
        if opened == "text":
            events.append(TextEnd(self._next()))
            if marks:
                self._opaque(State(length=self._length, marks=marks), events)
        elif opened == "reasoning":
            state = written(State(thought=True, length=self._length, marks=marks)) if marks else None
            events.append(ReasoningEnd(self._next(), state))

    def _next(self) -> int:
        index = self._index
        self._index += 1
        return index


def _cut_in_a_call() -> StreamBroken:
    return StreamBroken("the answer was cut inside a tool call")


def _whole(part: Part) -> dict[str, Raw]:
    """`part` as it came, field by field; empty where it says nothing."""
    known: dict[str, Raw] = msgspec.json.decode(msgspec.json.encode(part), type=dict[str, Raw])
    return {name: raw for name, raw in known.items() if name != REST} | part.rest


def _bytes_of(text: str) -> bytes:
    """Base64 of either alphabet, padded or not."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise StreamBroken("the answer holds bytes that are not base64") from None


__all__ = ["OUTPUT_TOOL", "OWN_CALL_ID", "Answer", "usage_of"]
