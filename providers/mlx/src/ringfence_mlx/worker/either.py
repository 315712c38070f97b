"""An answer under a grammar that leaves a schema's JSON or a call of a tool: its first characters say which it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ringfence_mlx.worker.toolcalls import Event, ToolCallStream

__all__ = ["SchemaOrCallStream"]


class SchemaOrCallStream:
    """Text in, events out, as `ToolCallStream`. Markers inside the strings of a structured answer stay text."""

    def __init__(self, tokenizer: Any, tools: Sequence[Mapping[str, Any]]) -> None:
        self._tokenizer = tokenizer
        self._tools = tools
        self._held = ""
        self._inner: ToolCallStream | None = None

    def feed(self, text: str) -> list[Event]:
        """The events that `text` completes; none while it could still be either."""
        if self._inner is not None:
            return self._inner.feed(text)
        self._held += text
        start: str = self._tokenizer.tool_call_start
        if len(self._held) < len(start) and start.startswith(self._held):
            return []
        return self._decide(structured=not self._held.startswith(start)).feed(self._held)

    def finish(self, reason: str) -> list[Event]:
        """The last events; what was too short to tell is text."""
        if self._inner is not None:
            return self._inner.finish(reason)
        inner = self._decide(structured=True)
        return [*(inner.feed(self._held) if self._held else ()), *inner.finish(reason)]

    def _decide(self, *, structured: bool) -> ToolCallStream:
        self._inner = ToolCallStream(self._tokenizer, self._tools, structured=structured)
        return self._inner
