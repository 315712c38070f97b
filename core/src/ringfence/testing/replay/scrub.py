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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which labels a part may carry to be written as it is. One without any is written only if that is said."""

    allow_labels: frozenset[str] = frozenset()
    allow_unlabelled: bool = False

    def keeps(self, request: Request, part: Part) -> bool:
        """Whether `part` may be written. The labels of its conversation are its own too."""
        labels = part.labels | request.labels
        return labels <= self.allow_labels if labels else self.allow_unlabelled

    def keeps_all(self, request: Request) -> bool:
        """Whether the answer may be written: it carries the labels of everything that was asked."""
        return all(self.keeps(request, part) for message in request.messages for part in message.parts)


def length_class(text: str) -> int:
    """The least power of two that is not less than the length; 0 for nothing."""
    return 1 << (len(text) - 1).bit_length() if text else 0


def placeholder(text: str) -> str:
    """A text that says only the length class of `text`; the placeholder of a placeholder is itself."""
    return "x" * length_class(text)


def scrubbed_events(events: Sequence[ProviderEvent], request: Request) -> list[ProviderEvent]:
    """The same answer without its content, which still fits what was asked.

    Each part comes in one piece, because the lengths of pieces tell words: a text of its length class, or an instance
    of the schema that was asked for; a call of the same tool without arguments; a grey pixel.
    """
    grown = {event.index: "" for event in events if isinstance(event, TextStart | ReasoningStart)}
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta):
            grown[event.index] = grown.get(event.index, "") + event.text
    return [new for event in events for new in _scrubbed(event, grown, request)]


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
            known = name in {tool.name for tool in request.tools}
            new = [ToolCallStart(index, f"call_{index}", name if known else SCRUBBED), ToolCallDelta(index, "{}")]
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
    return json.dumps(instance_of(request.output.schema))


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
