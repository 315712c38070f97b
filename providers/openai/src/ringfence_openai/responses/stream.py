"""A streamed answer of the Responses API."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ringfence.response import ProviderEvent
from ringfence_openai.faults import Malformed, Refused
from ringfence_openai.parts import Parts
from ringfence_openai.responses import wire
from ringfence_openai.responses.items import BETWEEN, end_call, end_message, ending, whole_item

_NOTHING: tuple[ProviderEvent, ...] = ()


class ResponsesDecoder:
    """Reads the events of one answer."""

    __slots__ = ("_argued", "_ended", "_last_piece", "_parts", "finished")

    def __init__(self) -> None:
        self._parts = Parts()
        self._argued: set[int] = set()
        """The calls whose arguments came in deltas; another server may send them with the complete item only."""
        self._ended: set[int] = set()
        """The places of the items that came whole."""
        self._last_piece: dict[int, tuple[str, int]] = {}
        """By item: which of its pieces of reasoning came last."""
        self.finished = False

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        """The events that `data` stands for.

        Raises:
            Malformed: it is no event of this API.
            Refused: it says that the backend failed.
        """
        try:
            event = wire.decode_event(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _unknown(data)
        if type(event) is wire.OutputTextDelta:
            return self._parts.text((event.output_index, event.content_index), event.delta)
        try:
            return self._other(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Malformed from None

    def _other(self, event: wire.StreamEvent) -> Sequence[ProviderEvent]:  # noqa: PLR0911  (one kind a case)
        match event:
            case wire.ArgumentsDelta():
                self._argued.add(event.output_index)
                return self._parts.arguments(event.output_index, event.delta)
            case wire.SummaryDelta():
                return self._reasoning(event, ("summary", event.summary_index))
            case wire.ReasoningTextDelta():
                return self._reasoning(event, ("text", event.content_index))
            case wire.RefusalDelta():
                self._parts.refused = True
                return self._parts.text((event.output_index, event.content_index), event.delta)
            case wire.ItemAdded():
                return self._added(event.output_index, bytes(event.item))
            case wire.ItemDone():
                return self._done(event.output_index, bytes(event.item))
            case wire.Completed() | wire.Incomplete():
                events = [*self._rest(event.response.output), *ending(self._parts, event.response)]
                self.finished = True
                return events
            case wire.Failed():
                return ending(self._parts, event.response)
            case wire.ErrorEvent():
                error = event.error or wire.ErrorBody()
                raise Refused(event.code, error.code, error.type)
            case _:
                return _NOTHING

    def _added(self, place: int, item: bytes) -> Sequence[ProviderEvent]:
        match wire.decode_item(item).type:
            case "message":
                return _NOTHING
            case "function_call":
                call = wire.decode_call(item)
                return self._parts.call(place, call.call_id, call.name)
            case _:
                return self._parts.reasoning(place)

    def _done(self, place: int, item: bytes) -> Sequence[ProviderEvent]:
        self._ended.add(place)
        kind = wire.decode_item(item).type
        if kind == "message":
            return end_message(self._parts, place, item)
        if not self._parts.is_open(place):
            return whole_item(self._parts, place, item)
        if kind != "function_call":
            return self._parts.end(place, item.decode())
        call = wire.decode_call(item)
        arguments = "" if place in self._argued else call.arguments
        return [*self._parts.arguments(place, arguments), *end_call(self._parts, place, call)]

    def _rest(self, items: Sequence[msgspec.Raw]) -> list[ProviderEvent]:
        """What of the complete answer has not come yet; nothing where as many items came as it has."""
        if len(self._ended) >= len(items):
            return []
        rest = [(place, bytes(item)) for place, item in enumerate(items) if place not in self._ended]
        return [event for place, item in rest for event in self._done(place, item)]

    def _reasoning(self, event: wire.Deltas, piece: tuple[str, int]) -> Sequence[ProviderEvent]:
        last = self._last_piece.get(event.output_index)
        self._last_piece[event.output_index] = piece
        text = event.delta if last in (None, piece) else BETWEEN + event.delta
        return self._parts.reasoning(event.output_index, text)


def _unknown(data: bytes) -> Sequence[ProviderEvent]:
    """Nothing, for an event of a kind that is not known here: new kinds come, and are no fault."""
    try:
        kind = wire.decode_item(data).type
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed from None
    if kind in wire.KNOWN_EVENTS:
        raise Malformed
    return _NOTHING


__all__ = ["ResponsesDecoder"]
