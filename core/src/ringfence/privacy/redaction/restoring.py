"""The way back: placeholders in what a model says become the values again, for the eyes of the user alone."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from ringfence.privacy.redaction.nesting import Begun, says_no_structure
from ringfence.request import ToolCallPart
from ringfence.response import (
    ProviderEvent,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)

if TYPE_CHECKING:
    from ringfence.privacy.redaction.vault import Vault


class Restorer:
    """Restores one text that comes in pieces: the same text, however it is split.

    It goes over each character once, so what was restored is never restored again, and holds back only what may be the
    beginning of a placeholder. `in_json` writes values as they stand inside a JSON string. A placeholder that breaks
    off is left as it came.

    INVARIANT: a value never becomes structure of a JSON text, nor of one inside its strings: where it could, the
    placeholder stays.
    """

    __slots__ = ("_begun", "_held", "_in_order", "_longest", "_pattern", "_plain", "_values", "_went")

    def __init__(self, vault: Vault, *, in_json: bool = False, labels: frozenset[str] | None = None) -> None:
        values = vault.values(labels)
        self._plain: Mapping[str, str] = values
        self._values: Mapping[str, str] = {p: _in_string(v) for p, v in values.items()} if in_json else values
        self._in_order = sorted(values)
        self._begun = Begun() if in_json else None
        self._went: list[str] = []
        self._pattern: re.Pattern[str] = vault.pattern
        self._longest = max(map(len, values), default=0)
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown now that `text` came; perhaps nothing yet."""
        text, self._held = self._held + text, ""
        # A placeholder has one bracket that opens, its first character: only the last can be of one that goes on.
        begins = text.rfind("[", max(0, len(text) - self._longest))
        if begins >= 0 and self._goes_on(text[begins:]):
            text, self._held = text[:begins], text[begins:]
        return self._restored(text)

    def end(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        if self._begun is not None:
            self._begun, self._went = Begun(), []
        return held

    def whole(self, text: str) -> str:
        """`text`, restored at once."""
        return self.feed(text) + self.end()

    def _restored(self, text: str) -> str:
        if self._begun is not None:
            return "".join(self._restored_in_json(text, self._begun))
        return self._pattern.sub(lambda found: self._values.get(found[0], found[0]), text) if "[" in text else text

    def _restored_in_json(self, text: str, begun: Begun) -> Iterator[str]:
        place = 0
        for found in self._pattern.finditer(text) if "[" in text else ():
            value = self._values.get(found[0])
            if value is None:
                continue
            before, place = text[place : found.start()], found.end()
            self._went.append(before)
            if value != self._plain[found[0]]:
                begun.take("".join(self._went))
                self._went = []
                value = found[0] if begun.inner and not says_no_structure(self._plain[found[0]]) else value
            yield before
            yield value
            # What stands for a value is content of the string in which it stands, as the value is.
            self._went.append("x")
        self._went.append(text[place:])
        yield text[place:]

    def _goes_on(self, text: str) -> bool:
        """Whether a placeholder begins with `text` and is longer."""
        first = bisect_left(self._in_order, text)
        return first < len(self._in_order) and self._in_order[first].startswith(text) and self._in_order[first] != text


def _in_string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


class Restoring:
    """Restores the events of one answer: text and reasoning for the user, a call's arguments as its tool may see them.

    The arguments of a call come in one piece, at its end. What is no event passes unchanged, to be found out elsewhere.
    """

    __slots__ = ("_calls", "_in_json", "_texts", "_tool", "_vault")

    def __init__(self, vault: Vault, *, in_json: bool, tool: Callable[[ToolCallPart], ToolCallPart]) -> None:
        self._vault = vault
        self._in_json = in_json
        self._tool = tool
        self._texts: dict[int, Restorer] = {}
        self._calls: dict[int, tuple[ToolCallStart, list[str]]] = {}

    def take(self, event: ProviderEvent) -> Iterator[ProviderEvent]:  # noqa: C901, PLR0912  (one case for each event)
        """The events that `event` lets the user see."""
        match event:
            case TextDelta(index=index, text=str(text)):
                if shown := self._restorer(index, in_json=self._in_json).feed(text):
                    yield TextDelta(index, shown)
            case ReasoningDelta(index=index, text=str(text)):
                if shown := self._restorer(index, in_json=False).feed(text):
                    yield ReasoningDelta(index, shown)
            case TextEnd(index=index):
                if held := self._ended(index):
                    yield TextDelta(index, held)
                yield event
            case ReasoningEnd(index=index):
                if held := self._ended(index):
                    yield ReasoningDelta(index, held)
                yield event
            case ToolCallStart(index=index, name=str(), id=str()):
                self._calls[index] = (event, [])
                yield event
            case ToolCallDelta(index=index, arguments=str(arguments)) if index in self._calls:
                self._calls[index][1].append(arguments)
            case ToolCallEnd(index=index) if index in self._calls:
                start, pieces = self._calls.pop(index)
                arguments = self._tool(ToolCallPart(start.id, start.name, "".join(pieces))).arguments
                if arguments:
                    yield ToolCallDelta(index, arguments)
                yield event
            case _:
                yield event

    def _restorer(self, index: int, *, in_json: bool) -> Restorer:
        restorer = self._texts.get(index)
        if restorer is None:
            restorer = self._texts[index] = Restorer(self._vault, in_json=in_json)
        return restorer

    def _ended(self, index: int) -> str:
        restorer = self._texts.pop(index, None)
        return "" if restorer is None else restorer.end()


__all__ = ["Restorer", "Restoring"]
