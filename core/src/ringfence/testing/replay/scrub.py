"""What of an exchange may be written to a file, and what is written in place of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from ringfence.provider import Embeddings
from ringfence.request import FilePart, ImagePart, Part, Request
from ringfence.response import (
    Finish,
    Media,
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
    UsageReport,
)
from ringfence.testing.partners.schema_instance import instance_of
from ringfence.testing.partners.silence import pixel_png
from ringfence.testing.partners.vectors import vector_of

SCRUBBED = "scrubbed"
SCHEMA_INSTANCE = "scrubbed: an instance of the schema"
"""The text of a scrubbed structured answer. A replay makes the instance, from the schema that it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which labels a part may carry to be written as it is. One without any is written only if that is said."""

    allow_labels: frozenset[str] = frozenset()
    allow_unlabelled: bool = False

    def keeps(self, request: Request, part: Part) -> bool:
        """Whether `part` may be written. The labels of its conversation are its own too."""
        return self._allows(part.labels | request.labels)

    def keeps_all(self, request: Request) -> bool:
        """Whether the answer may be written: it carries the labels of everything that was asked.

        The definitions of tools and the output schema are asked with: they count like parts.
        """
        if not all(self.keeps(request, part) for message in request.messages for part in message.parts):
            return False
        definitions = (*request.tools, *((request.output,) if request.output is not None else ()))
        return all(self._allows(one.labels | request.labels) for one in definitions)

    def _allows(self, labels: frozenset[str]) -> bool:
        return labels <= self.allow_labels if labels else self.allow_unlabelled


def length_class(text: str) -> int:
    """The least power of two that is not less than the length; 0 for nothing."""
    return 1 << (len(text) - 1).bit_length() if text else 0


def placeholder(text: str) -> str:
    """A text that says only the length class of `text`; the placeholder of a placeholder is itself."""
    return "x" * length_class(text)


def scrubbed_events(events: Sequence[ProviderEvent], request: Request) -> list[ProviderEvent]:
    """The same answer without its content, and without that of the request.

    Each part comes in one piece, because the lengths of pieces tell words: a text of its length class, or
    `SCHEMA_INSTANCE` where a schema was asked for; a call of the same tool, told by its place among the tools, without
    arguments; a grey pixel.
    """
    grown = {event.index: "" for event in events if isinstance(event, TextStart | ReasoningStart)}
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            grown[event.index] = grown.get(event.index, "") + event.text
    return [new for event in events for new in _scrubbed(event, grown, request)]


def fitted_events(events: Sequence[ProviderEvent], request: Request) -> list[ProviderEvent]:
    """Scrubbed `events` made to fit `request`: with an instance of its schema, and the names of its tools."""
    return [_fitted(event, request) for event in events]


def _fitted(event: ProviderEvent, request: Request) -> ProviderEvent:
    match event:
        case TextDelta(index, text) if text == SCHEMA_INSTANCE and request.output is not None:
            return TextDelta(index, json.dumps(instance_of(request.output.schema)))
        case ToolCallStart(index, call, name):
            named = {_place(number): tool.name for number, tool in enumerate(request.tools, 1)}
            return ToolCallStart(index, call, named.get(name, name))
        case _:
            return event


def _place(number: int) -> str:
    return f"{SCRUBBED}: tool {number}"


def _scrubbed(event: ProviderEvent, grown: dict[int, str], request: Request) -> list[ProviderEvent]:
    new: list[ProviderEvent] = [event]
    match event:
        case TextStart(index):
            new += _delta(TextDelta(index, _text(grown[index], request)))
        case ReasoningStart(index):
            new += _delta(ReasoningDelta(index, placeholder(grown[index])))
        case TextDelta() | ReasoningDelta() | ToolCallDelta():
            new = []
        case ReasoningEnd(index):
            new = [ReasoningEnd(index)]
        case ToolCallStart(index, _, name):
            # A name that the app did not offer was made up by the model: content.
            places = {tool.name: _place(number) for number, tool in enumerate(request.tools, 1)}
            new = [ToolCallStart(index, f"call_{index}", places.get(name, SCRUBBED)), ToolCallDelta(index, "{}")]
        case Media(index, part):
            new = [Media(index, _medium(part))]
        case TextEnd() | ToolCallEnd() | UsageReport() | Finish():
            pass
        case _:
            assert_never(event)
    return new


def _delta(delta: TextDelta | ReasoningDelta) -> list[ProviderEvent]:
    return [delta] if delta.text else []


def _text(text: str, request: Request) -> str:
    if request.output is None or not text:
        return placeholder(text)
    # INVARIANT: nothing of a schema is written; its texts are content like those of a part.
    return SCHEMA_INSTANCE


def _medium(part: ImagePart | FilePart) -> ImagePart | FilePart:
    if isinstance(part, ImagePart):
        return ImagePart(pixel_png())
    return FilePart(SCRUBBED.encode(), media_type=part.media_type)


def scrubbed_embeddings(embeddings: Embeddings) -> Embeddings:
    """As many vectors of the same length, all the same: a text can be guessed from its vector."""
    vector = vector_of(SCRUBBED, embeddings.dimensions)
    return Embeddings(
        vectors=(vector,) * len(embeddings.vectors),
        dimensions=embeddings.dimensions,
        input_tokens=embeddings.input_tokens,
    )
