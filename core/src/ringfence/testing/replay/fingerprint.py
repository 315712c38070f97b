"""The fingerprint of a request: a digest for each kind of thing in it, so that a difference can be named by kind.

INVARIANT: only what may be written enters a digest. Of a scrubbed part there is its kind, and of a text of the user or
the app its length class; what a model or a tool said is replayed as a placeholder, and so has none to compare.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TypeAlias, assert_never

from ringfence.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Request,
    Settings,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from ringfence.testing.replay.scrub import Rule, length_class

Fingerprint: TypeAlias = dict[str, str]
"""Digests by kind: `model`, `task`, `tools`, `schema`, `options`, `message N`, `setting NAME`."""

_DIGITS = 16


def fingerprint(request: Request, model: str, rule: Rule) -> Fingerprint:
    """What `request` to `model` is told from others by. Labels, facts, tenant and streaming do not count."""
    kept = rule.keeps_all(request)
    tools = [[tool.name, tool.description, tool.parameters] for tool in request.tools]
    schema = request.output and [request.output.name, request.output.schema]
    found: Fingerprint = {
        "model": _digest(model),
        "task": _digest(request.task),
        "tools": _digest([request.tool_choice, tools if kept else len(tools)]),
        "schema": _digest(schema if kept else schema is not None),
        "options": _digest(request.provider_options if kept else len(request.provider_options)),
    }
    for number, message in enumerate(request.messages, 1):
        found[f"message {number}"] = _digest(_message(request, message, rule))
    for name, value in _given(request.settings).items():
        is_content = name in {"stop", "logit_bias"}
        found[f"setting {name}"] = _digest(value if kept or not is_content else "given")
    return found


def differences(one: Fingerprint, other: Fingerprint) -> list[str]:
    """The kinds in which two requests differ."""
    return [kind for kind in {**one, **other} if one.get(kind) != other.get(kind)]


def _digest(value: object) -> str:
    written = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(written).hexdigest()[:_DIGITS]


def _given(settings: Settings) -> dict[str, object]:
    default = Settings()
    return {name: value for name, value in asdict(settings).items() if value != getattr(default, name)}


def _message(request: Request, message: Message, rule: Rule) -> list[object]:
    spoken = message.role in {"system", "user"}
    parts = [_part(part) if rule.keeps(request, part) else _scrubbed(part, spoken=spoken) for part in message.parts]
    return [message.role, parts]


def _part(part: Part) -> list[object]:
    match part:
        case TextPart(text):
            return ["text", text]
        case ReasoningPart(provider, text):
            return ["reasoning", provider, text, part.state]
        case ToolCallPart(call, name, arguments):
            return ["tool call", call, name, arguments]
        case ToolResultPart(call, name, text):
            return ["tool result", call, name, text, part.is_error]
        case ImagePart(data) | FilePart(data):
            return [type(part).__name__, part.media_type, part.name, hashlib.sha256(data).hexdigest()]
        case _:
            assert_never(part)


def _scrubbed(part: Part, *, spoken: bool) -> list[object]:
    size = length_class(part.text) if spoken and isinstance(part, TextPart) else None
    return [type(part).__name__, None, size]
