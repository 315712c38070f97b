"""How the double misbehaves: every knob is a function that takes the place of what an honest house would do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from ringfence_house.protocol.bhttp import BinaryRequest
    from ringfence_house.testing.fleet import Fleet, Machine

Reset: TypeAlias = Literal["reset"]
RESET: Final[Reset] = "reset"
"""In the place of an answer: the connection is reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """An answer outside of the encryption, as anything in between could give it."""

    status: int = 200
    media_type: str = "text/plain"
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """An answer inside of the encryption, in pieces of content; sealed as an honest node seals.

    Without being `complete` the message ends before its end, although the final chunk is there.
    """

    status: int = 200
    fields: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    content: Sequence[bytes] = ()
    complete: bool = True


@dataclass(slots=True, kw_only=True)
class Script:
    """What a house does. Where a knob is `None`, or gives `None`, it is honest.

    directory: the bytes of the directory of evidence.
    release_file: the bytes of a file of the repository, by its path below it; `RESET` breaks the connection.
    outside: what answers a sealed request before it is opened; the machine is the one that its hint names.
    inside: what answers an opened request in the engine's place.
    sealed: what becomes of the sealed answer on its way. It is given the response nonce, then the chunks one by one
        with their lengths, the final one behind its 0; what it raises resets the connection.
    load: what the machine says of how full it is, in every answer.
    """

    directory: Callable[[Fleet], bytes | Reset] | None = None
    release_file: Callable[[str], bytes | Reset | None] | None = None
    outside: Callable[[Machine | None], Outside | Reset | None] | None = None
    inside: Callable[[BinaryRequest, Machine], Inside | None] | None = None
    sealed: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]] | None = None
    load: Callable[[Machine], float] | None = None


__all__ = ["RESET", "Inside", "Outside", "Reset", "Script"]
