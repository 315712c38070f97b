"""The opaque state of reasoning parts: what Gemini wants back exactly as it came, and no other provider sees.

A state is the JSON text of one of four objects:

    {"thought": {…}}               further fields of the thought whose text the reasoning part holds
    {"next": "text", "with": {…}}  further fields of the part that follows, which is of that kind
    {"part": {…}}                  a whole part of a kind that is not known here
    {"about": {…}}                 facts about the answer, such as its sources; they are not sent back
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from ringfence_gemini.wire import Part

Kind: TypeAlias = Literal["text", "functionCall", "inlineData"]


class State(msgspec.Struct, omit_defaults=True, rename={"next_kind": "next", "fields": "with"}):
    """One of the four; see above."""

    thought: dict[str, Raw] | None = None
    next_kind: Kind | None = None
    fields: dict[str, Raw] | None = None
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
