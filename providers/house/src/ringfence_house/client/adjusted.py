"""What the engine of a node did not honour as asked: said with its answer, and told to the app (invariant 6).

The words are those of a verified node, and not more trusted than its answer: few, short, and none of the request's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ringfence.request import Settings
from ringfence.response import Adjustment

if TYPE_CHECKING:
    from ringfence.response import ProviderEvent
    from ringfence_openai.native import Decoder, Native

_MARK: Final = b'"adjustments"'
"""As no text of an answer can hold it: there a quotation mark is escaped."""

_MOST: Final = 16
_DETAIL: Final = re.compile(r"[ -~]{1,200}")
_ECHO: Final = 24
"""So many characters in a row that stand in the request too are taken for a part of it."""

_SETTINGS: Final = frozenset(field.name for field in fields(Settings)) | {
    *("file", "image", "messages", "output", "reasoning", "redaction", "tool_choice", "tools"),
}
"""INVARIANT: the name of a setting goes into receipts, so it is one of these."""

_UNSAID: Final = "the engine of the house did not honour it as asked"


class _Said(msgspec.Struct):
    setting: str
    action: Literal["emulated", "changed", "ignored"]
    detail: str


class _Event(msgspec.Struct):
    adjustments: list[msgspec.Raw] = msgspec.field(default_factory=list[msgspec.Raw])


_events: Final = msgspec.json.Decoder(_Event)
_said: Final = msgspec.json.Decoder(_Said)


def read_adjustments(data: bytes, request: bytes) -> tuple[Adjustment, ...]:
    """What an event or a whole answer says was adjusted; `request` is what was asked, as JSON.

    INVARIANT: nothing that was said is dropped without a word; what cannot be told as it was said is told in ours.
    """
    if _MARK not in data:
        return ()
    try:
        said = _events.decode(data).adjustments
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Either no answer, which is refused elsewhere, or none of the form that is known here.
        return (Adjustment(setting="other", action="changed", detail=_UNSAID),)
    told = tuple(_adjustment(bytes(one), request) for one in said[:_MOST])
    return told if len(said) <= _MOST else (*told, Adjustment(setting="other", action="changed", detail=_UNSAID))


def _adjustment(data: bytes, request: bytes) -> Adjustment:
    try:
        said = _said.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Adjustment(setting="other", action="changed", detail=_UNSAID)
    return Adjustment(
        setting=said.setting if said.setting in _SETTINGS else "other",
        action=said.action,
        detail=said.detail if _DETAIL.fullmatch(said.detail) and not _echoes(said.detail, request) else _UNSAID,
    )


def _echoes(detail: str, request: bytes) -> bool:
    pieces = (detail[start : start + _ECHO] for start in range(len(detail) - _ECHO + 1))
    return any(piece.encode("ascii") in request for piece in pieces)


class _Telling:
    """A decoder that tells of the adjustments in what it is fed."""

    __slots__ = ("_decoder", "_tell", "finished")

    def __init__(self, decoder: Decoder, tell: Callable[[bytes], None]) -> None:
        self._decoder = decoder
        self._tell = tell
        self.finished = False

    def feed(self, data: bytes) -> Sequence[ProviderEvent]:
        self._tell(data)
        events = self._decoder.feed(data)
        self.finished = self._decoder.finished
        return events


def telling(native: Native, adjust: Callable[..., None]) -> Native:
    """`native`, whose answer is read as before, and whose adjustments `adjust` is told of."""
    decoder, whole = native.decoder, native.whole

    def tell(data: bytes) -> None:
        if told := read_adjustments(data, native.content):
            adjust(*told)

    def read_whole(body: bytes, media_type: str) -> Sequence[ProviderEvent]:
        tell(body)
        return whole(body, media_type)

    streamed = None if decoder is None else lambda: _Telling(decoder(), tell)
    return replace(native, decoder=streamed, whole=read_whole)


__all__ = ["read_adjustments", "telling"]
