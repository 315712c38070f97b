"""What a backend does with one request, in no vendor's words: the kit's tests are written in scenes.

A `Backend` plays scenes over a real socket, in the wire format of the provider under test, and shows what it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from ringfence.request import FilePart, ImagePart, ToolCallPart
from ringfence.response import FinishReason, Usage

ErrorKind: TypeAlias = Literal[
    "bad_request", "authentication", "permission", "not_found", "context_length", "rate_limited", "server", "overloaded"
]
"""What a backend refuses with, instead of an answer: HTTP 400 · 401 · 403 · 404 · 400 · 429 · 500 · 503."""

Fault: TypeAlias = Literal["reset", "stall", "end", "malformed", "error_event"]
"""What breaks an answer: the connection is reset, stalls for ever or ends before its end; the event in that place is no
event; or the backend says in its own words, inside the stream, that it failed."""

_USAGE = Usage(input_tokens=11, output_tokens=7, cached_input_tokens=3, reasoning_tokens=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One answer, or one refusal. Played streamed or whole, as the request asks.

    `text`, `reasoning` and the arguments of `tool_calls` come in the chunks given (arguments: 4 characters each).
    `finish` is derived where it is `None`: `tool_calls` if there are any, else `stop`. `fault` happens in place of the
    wire event number `fault_at`, 0 being the first; a `stall` before event 0 is a slow first byte. `vectors` answer an
    embedding request, `media` one for pictures or speech, `input_tokens` one that counts tokens. The message of a
    refusal is the scene's text.
    """

    text: tuple[str, ...] = ("Hello", " there", ", friend.")
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCallPart, ...] = ()
    media: tuple[ImagePart | FilePart, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    finish: FinishReason | None = None
    usage: Usage = _USAGE
    error: ErrorKind | None = None
    retry_after_s: float | None = None
    fault: Fault | None = None
    fault_at: int = 0
    first_byte_delay_s: float = 0.0
    chunk_delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived. Header names are in lower case.

    `disconnected_s` is how long after the request had arrived the client went away before the answer was complete;
    `None` if it stayed.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    disconnected_s: float | None = None


class Backend(Protocol):
    """A backend under a test's control. `url` is its base URL, as a policy's `url:` would name it.

    It may have a method `wire_events(scene) -> int` too, which says how many wire events a streamed answer has; without
    it the kit counts for itself.
    """

    url: str

    def play(self, *scenes: Scene) -> None:
        """What it does with the next requests, in order; the last again and again. Forgets what it has seen."""
        ...

    def seen(self) -> Sequence[Seen]:
        """The requests so far, oldest first; what was cut off is told once the backend has noticed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


__all__ = ["Backend", "ErrorKind", "Fault", "Scene", "Seen"]
