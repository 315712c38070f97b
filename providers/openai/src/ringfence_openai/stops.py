"""Stop sequences for an API that has none: the answer is cut where one begins, also across chunks."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.response import (
    Finish,
    ProviderEvent,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEnd,
    ToolCallStart,
)
from ringfence_openai.faults import Cut
from ringfence_openai.native import Decoder


class Stopping:
    """Reads on until a stop sequence has come in a text part; then the answer is finished.

    Text that could be the beginning of a sequence is held back until it is known not to be.
    """

    __slots__ = ("_decoder", "_held", "_open", "_stops", "cut", "finished")

    def __init__(self, decoder: Decoder, stops: tuple[str, ...]) -> None:
        self._decoder = decoder
        self._stops = stops
        self._held: dict[int, str] = {}
        self._open: dict[int, ProviderEvent] = {}
        self.cut = False
        """Whether a stop sequence has come."""
        self.finished = False

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        """The events that `data` stands for, as far as they are before a stop sequence.

        Raises:
            Cut: one comes in a text while a call is open. In the arguments of a call none is looked for.
        """
        out: list[ProviderEvent] = []
        for event in self._decoder.feed(data):
            self._take(event, out)
            if self.finished:
                return out
        self.finished = self._decoder.finished
        return out

    def _take(self, event: ProviderEvent, out: list[ProviderEvent]) -> None:
        match event:
            case TextDelta(index=index, text=text):
                self._text(index, self._held.pop(index, "") + text, out)
                return
            case TextStart(index=index) | ReasoningStart(index=index) | ToolCallStart(index=index):
                self._open[index] = event
            case TextEnd(index=index) | ReasoningEnd(index=index) | ToolCallEnd(index=index):
                del self._open[index]
                if held := self._held.pop(index, ""):
                    out.append(TextDelta(index, held))
            case _:
                pass
        out.append(event)

    def _text(self, index: int, text: str, out: list[ProviderEvent]) -> None:
        # The one that is complete first, so that it does not matter how the text was cut into chunks.
        found = ((place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0)
        _, cut = min(found, default=(0, -1))
        if cut >= 0:
            if cut:
                out.append(TextDelta(index, text[:cut]))
            self._cut(out)
            return
        keep = len(text) - max(_overlap(text, stop) for stop in self._stops)
        if keep:
            out.append(TextDelta(index, text[:keep]))
        if keep < len(text):
            self._held[index] = text[keep:]

    def _cut(self, out: list[ProviderEvent]) -> None:
        # INVARIANT: half of a call never passes for a whole one.
        if any(isinstance(start, ToolCallStart) for start in self._open.values()):
            raise Cut
        self.cut = self.finished = True
        for index, start in sorted(self._open.items()):
            match start:
                case ReasoningStart():
                    out.append(ReasoningEnd(index))
                case _:
                    if index in self._held:
                        out.append(TextDelta(index, self._held.pop(index)))
                    out.append(TextEnd(index))
        out.append(Finish("stop"))


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


__all__ = ["Stopping"]
