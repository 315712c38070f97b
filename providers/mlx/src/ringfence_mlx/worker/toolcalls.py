"""The text of an answer taken apart while it comes: plain text, reasoning, and calls in the model's own format."""

from __future__ import annotations

import importlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ringfence_mlx.worker.jsonlike import is_array
from ringfence_mlx.worker.rawjson import member_text

__all__ = ["Event", "ToolCallStream"]

Event: TypeAlias = dict[str, Any]

# mlx-lm has no types, and a function in the place where the module's name leads.
_generate: Any = importlib.import_module("mlx_lm.generate")

# States of mlx-lm's machine. In any other the model writes protocol, such as to whom it speaks.
_KINDS = {"normal": "text", None: "text", "reasoning": "reasoning"}


class ToolCallStream:
    """Text in, events out, in the order and with the names of `ringfence.response`, each a dict with its `type`.

    Only what may be the beginning of a marker is held back, and a call until it is complete. What looks like a call and
    is none (it cannot be parsed, its arguments are no object, or no such tool was offered) comes out as the text that
    the model wrote. White space between parts is dropped.
    """

    def __init__(
        self,
        tokenizer: Any,
        tools: Sequence[Mapping[str, Any]],
        *,
        prompt: Sequence[int] = (),
        structured: bool = False,
    ) -> None:
        """Starts before the first character.

        Args:
            tokenizer: an `mlx_lm.tokenizer_utils.TokenizerWrapper`; it knows the model's format.
            tools: as given to the template; a call to any other is text.
            prompt: the token ids of the prompt, which may have opened the model's reasoning already.
            structured: the answer is JSON under a constraint, all of it text: a marker in it is a part of a string.
        """
        self._tokenizer = tokenizer
        self._tools = [dict(tool) for tool in tools]
        self._names = {tool["function"]["name"] for tool in tools}
        self._state: Any = _generate.TextStateMachine().make_state() if structured else _begin(tokenizer, prompt)
        self._parts = _Parts()
        self._call: list[str] | None = None
        """The text of the call that is under way, without its markers."""

    def feed(self, text: str) -> list[Event]:
        """The events that `text` completes; any length, cut anywhere."""
        before: str | None = self._state[0]
        segments: list[tuple[str | None, str]]
        self._state, segments = _generate.TextStateMachine.split(self._state, text)
        events: list[Event] = []
        for state, segment in segments:
            if before == "tool" and state != "tool":
                events += self._end_call(self._tokenizer.tool_call_end or "")
            events += self._take(state, segment)
            before = state
        return events

    def finish(self, reason: str) -> list[Event]:
        """The last events. `reason` is why generation ended; a call that "length" cut off is text."""
        self._state, rest, state = _generate.TextStateMachine.flush(self._state)
        events = self._take(state, rest)
        if self._call is not None:
            has_end = bool(self._tokenizer.tool_call_end)
            events += self._end_call("", is_cut_off=reason == "length" and has_end)
        return [*events, *self._parts.close()]

    def _take(self, state: str | None, text: str) -> list[Event]:
        if state == "tool":
            self._call = [*(self._call or ()), text]
            return []
        kind = _KINDS.get(state)
        return list(self._parts.grow(kind, text)) if kind else []

    def _end_call(self, end: str, *, is_cut_off: bool = False) -> list[Event]:
        body, self._call = "".join(self._call or ()), None
        calls = [] if is_cut_off else self._parsed(body)
        if not calls:
            return list(self._parts.grow("text", f"{self._tokenizer.tool_call_start}{body}{end}"))
        return [event for name, arguments in calls for event in self._parts.call(name, arguments)]

    def _parsed(self, body: str) -> list[tuple[str, str]]:
        """Names and arguments of the calls in `body`; none if one of them is not in order."""
        try:
            found: Any = self._tokenizer.tool_parser(body, self._tools)
            calls = found if is_array(found) else [found]
            return [self._checked(call, body if len(calls) == 1 else "") for call in calls]
        except Exception:  # noqa: BLE001 - parsers of many formats, on text that a model wrote
            return []

    def _checked(self, call: Mapping[str, Any], body: str) -> tuple[str, str]:
        """The name and the arguments of `call`: as the model wrote them where it wrote JSON, else written as JSON."""
        name, arguments = call["name"], call.get("arguments", {})
        written = arguments if isinstance(arguments, str) else member_text(body, "arguments")
        values = json.loads(arguments) if isinstance(arguments, str) else arguments
        if name not in self._names or not isinstance(values, dict):
            raise ValueError
        rewritten = json.dumps(values, ensure_ascii=False, allow_nan=False)
        return name, written if written is not None and json.loads(written) == values else rewritten


def _begin(tokenizer: Any, prompt: Sequence[int]) -> Any:
    initial = tokenizer.response_initial_state or ("reasoning" if _reasons(tokenizer, prompt) else "normal")
    return _generate.make_text_state_machine(tokenizer).make_state(initial)


def _reasons(tokenizer: Any, prompt: Sequence[int]) -> bool:
    """Whether the prompt ends inside reasoning."""
    if not tokenizer.has_thinking or not prompt:
        return False
    tokens = list(prompt)
    start = tokenizer.rfind_think_start(tokens)
    return bool(start >= 0 and start > tokenizer.rfind_think_end(tokens))


class _Parts:
    """Numbers the parts, and opens and closes them."""

    def __init__(self) -> None:
        self._index = -1
        self._open: str | None = None
        self._space: str = ""
        """White space that is a part's beginning only if more of its kind follows."""
        self._space_of: str | None = None

    def grow(self, kind: str, text: str) -> Iterator[Event]:
        if kind != self._open:
            is_first = self._index < 0
            if kind == self._space_of:
                text = self._space + text
            self._space, self._space_of = "", kind
            if not text.strip():
                self._space = text
                return
            yield from self.close()
            self._index += 1
            self._open = kind
            yield {"type": f"{kind}_start", "index": self._index}
            if not is_first:
                text = text.lstrip()
        if text:
            yield {"type": f"{kind}_delta", "index": self._index, "text": text}

    def call(self, name: str, arguments: str) -> Iterator[Event]:
        self._space = ""
        yield from self.close()
        self._index += 1
        # Nine letters and digits: the one form that the strictest chat templates take back.
        yield {"type": "tool_call_start", "index": self._index, "id": secrets.token_hex(5)[:9], "name": name}
        yield {"type": "tool_call_delta", "index": self._index, "arguments": arguments}
        yield {"type": "tool_call_end", "index": self._index}

    def close(self) -> Iterator[Event]:
        if self._open is None and self._index < 0 and self._space:
            # The whole answer is white space: that is what the model wrote.
            self._index, self._open = 0, "text"
            yield {"type": "text_start", "index": 0}
            yield {"type": "text_delta", "index": 0, "text": self._space}
        if self._open is not None:
            yield {"type": f"{self._open}_end", "index": self._index}
        self._open = None
        self._space = ""
