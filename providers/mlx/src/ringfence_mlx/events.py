"""From a worker's frames to the events of the provider interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from ringfence.errors import ProtocolViolated
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


def events_of(frame: Frame) -> Iterator[ProviderEvent]:
    """The events of one frame, in order: one for a piece of the answer, the usage and the finish for its end.

    Raises:
        ProtocolViolated: the worker sent what no worker of this version sends.
    """
    try:
        if frame["ev"] == "done":
            yield UsageReport(usage=_usage(frame))
            yield Finish(cast("FinishReason", frame["reason"]), frame["raw"])
        else:
            yield _part_event(frame)
    except KeyError:
        raise ProtocolViolated("the worker sent a malformed event", phase="mid_stream") from None


def _part_event(frame: Frame) -> ProviderEvent:  # noqa: PLR0911  (one event a case)
    index = frame["index"]
    match frame["type"]:
        case "text_delta":
            return TextDelta(index, frame["text"])
        case "text_start":
            return TextStart(index)
        case "text_end":
            return TextEnd(index)
        case "reasoning_delta":
            return ReasoningDelta(index, frame["text"])
        case "reasoning_start":
            return ReasoningStart(index)
        case "reasoning_end":
            return ReasoningEnd(index)
        case "tool_call_start":
            return ToolCallStart(index, frame["id_of_call"], frame["name"])
        case "tool_call_delta":
            return ToolCallDelta(index, frame["arguments"])
        case "tool_call_end":
            return ToolCallEnd(index)
        case _:
            raise ProtocolViolated("the worker sent an unknown event", phase="mid_stream")


def _usage(frame: Frame) -> Usage:
    return Usage(
        input_tokens=frame["input_tokens"],
        output_tokens=frame["output_tokens"],
        cached_input_tokens=frame["cached_input_tokens"],
    )


__all__ = ["events_of"]
