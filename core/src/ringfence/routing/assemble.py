"""Events to an answer: checks the grammar of what a provider yields, and adds it up (invariants 8 and 9)."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import get_args

from ringfence.errors import InvalidRequest, ProtocolViolated
from ringfence.provider import Embeddings
from ringfence.request import FilePart, ImagePart, Message, Part, ReasoningPart, TextPart, ToolCallPart
from ringfence.response import (
    Finish,
    FinishReason,
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

_GROWS_BY: dict[type, type] = {TextStart: TextDelta, ReasoningStart: ReasoningDelta, ToolCallStart: ToolCallDelta}
_BEGINS_WITH: dict[type, type] = {TextEnd: TextStart, ReasoningEnd: ReasoningStart, ToolCallEnd: ToolCallStart}
_counts = attrgetter(*Usage.__dataclass_fields__)
_FINISH_REASONS: frozenset[str] = frozenset(get_args(FinishReason))


class _Open:
    """A part that has started and not ended."""

    __slots__ = ("chunks", "kind", "start")

    def __init__(self, kind: type, start: TextStart | ReasoningStart | ToolCallStart) -> None:
        self.kind = kind
        self.start = start
        self.chunks: list[str] = []


class Assembler:
    """Adds up the events of one attempt. `add` costs well under a microsecond for a delta."""

    __slots__ = ("_labels", "_next_index", "_open", "_origin", "_parts", "_provider", "embeddings", "finish", "usage")

    def __init__(self, provider: str, labels: frozenset[str], origin: str | None = None) -> None:
        self._provider = provider
        self._origin = origin
        self._labels = labels
        self._open: dict[int, _Open] = {}
        self._parts: dict[int, Part] = {}
        self._next_index = 0
        self.embeddings: Embeddings | None = None
        self.finish: Finish | None = None
        self.usage = Usage()

    def add(self, event: ProviderEvent | Embeddings) -> None:
        """Takes the next event.

        Raises:
            ProtocolViolated: the event breaks the grammar of `ProviderEvent`.
        """
        if self.finish is not None:
            raise _violated(f"{type(event).__name__} after finish")
        if type(event) is TextDelta:
            # The hot path: one look-up, one append.
            part = self._open.get(event.index)
            if part is None or part.kind is not TextDelta or type(event.text) is not str:
                raise _violated("text_delta without text_start, or without text")
            part.chunks.append(event.text)
            return
        if type(event) is UsageReport or type(event) is Finish:
            self._note(event)
            return
        match event:
            case ReasoningDelta(index=index, text=text) | ToolCallDelta(index=index, arguments=text):
                self._grow(type(event), index, text)
            case TextStart() | ReasoningStart() | ToolCallStart():
                self._start(event)
            case TextEnd() | ReasoningEnd() | ToolCallEnd():
                self._parts[event.index] = self._end(event)
            case Media():
                self._parts[self._next(event)] = self._media(event)
            case _:
                self._note(event)

    def _note(self, event: object) -> None:
        """Takes an event that belongs to no part. A plugin may yield anything, so the type is not trusted."""
        match event:
            case UsageReport(usage=usage):
                # INVARIANT: what goes into a receipt is a count or one of our own words, whatever a plugin yields.
                if not _are_counts(usage):
                    raise _violated("usage that holds something else than counts")
                self.usage = usage
            case Embeddings():
                self.embeddings = event
            case Finish():
                if self._open:
                    raise _violated("finish inside an open part")
                if event.reason not in _FINISH_REASONS:
                    raise _violated("finish for a reason that there is not")
                self.finish = event
            case _:
                raise _violated(f"{type(event).__name__} is no event")

    def _next(self, event: TextStart | ReasoningStart | ToolCallStart | Media) -> int:
        if event.index != self._next_index:
            raise _violated(f"{event.type} at index {event.index} where {self._next_index} comes next")
        self._next_index += 1
        return event.index

    def _start(self, event: TextStart | ReasoningStart | ToolCallStart) -> None:
        self._open[self._next(event)] = _Open(_GROWS_BY[type(event)], event)

    def _media(self, event: Media) -> Part:
        part: object = event.part
        if not isinstance(part, ImagePart | FilePart):
            raise _violated("media that is neither an image nor a file")
        return replace(part, labels=part.labels | self._labels)

    def _grow(self, kind: type, index: int, text: str) -> None:
        part = self._open.get(index)
        if part is None or part.kind is not kind or type(text) is not str:
            raise _violated("a delta without its start, or without text")
        part.chunks.append(text)

    def _end(self, event: TextEnd | ReasoningEnd | ToolCallEnd) -> Part:
        part = self._open.get(event.index)
        if part is None or type(part.start) is not _BEGINS_WITH[type(event)]:
            raise _violated("an end without its start")
        del self._open[event.index]
        try:
            return self._part(part.start, "".join(part.chunks), event)
        except InvalidRequest:
            # The fault is the plugin's and not the caller's, and by now something was sent.
            raise _violated("a part with something else than text in it") from None

    def _part(
        self,
        start: TextStart | ReasoningStart | ToolCallStart,
        text: str,
        end: TextEnd | ReasoningEnd | ToolCallEnd,
    ) -> Part:
        if isinstance(start, ToolCallStart):
            return ToolCallPart(start.id, start.name, text, labels=self._labels)
        if isinstance(end, ReasoningEnd):
            return ReasoningPart(self._provider, text, state=end.state, origin=self._origin, labels=self._labels)
        return TextPart(text, labels=self._labels)

    @property
    def only_text(self) -> bool:
        """Whether nothing but text has come, so that another recipient could go on with it."""
        open_text = all(part.kind is TextDelta for part in self._open.values())
        return open_text and all(isinstance(part, TextPart) for part in self._parts.values())

    @property
    def partial_text(self) -> str:
        """The text so far, of complete and open parts in order of index."""
        done = {index: part.text for index, part in self._parts.items() if isinstance(part, TextPart)}
        for index, part in self._open.items():
            if part.kind is TextDelta:
                done[index] = "".join(part.chunks)
        return "".join(done[index] for index in sorted(done))

    def message(self, prefix: str = "") -> Message:
        """The answer, its complete parts in order of index, after the text `prefix` that an earlier attempt began."""
        parts = [self._parts[index] for index in sorted(self._parts)]
        if prefix:
            place, rest = next(
                ((place, part.text) for place, part in enumerate(parts) if isinstance(part, TextPart)), (0, None)
            )
            if rest is not None:
                del parts[place]
            parts.insert(place, TextPart(prefix + (rest or ""), labels=self._labels))
        return Message("assistant", tuple(parts))


def _are_counts(usage: object) -> bool:
    if not isinstance(usage, Usage):
        return False
    return all(count is None or (type(count) is int and count >= 0) for count in _counts(usage))


def _violated(what: str) -> ProtocolViolated:
    return ProtocolViolated(f"the provider broke the event grammar: {what}", phase="mid_stream")
