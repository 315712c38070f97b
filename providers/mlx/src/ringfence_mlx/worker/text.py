"""Tokens to text, and text to where it must stop. Pure: a tokenizer is anything with `decode`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MAX_HELD_TOKENS = 8
"""A character has at most four bytes and a byte at least one token; what is still broken after eight stays broken."""


class TextDecoder:
    """Decodes one answer token by token; the pieces joined are what decoding all of it at once gives.

    A token is decoded together with the ones before it, because a tokenizer may treat the first token of a sequence
    differently (SentencePiece drops its leading space), and held back while it ends inside a character.
    """

    __slots__ = ("_decode", "_emitted", "_ids", "_window")

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._window = 0
        self._emitted = 0

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._ids.append(token)
        text = self._fresh()
        if text.endswith(_REPLACEMENT) and len(self._ids) - self._emitted < _MAX_HELD_TOKENS:
            return ""
        return self._take(text)

    def finish(self, *, is_cut_off: bool = False) -> str:
        """What is still held back, with replacement characters where bytes were missing.

        `is_cut_off` says that more would have come: then the beginning of a character at the end is dropped.
        """
        text = self._take(self._fresh())
        return text.rstrip(_REPLACEMENT) if is_cut_off else text

    def _fresh(self) -> str:
        known = self._decode(self._ids[self._window : self._emitted]) if self._emitted > self._window else ""
        return self._decode(self._ids[self._window :])[len(known) :]

    def _take(self, text: str) -> str:
        del self._ids[: self._window]  # a finished window is never read again
        self._window, self._emitted = max(0, self._emitted - self._window), len(self._ids)
        return text


@dataclass(frozen=True, slots=True, repr=False)
class StopResult:
    """Text that may be delivered, and the stop sequence that ended it, if one did."""

    text: str
    stopped: bool


class StopMatcher:
    """Finds stop sequences in the text, wherever token borders fall.

    Text before a stop sequence is delivered, the sequence itself never; the end of the text is held back for as long as
    it could be the beginning of one.
    """

    __slots__ = ("_held", "_stops")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> StopResult:
        """What of `text`, and of what was held back before, can be delivered now."""
        if not self._stops:
            return StopResult(text, stopped=False)
        text = self._held + text
        if (found := self._first(text)) is not None:
            self._held = ""
            return StopResult(text[:found], stopped=True)
        keep = self._possible_beginning(text)
        self._held = text[len(text) - keep :]
        return StopResult(text[: len(text) - keep], stopped=False)

    def finish(self) -> str:
        """What was held back: the answer ended, so it was no stop sequence after all."""
        held, self._held = self._held, ""
        return held

    def _first(self, text: str) -> int | None:
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        return min(places, default=None)

    def _possible_beginning(self, text: str) -> int:
        """The length of the longest end of `text` that begins a stop sequence."""
        longest = max(map(len, self._stops)) - 1
        for length in range(min(longest, len(text)), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0


__all__ = ["StopMatcher", "StopResult", "TextDecoder"]
