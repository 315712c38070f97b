"""The parts of an answer while it comes: which index each has, and which are open."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal, TypeAlias

import msgspec

from ringfence.response import (
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
)

Kind: TypeAlias = Literal["text", "reasoning", "tool_call"]

_ENDS: dict[Kind, type[TextEnd | ReasoningEnd | ToolCallEnd]] = {
    "text": TextEnd,
    "reasoning": ReasoningEnd,
    "tool_call": ToolCallEnd,
}


class Parts:
    """Gives every part its index; `key` is how the API names it. No empty text part and no empty delta is made."""

    __slots__ = ("_arguments", "_next", "_open", "_texts", "called", "done", "refused")

    def __init__(self) -> None:
        self._next = 0
        self._open: dict[Hashable, tuple[int, Kind]] = {}
        self._arguments: dict[Hashable, list[str]] = {}
        """What came of the arguments of each call."""
        self._texts: dict[Hashable, list[str]] = {}
        """What came of each text."""
        self.done: set[Hashable] = set()
        """The calls that the backend itself said are complete."""
        self.called = False
        """Whether a tool was called."""
        self.refused = False
        """Whether the model refused."""

    def _start(self, key: Hashable, kind: Kind) -> int:
        index = self._next
        self._next = index + 1
        self._open[key] = (index, kind)
        return index

    def is_open(self, key: Hashable) -> bool:
        """Whether the part `key` has started and not ended."""
        return key in self._open

    def text(self, key: Hashable, text: str) -> list[ProviderEvent]:
        """More text for the part `key`, which starts with it if need be."""
        if not text:
            return []
        part = self._open.get(key)
        if part is not None:
            self._texts[key].append(text)
            return [TextDelta(part[0], text)]
        self._texts[key] = [text]
        index = self._start(key, "text")
        return [TextStart(index), TextDelta(index, text)]

    def text_of(self, key: Hashable) -> str:
        """What came of the text `key`."""
        return "".join(self._texts.get(key, ()))

    def reasoning(self, key: Hashable, text: str = "") -> list[ProviderEvent]:
        """Reasoning begins, or more of it comes."""
        events: list[ProviderEvent] = []
        part = self._open.get(key)
        index = self._start(key, "reasoning") if part is None else part[0]
        if part is None:
            events.append(ReasoningStart(index))
        if text:
            events.append(ReasoningDelta(index, text))
        return events

    def call(self, key: Hashable, call_id: str, name: str) -> list[ProviderEvent]:
        """A tool is called."""
        self.called = True
        self._arguments[key] = []
        return [ToolCallStart(self._start(key, "tool_call"), call_id, name)]

    def arguments(self, key: Hashable, arguments: str) -> list[ProviderEvent]:
        """More of the arguments of the call `key`; nothing where there is no such call."""
        part = self._open.get(key)
        if part is None or not arguments:
            return []
        self._arguments[key].append(arguments)
        return [ToolCallDelta(part[0], arguments)]

    def arguments_of(self, key: Hashable) -> str:
        """What came of the arguments of the call `key`."""
        return "".join(self._arguments.get(key, ()))

    def has_half_a_call(self, *, cut: bool) -> bool:
        """Whether a call is not known to be complete, now that the answer has ended, or was `cut`.

        A whole object as its arguments shows it, or the word of the backend where it takes none. In an answer that was
        not cut that is asked of open calls only.
        """
        return any(
            not (is_object(arguments) or (cut and not arguments and key in self.done))
            for key, arguments in ((key, self.arguments_of(key)) for key in self._arguments)
            if cut or key in self._open
        )

    def end(self, key: Hashable, state: str | None = None) -> list[ProviderEvent]:
        """The part `key` is complete; nothing where it never started."""
        part = self._open.pop(key, None)
        if part is None:
            return []
        index, kind = part
        return [ReasoningEnd(index, state) if kind == "reasoning" else _ENDS[kind](index)]

    def end_all(self, kind: Kind | None = None) -> list[ProviderEvent]:
        """Every open part, or every one of `kind`, is complete."""
        keys = [key for key, part in self._open.items() if kind is None or part[1] == kind]
        return [event for key in keys for event in self.end(key)]


def is_object(arguments: str) -> bool:
    """Whether `arguments` is one complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False


__all__ = ["Parts", "is_object"]
