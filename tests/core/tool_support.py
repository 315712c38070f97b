"""A model that calls tools, a tool, and who says yes: what the tests of the loop share."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

from tests.core.support import assistant, policy

from ringfence import AsyncAssistant, ToolResultPart
from ringfence.response import (
    Finish,
    ProviderEvent,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    UsageReport,
)
from ringfence.testing import ScriptedProvider


def calls(*asked: tuple[str, dict[str, Any] | str], say: str = "") -> tuple[ProviderEvent, ...]:
    """An answer that asks for calls, with the ids `call-0`, `call-1` …, after the text `say`."""
    events: list[ProviderEvent] = [TextStart(0), TextDelta(0, say), TextEnd(0)] if say else []
    first = 1 if say else 0
    for place, (name, arguments) in enumerate(asked):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        index = first + place
        events += [ToolCallStart(index, f"call-{place}", name), ToolCallDelta(index, text), ToolCallEnd(index)]
    return (*events, UsageReport(usage=Usage(input_tokens=10, output_tokens=5)), Finish("tool_calls"))


def look_up(name: str) -> str:
    """Who somebody is."""
    return f"{name}@example.org" if name == "ada" else f"{name} is not known"


def results(provider: ScriptedProvider, request: int = -1) -> list[ToolResultPart]:
    """The tool results that the model was sent with its request of that number."""
    parts = (part for message in provider.requests[request].messages for part in message.parts)
    return [part for part in parts if isinstance(part, ToolResultPart)]


OneT = TypeVar("OneT")


class SaysYes(Generic[OneT]):
    """A person who says yes, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[OneT] = []

    def __call__(self, asked: OneT) -> bool:
        self.asked.append(asked)
        return True


def one(provider: ScriptedProvider) -> AsyncAssistant:
    """An assistant whose only recipient is `provider`, in the house."""
    return assistant(policy("first"), first=provider)
