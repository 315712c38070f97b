"""Scenes that between them use everything a scene can say, and strict checks against the vendors' own types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast, get_args

from pydantic import BaseModel, TypeAdapter

from ringfence.request import FilePart, ImagePart, ToolCallPart
from ringfence.response import FinishReason, Usage
from ringfence.testing.scenes import ErrorKind, Scene

FINISHES: tuple[FinishReason, ...] = get_args(FinishReason)
ERRORS: tuple[ErrorKind, ...] = get_args(ErrorKind)

CALLS = (
    ToolCallPart("call_1", "weather", '{"city":"Oslo","days":3}'),
    ToolCallPart("call_2", "time", "{}"),
)

SCENES: dict[str, Scene] = {
    "text": Scene(),
    "nothing": Scene(text=()),
    "reasoning": Scene(reasoning=("Let me", " think.")),
    "reasoning only": Scene(text=(), reasoning=("Hm.",)),
    "tools": Scene(text=(), tool_calls=CALLS),
    "everything": Scene(
        reasoning=("First",),
        tool_calls=CALLS,
        media=(ImagePart(b"\x89PNG"), FilePart(b"sound", media_type="audio/wav")),
    ),
    "lines": Scene(text=("a\nb", "\u2028", "é😀", "\r\n\r\ndata: x")),
    "no usage": Scene(usage=Usage()),
    "part of the usage": Scene(usage=Usage(output_tokens=5)),
    **{f"ends with {reason}": Scene(finish=reason) for reason in FINISHES},
}


def sse_data(events: tuple[bytes, ...] | None) -> list[Any]:
    """The JSON of every event that holds some."""
    # Not `splitlines`: U+2028 may stand in JSON, and ends no line of an event stream.
    lines = [line for event in events or () for line in event.replace(b"\r\n", b"\n").split(b"\n")]
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ") and line != b"data: [DONE]"]


def validated(kind: Any, value: object) -> Any:
    """`value` as the SDK's type `kind`, every required field there and every literal known."""
    return _adapter(kind).validate_python(value)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def unknown_fields(value: object, path: str = "") -> set[str]:
    """The fields, as dotted paths, that the SDK's types do not know."""
    if isinstance(value, BaseModel):
        extra = {f"{path}{name}" for name in value.model_extra or {}}
        inner = [unknown_fields(getattr(value, name), f"{path}{name}.") for name in type(value).model_fields]
        return extra.union(*inner)
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return {name for item in items for name in unknown_fields(item, path)}
    return set()
