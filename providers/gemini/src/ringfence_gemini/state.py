"""The opaque state of reasoning parts: what Gemini wants back exactly as it came, and no other provider sees.

A state is the JSON text of one of five objects:

    {"length": n, "marks": […]}     further fields of pieces of the text before, which is n characters long
    {"thought": true, "length": …}  the same of the thought whose text the reasoning part itself holds
    {"next": "functionCall", "with": {…}}  further fields of the part that follows, which is of that kind
    {"part": {…}}                   a whole part of a kind that is not known here
    {"about": {…}}                  facts about the answer, such as its sources; they are not sent back
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from ringfence_gemini.wire import Part

Kind: TypeAlias = Literal["functionCall", "inlineData"]


class Mark(msgspec.Struct, rename={"start": "from", "end": "to", "fields": "with"}, frozen=True):
    """Fields of the piece of a text from one character to another, which came as a part of its own."""

    start: int
    end: int
    fields: dict[str, Raw]


class State(msgspec.Struct, omit_defaults=True, rename={"next_kind": "next", "fields": "with"}):
    """One of the five; see above."""

    thought: bool = False
    next_kind: Kind | None = None
    fields: dict[str, Raw] | None = None
    length: int = 0
    marks: list[Mark] | None = None
    part: dict[str, Raw] | None = None
    about: dict[str, Raw] | None = None


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(State)


def beside(part: Part) -> dict[str, Raw]:
    """The fields of `part` that no event carries: its signature and what is not known here."""
    fields = dict(part.rest)
    if part.thought_signature is not None:
        fields["thoughtSignature"] = Raw(_encode(part.thought_signature))
    return fields


def written(state: State) -> str:
    """The JSON text."""
    return _encode(state).decode()


def read(text: str) -> State | None:
    """The state in `text`; `None` if it is none."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return None


def pieces(text: str, kept: State) -> list[dict[str, object]] | None:
    """The parts that `text` came in, where it matters: each marked piece apart. `None` if it is another text."""
    if len(text) != kept.length:
        return None
    found: list[dict[str, object]] = []
    same: dict[str, object] = {"thought": True} if kept.thought else {}
    at = 0
    for mark in kept.marks or ():
        if not at <= mark.start <= mark.end <= len(text):
            return None
        if mark.start > at:
            found.append({"text": text[at : mark.start], **same})
        found.append({"text": text[mark.start : mark.end], **same, **mark.fields})
        at = mark.end
    if at < len(text):
        found.append({"text": text[at:], **same})
    return found
