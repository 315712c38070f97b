"""From the bytes of a response to events: out of a stream of server-sent events, or out of one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ringfence.errors import StreamBroken
from ringfence_gemini.failures import failure_in_stream
from ringfence_gemini.sse import Events
from ringfence_gemini.wire import Failure, FailureBody, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfence.response import ProviderEvent
    from ringfence_gemini.answer import Answer


class Streamed:
    """Reads server-sent events as they come."""

    __slots__ = ("_answer", "_events")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._events = Events()

    def feed(self, piece: bytes) -> Iterator[ProviderEvent]:
        """The events that are complete with `piece`, each before what comes after it is looked at."""
        for data in self._events.feed(piece):
            yield from self._answer.feed(decode(data))

    def end(self) -> Iterator[ProviderEvent]:
        """The last events.

        Raises:
            ProviderError: the API broke the answer off, or the answer has no end.
        """
        if (data := self._events.end()) is not None:
            yield from self._answer.feed(decode(data))
        if self._events.stray:
            raise _broken_off(bytes(self._events.stray))
        yield from self._answer.end()


class Whole:
    """Reads an answer that comes as one document, which is one chunk."""

    __slots__ = ("_answer", "_pieces")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[ProviderEvent]:
        """Takes the next piece; nothing is known before the last."""
        self._pieces.append(piece)
        return iter(())

    def end(self) -> Iterator[ProviderEvent]:
        """All events.

        Raises:
            ProviderError: the answer has no end.
        """
        yield from self._answer.feed(decode(b"".join(self._pieces)))
        yield from self._answer.end()


def _broken_off(stray: bytes) -> Exception:
    """What the API says outside every event: a failure as a JSON document of its own."""
    try:
        failure = msgspec.json.decode(stray, type=FailureBody).error
    except msgspec.DecodeError:
        failure = Failure()
    if failure.code or failure.status:
        return failure_in_stream(failure)
    return StreamBroken("the stream holds something that is no event")
