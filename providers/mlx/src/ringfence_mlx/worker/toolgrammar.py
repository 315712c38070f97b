"""A grammar whose every text is one valid call of an offered tool, in the model's own format, or an answer as asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ringfence_mlx.worker.schemas import closed

__all__ = ["tool_call_grammar"]


def tool_call_grammar(
    tokenizer: Any,
    tools: Sequence[Mapping[str, Any]],
    options: Mapping[str, object],
    vocabulary: Any,
    *,
    schema: Mapping[str, Any] | None = None,
) -> str | None:
    """A Lark grammar for llguidance, or `None` where the model's format is not one that can be forced here.

    Each tool's parameters are a JSON Schema of their own, so that a `$ref` in one means its own `$defs`.

    Args:
        tokenizer: knows the format.
        tools: as given to the template; at least one.
        options: how llguidance writes JSON.
        vocabulary: llguidance's tokenizer; it knows which markers are tokens.
        schema: what an answer that is no call must satisfy; without one there is nothing but calls.
    """
    frame = _frame(tokenizer)
    if frame is None:
        return None
    calls: list[str] = []
    rules: list[str] = []
    for place, tool in enumerate(tools):
        function = tool["function"]
        before, after = (text.replace("NAME", json.dumps(function["name"])) for text in frame)
        calls.append(
            f"{_literals(before, tokenizer, vocabulary)} args{place} {_literals(after, tokenizer, vocabulary)}"
        )
        parameters = {"type": "object", **closed(function.get("parameters") or {}), "x-guidance": dict(options)}
        rules.append(f"args{place}: %json {json.dumps(parameters)}")
    if schema is not None:
        calls.append("answer")
        rules.append(f"answer: %json {json.dumps({**closed(schema), 'x-guidance': dict(options)})}")
    return "\n".join((f"start: {' | '.join(calls)}", *rules))


def _frame(tokenizer: Any) -> tuple[str, str] | None:
    """What stands before and after the arguments; NAME is the tool's name as JSON."""
    start, end = tokenizer.tool_call_start, tokenizer.tool_call_end
    match str(getattr(tokenizer.tool_parser, "__module__", "")).rpartition(".")[2]:
        case "json_tools":
            return f'{start}\n{{"name": NAME, "arguments": ', f"}}\n{end}"
        case "mistral":
            return f'{start}[{{"name": NAME, "arguments": ', "}]"
        case _:
            return None


def _literals(text: str, tokenizer: Any, vocabulary: Any) -> str:
    """`text` in Lark: quoted, but for markers that are special tokens, which no quoted text matches."""
    parts: list[str] = []
    for marker in (tokenizer.tool_call_start, tokenizer.tool_call_end):
        token = tokenizer.get_vocab().get(marker) if marker else None
        if token is not None and vocabulary.is_special_token(token) and marker in text:
            before, text = text.split(marker, 1)
            parts += [*([json.dumps(before)] if before else []), f"<[{token}]>"]
    return " ".join((*parts, *([json.dumps(text)] if text else [])))
