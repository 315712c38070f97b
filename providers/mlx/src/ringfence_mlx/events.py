"""From a worker's frames to the events of the provider interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

from ringfence.response import (
    Finish,
    FinishReason,
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
from ringfence_mlx.wire import Frame

_Open = Literal["text", "reasoning"]


class EventStream:
    """Frames in, events out: gives every part its index, starts it with its first piece and ends it before the next."""

    def __init__(self) -> None:
        self._index = -1
        self._open: _Open | None = None

    def feed(self, frame: Frame) -> Iterator[ProviderEvent]:
        """The events of one frame, in order."""
        match frame["ev"]:
            case "text":
                yield from self._enter("text")
                yield TextDelta(self._index, frame["text"])
            case "reasoning":
                yield from self._enter("reasoning")
                yield ReasoningDelta(self._index, frame["text"])
            case "tool_call":
                yield from self._leave()
                self._index += 1
                yield ToolCallStart(self._index, frame["call_id"], frame["name"])
                yield ToolCallDelta(self._index, frame["arguments"])
                yield ToolCallEnd(self._index)
            case "done":
                yield from self._leave()
                yield UsageReport(usage=_usage(frame))
                yield Finish(cast("FinishReason", frame["reason"]), frame["raw"])
            case _:
                return

    def _enter(self, kind: _Open) -> Iterator[ProviderEvent]:
        if self._open == kind:
            return
        yield from self._leave()
        self._index += 1
        self._open = kind
        yield TextStart(self._index) if kind == "text" else ReasoningStart(self._index)

    def _leave(self) -> Iterator[ProviderEvent]:
        if self._open is not None:
            yield TextEnd(self._index) if self._open == "text" else ReasoningEnd(self._index)
            self._open = None


def _usage(frame: Frame) -> Usage:
    return Usage(
        input_tokens=frame["input_tokens"],
        output_tokens=frame["output_tokens"],
        cached_input_tokens=frame["cached_input_tokens"],
        reasoning_tokens=frame.get("reasoning_tokens"),
    )


__all__ = ["EventStream"]
