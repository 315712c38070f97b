"""A message taken apart for redaction, and put together again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ringfence.privacy.material import file_text
from ringfence.privacy.redaction.rewriting import Cut, Shown, is_json
from ringfence.privacy.redaction.slots import Slot
from ringfence.privacy.redaction.spans import Span
from ringfence.privacy.redaction.vault import MASK
from ringfence.request import (
    NO_LABELS,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

if TYPE_CHECKING:
    from ringfence.privacy.redaction.memory import Known


def _instead(shown: str) -> str:
    """The arguments of a call of which nothing is left."""
    return json.dumps({"redacted": shown})


SAYS_NOTHING = frozenset({_instead(""), _instead(MASK)})
"""What stands for all of a call, and so hides nothing when it comes round again."""


@dataclass(slots=True, repr=False)
class Piece:
    """One part: the slot with its text, `place` in it, and the slot of an attachment's name.

    `gone` are the labels for which it is taken out of the payload.
    """

    part: Part
    slot: Slot | None
    place: int = 0
    name: Slot | None = None
    gone: frozenset[str] = NO_LABELS

    @property
    def whole(self) -> bool:
        """Whether nothing of it is left."""
        return bool(self.gone) or (self.slot is not None and self.slot.is_whole(self.place))

    def found(self) -> frozenset[str]:
        """The labels of its spans."""
        labels = self.slot.labels(self.place) if self.slot is not None else NO_LABELS
        return labels | self.name.labels() if self.name is not None else labels

    def opaque(self) -> bool:
        """Whether it says what none of its texts shows."""
        return isinstance(self.part, ReasoningPart) and self.part.state is not None

    def hits(self) -> frozenset[str]:
        """The labels of what detectors found in its content. Its name says nothing of that."""
        return self.slot.hits[self.place] if self.slot is not None else NO_LABELS

    def take_whole(self, labels: frozenset[str], name: str) -> None:
        """Redacts all of it: its text, or the part itself where that is more than a text."""
        if isinstance(self.part, ImagePart | FilePart | ReasoningPart) or self.slot is None:
            self.gone |= labels
        else:
            self.slot.take_whole(self.place, labels, name)

    def left(self, now: Part) -> bool:
        """Whether `now`, what it has become, says anything to a model."""
        match now:
            case TextPart(text=text) | ToolResultPart(text=text):
                return not self.whole and bool(text.replace(MASK, "").strip())
            case ImagePart() | FilePart():
                return True
            case _:
                return False


class Turn:
    """One message. Its text parts share a slot, as a model reads them on as one text, unless each is read `alone`."""

    def __init__(self, message: Message, known: Known, *, alone: bool = False) -> None:
        self.message = message
        self.known = known
        texts = () if alone else (part.text for part in message.parts if isinstance(part, TextPart))
        self._alone = alone
        self._text = Slot.of(*texts)
        self.pieces = list(self._pieces())

    def _pieces(self) -> Iterator[Piece]:
        place = 0
        for part in self.message.parts:
            match part:
                case TextPart(text=text) if self._alone:
                    yield Piece(part, Slot.of(text))
                case TextPart():
                    yield Piece(part, self._text, place)
                    place += 1
                case ToolCallPart(arguments=text):
                    yield Piece(part, Slot.of(text, json=is_json(text)))
                case ToolResultPart(text=text):
                    yield Piece(part, Slot.of(text, json=is_json(text)))
                case ReasoningPart(text=text):
                    yield Piece(part, Slot.of(text))
                case ImagePart(name=name):
                    yield Piece(part, None, name=Slot.of(name) if name else None)
                case FilePart(name=name):
                    written = file_text(part)
                    slot = None if written is None else Slot.of(written, json=is_json(written))
                    yield Piece(part, slot, name=Slot.of(name) if name else None)

    def slots(self) -> Iterator[Slot]:
        """Every slot, once."""
        if self._text.ends:
            yield self._text
        for piece in self.pieces:
            if piece.slot is not None and piece.slot is not self._text:
                yield piece.slot
            if piece.name is not None:
                yield piece.name

    def rebuilt(self, shown: Shown) -> Iterator[tuple[Piece, Part]]:
        """The parts that are left, each with what it was."""
        texts = self._text.rewritten(shown)
        for piece in self.pieces:
            if piece.gone:
                continue
            part = _rebuilt(piece, texts if piece.slot is self._text else None, shown)
            if part is not None:
                yield piece, part


def _rebuilt(piece: Piece, texts: list[str] | None, shown: Shown) -> Part | None:
    part, slot = piece.part, piece.slot
    match part:
        case TextPart(text=text):
            now = _text(slot, shown) if texts is None else texts[piece.place]
            return part if now == text else replace(part, text=now) if now else None
        case ToolCallPart():
            arguments = _instead(_all(slot, shown)) if piece.whole else _text(slot, shown)
            return replace(part, arguments=arguments)
        case ToolResultPart():
            return replace(part, text=_all(slot, shown) if piece.whole else _text(slot, shown))
        case ReasoningPart():
            return replace(part, text=_text(slot, shown))
        case ImagePart():
            return replace(part, name=_name(piece, shown))
        case FilePart(data=data):
            kept = data if slot is None or not slot.spans else _text(slot, shown).encode()
            return replace(part, name=_name(piece, shown), data=kept)


def _text(slot: Slot | None, shown: Shown) -> str:
    return "" if slot is None else slot.rewritten(shown)[0]


def _all(slot: Slot | None, shown: Shown) -> str:
    """What stands for the whole text, be it JSON or not."""
    if slot is None:
        return ""
    labels = NO_LABELS.union(*(span.labels for span in slot.spans))
    name = next(span.name for span in slot.spans if span.whole)
    span = Span(start=0, end=len(slot.text), labels=labels, name=name, whole=True)
    return shown(Cut(span=span, value=slot.text))


def _name(piece: Piece, shown: Shown) -> str | None:
    return None if piece.name is None else _text(piece.name, shown)


__all__ = ["SAYS_NOTHING", "Piece", "Turn"]
