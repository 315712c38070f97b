"""What the kit asks, and the marks by which it knows content and secrets again wherever they turn up."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ringfence.request import (
    FilePart,
    JsonValue,
    Message,
    OutputSchema,
    Part,
    Request,
    Settings,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

PROMPT = "kit-prompt-7c1e40b2"
ANSWER = "kit-answer-93bd5f08"
SECRET = "kit-secret-51f0a2d9"  # noqa: S105  (a mark, not a key)
SECRET_VARIABLE = "RINGFENCE_KIT_SECRET"  # noqa: S105  (the name of a variable)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n%kit-file-2d90\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
WAV = (
    b"RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"@\x1f\x00\x00@\x1f\x00\x00\x01\x00\x08\x00data\x08\x00\x00\x00kitsound"
)

TOOLS = (
    Tool(
        name="kit_weather",
        description="the weather of a kit-place",
        parameters={"type": "object", "properties": {"kit_city": {"type": "string"}}, "required": ["kit_city"]},
    ),
    Tool(
        name="kit_clock",
        description="the time in a kit-zone",
        parameters={"type": "object", "properties": {"kit_zone": {"type": "string"}}, "required": ["kit_zone"]},
    ),
)
CALLS = (
    ToolCallPart("call_kit_1", "kit_weather", '{"kit_city": "Reykjavík"}'),
    ToolCallPart("call_kit_2", "kit_clock", '{"kit_zone": "Atlantic/Reykjavik"}'),
)
SHAPE: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {"kit_verdict": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["kit_verdict"],
    "additionalProperties": False,
}
OUTPUT = OutputSchema(schema=SHAPE, name="kit_output")

# One value for each field, none of them any model's default.
SETTINGS: Mapping[str, Any] = {
    "max_output_tokens": 77,
    "temperature": 0.33,
    "top_p": 0.44,
    "top_k": 11,
    "min_p": 0.055,
    "repetition_penalty": 1.21,
    "presence_penalty": 0.31,
    "frequency_penalty": 0.41,
    "seed": 1234,
    "stop": ("KIT-STOP",),
    "logit_bias": {15: -5.0},
    "reasoning_effort": "high",
    "image_size": "1024x768",
    "image_count": 2,
    "language": "de",
    "voice": "kitvoice",
    "audio_format": "flac",
}
FIELDS = tuple(item.name for item in fields(Settings))

KINDS = ("text", "embed", "draw", "transcribe", "speak")
"""What can be asked, by the capability it needs."""

_TASKS = {"draw": "image", "embed": "embed", "transcribe": "transcribe", "speak": "speak"}


def asking(*parts: Part | str, kind: str = "text", **changes: Any) -> Request:
    """A request of `kind`, in one user message of `parts`, the usual words where there are none."""
    given = tuple(TextPart(part) if isinstance(part, str) else part for part in parts or _usual(kind))
    changes.setdefault("messages", (Message("user", given),))
    return Request(task=_TASKS.get(kind, "open_question"), **changes)


def _usual(kind: str) -> tuple[Part, ...]:
    match kind:
        case "transcribe":
            return (FilePart(WAV, media_type="audio/wav", name="kit.wav"),)
        case "embed":
            return (TextPart("a kit sentence"), TextPart("another one"), TextPart("the third"))
        case _:
            return (TextPart("Answer in one short sentence: what is a conformance kit?"),)


def after_tools(*, is_error: bool = False, text: str = "kit-result-warm") -> Request:
    """The turn in which the results of two calls go back."""
    question = Message("user", (TextPart("What is the weather, and what is the time?"),))
    results = (
        ToolResultPart(CALLS[0].id, CALLS[0].name, text, is_error=is_error),
        ToolResultPart(CALLS[1].id, CALLS[1].name, "kit-result-noon"),
    )
    messages = (question, Message("assistant", CALLS), *(Message("tool", (result,)) for result in results))
    return Request(messages=messages, tools=TOOLS)


def carries(body: bytes, data: bytes) -> bool:
    """Whether `data` is in `body`: as bytes, as text in JSON, or in base64."""
    plain = body.replace(b"\\/", b"/")
    forms = [data, base64.b64encode(data), base64.urlsafe_b64encode(data), base64.urlsafe_b64encode(data).rstrip(b"=")]
    try:
        forms.append(json.dumps(data.decode())[1:-1].encode())
        forms.append(json.dumps(data.decode(), ensure_ascii=False)[1:-1].encode())
    except UnicodeDecodeError:
        pass
    return any(form in body or form in plain for form in forms)


__all__ = [
    "ANSWER",
    "CALLS",
    "FIELDS",
    "KINDS",
    "OUTPUT",
    "PDF",
    "PNG",
    "PROMPT",
    "SECRET",
    "SECRET_VARIABLE",
    "SETTINGS",
    "SHAPE",
    "TOOLS",
    "WAV",
    "after_tools",
    "asking",
    "carries",
]
