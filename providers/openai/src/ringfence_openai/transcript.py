"""Transcripts, streamed and whole. The shapes are those of openai/types/audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from msgspec import Struct

from ringfence.response import Finish, ProviderEvent, Usage, UsageReport
from ringfence_openai.faults import Malformed, Refused
from ringfence_openai.parts import Parts

_NOTHING: tuple[ProviderEvent, ...] = ()
_TEXT = "text"
_DONE = b"[DONE]"


class _UsageBody(Struct):
    """Tokens, or the seconds of the sound, which have no place in a `Usage`."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Delta(Struct, tag="transcript.text.delta"):
    """More text."""

    delta: str


class Done(Struct, tag="transcript.text.done"):
    """The end, with all of the text."""

    text: str
    usage: _UsageBody | None = None


class _ErrorBody(Struct):
    code: str | None = None
    type: str | None = None


class _Error(Struct, tag="error"):
    code: str | None = None
    error: _ErrorBody | None = None


class Whole(Struct):
    """A transcript as it comes without a stream."""

    text: str
    usage: _UsageBody | None = None


class _Any(Struct):
    type: str


_Event: TypeAlias = Delta | Done | _Error
_KNOWN = frozenset({"transcript.text.delta", "transcript.text.done", "error"})

_decode_event = msgspec.json.Decoder(_Event).decode
_decode_any = msgspec.json.Decoder(_Any).decode
_decode_whole = msgspec.json.Decoder(Whole).decode


class TranscriptDecoder:
    """Reads the events of one transcript."""

    __slots__ = ("_came", "_parts", "finished")

    def __init__(self) -> None:
        self._parts = Parts()
        self._came = False
        self.finished = False

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        """The events that `data` stands for.

        Raises:
            Malformed: it is no event of this API.
            Refused: it says that the backend failed.
        """
        if data == _DONE:
            return _NOTHING
        try:
            event = _decode_event(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _unknown(data)
        match event:
            case Delta():
                self._came = self._came or bool(event.delta)
                return self._parts.text(_TEXT, event.delta)
            case Done():
                self.finished = True
                rest = [] if self._came else self._parts.text(_TEXT, event.text)
                return [*rest, *_ending(self._parts, event.usage)]
            case _:
                error = event.error or _ErrorBody()
                raise Refused(event.code, error.code, error.type)


def whole_transcript(body: bytes, media_type: str) -> list[ProviderEvent]:
    """The events of a transcript that came whole: as JSON, or as text where the app asked for it.

    Raises:
        Malformed: it is no transcript.
    """
    parts = Parts()
    try:
        if media_type != "application/json" and not body.lstrip().startswith(b"{"):
            return [*parts.text(_TEXT, body.decode()), *_ending(parts, None)]
        answer = _decode_whole(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed from None
    return [*parts.text(_TEXT, answer.text), *_ending(parts, answer.usage)]


def _ending(parts: Parts, usage: _UsageBody | None) -> list[ProviderEvent]:
    events = parts.end_all()
    if usage is not None and usage.input_tokens is not None:
        used = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        events.append(UsageReport(usage=used))
    return [*events, Finish("stop")]


def _unknown(data: bytes) -> Sequence[ProviderEvent]:
    try:
        kind = _decode_any(data).type
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed from None
    if kind in _KNOWN:
        raise Malformed
    return _NOTHING


__all__ = ["Delta", "Done", "TranscriptDecoder", "Whole", "whole_transcript"]
