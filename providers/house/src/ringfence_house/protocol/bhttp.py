"""Binary HTTP (RFC 9292), strict and bounded: one spelling of a length, lower-case names, padding of zeros only.

All that goes before the content, and the trailers after it, may take MAX_FIELDS_BYTES each, in MAX_FIELDS fields a
section. Content of indeterminate length may come in a thousand pieces of any size; more of them must hold 64 bytes on
average, so that what a message costs to read follows from its length. Trailers are read and let go. Section 3.8 lets
a sender leave out what is empty at the end; here nothing may be left out, because a message without its end cannot be
told from one that was cut.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Generic, TypeAlias, TypeVar

from typing_extensions import Buffer

from ringfence_house.protocol.faults import ProtocolFault, TooLong
from ringfence_house.protocol.incremental import Incremental, Reading, varint
from ringfence_house.protocol.names import MAX_FIELDS_BYTES, MAX_REQUEST_BYTES

MAX_FIELDS: Final = 128
"""In one section."""

HeadT = TypeVar("HeadT")
Field: TypeAlias = tuple[bytes, bytes]
"""Name, in lower case, and value."""

_REQUEST_KNOWN, _RESPONSE_KNOWN, _REQUEST_OPEN, _RESPONSE_OPEN = range(4)
_METHOD: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_AUTHORITY: Final = re.compile(r"[\x21-\x7e]*")
_PATH: Final = re.compile(r"[\x21-\x7e]+")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_INFORMATIONAL: Final = range(100, 200)
_FINAL: Final = range(200, 600)
_FREE_PIECES: Final = 1000
_LEAST_PIECE_BYTES: Final = 64
_STEP_BYTES: Final = 65_536
"""So much of a whole message is read at a time: what was read needs no second place in the parser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryRequest:
    """A request. `repr` shows nothing of its fields and content."""

    method: str
    scheme: str
    authority: str
    path: str
    fields: tuple[Field, ...]
    content: bytes

    def __repr__(self) -> str:
        return f"BinaryRequest({len(self.fields)} fields, {len(self.content)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """The status (200 … 599) and fields of a final answer. `repr` shows nothing of the fields."""

    status: int
    fields: tuple[Field, ...]

    def __repr__(self) -> str:
        return f"ResponseHead({self.status}, {len(self.fields)} fields)"


def encode_request(  # noqa: PLR0917  (the parts of a request, in the order of the encoding)
    method: str, scheme: str, authority: str, path: str, fields: Sequence[Field], content: bytes, pad_to: int
) -> bytes:
    """A request of known length, with zeros behind it up to a multiple of `pad_to`.

    Raises:
        ProtocolFault: a part of it is not allowed.
        TooLong: the fields, or all of it, are longer than the protocol allows.
    """
    allowed = (_METHOD, _SCHEME, _AUTHORITY, _PATH)
    control = map(_allowed, allowed, (method, scheme, authority, path))
    head = varint(_REQUEST_KNOWN) + b"".join(_string(value.encode()) for value in control) + _string(_lines(fields))
    if len(head) > MAX_FIELDS_BYTES:
        raise TooLong("the fields are longer than the protocol allows")
    message = b"".join((head, _string(content), varint(0)))
    padded = len(message) + -len(message) % pad_to
    if padded > MAX_REQUEST_BYTES:
        raise TooLong("the request is longer than the protocol allows")
    return message.ljust(padded, b"\0")


def decode_request(data: Buffer) -> BinaryRequest:
    """The request that `data` is, of known or indeterminate length.

    Raises:
        Truncated: it ends before its end.
        TooLong: the fields, or all of it, are longer than the protocol allows.
        ProtocolFault: anything else is not allowed.
    """
    return _decoded(_RequestDecoder(), data)


def decode_known_request(data: Buffer) -> BinaryRequest:
    """The request that `data` is, of known length: the one form that `encode_request` writes.

    Its content is one piece, so that who sends it cannot choose how much work it is to read.

    Raises:
        Truncated: it ends before its end.
        TooLong: the fields, or all of it, are longer than the protocol allows.
        ProtocolFault: anything else is not allowed.
    """
    return _decoded(_KnownRequestDecoder(), data)


class ResponseEncoder:
    """Writes one answer of indeterminate length: `head`, then `content` any number of times, then `end`."""

    def __init__(self) -> None:
        self._stage = 0

    def head(self, status: int, fields: Sequence[Field]) -> bytes:
        """The status, 200 … 599, and the fields.

        Raises:
            ProtocolFault: one is not allowed.
            TooLong: they are longer than the protocol allows.
        """
        self._go(0, 1)
        if status not in _FINAL:
            raise ProtocolFault("a status is not one of a final answer")
        head = varint(_RESPONSE_OPEN) + varint(status) + _lines(fields) + varint(0)
        if len(head) > MAX_FIELDS_BYTES:
            raise TooLong("the fields are longer than the protocol allows")
        return head

    def content(self, data: bytes) -> bytes:
        """A piece of the content; of nothing, nothing."""
        self._go(1, 1)
        return _string(data) if data else b""

    def end(self) -> bytes:
        """The end of the content, and of no trailers."""
        self._go(1, 2)
        return varint(0) + varint(0)

    def _go(self, stage: int, following: int) -> None:
        if self._stage != stage:
            raise RuntimeError("an answer is written in order: its head, its content, its end")
        self._stage = following


class _Decoder(Incremental[HeadT | bytes], Generic[HeadT]):
    """A message as it comes: its head, then its content in the pieces that arrive."""

    _framings: ClassVar[tuple[int, ...]]
    """Of known length, and where it is read of indeterminate length."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = MAX_FIELDS_BYTES

    @abstractmethod
    def _head(self, *, known: bool) -> Reading[HeadT]:
        """Reads what goes before the content."""

    def _read(self) -> Reading[None]:
        framing = yield from self._varint()
        if framing not in self._framings:
            raise ProtocolFault("the framing is not one of this kind of message")
        known = framing == self._framings[0]
        self._parts.append((yield from self._head(known=known)))
        yield from self._content(known=known)
        self._limit = self._taken + MAX_FIELDS_BYTES
        yield from self._fields(known=known)
        yield from self._padding()

    def _content(self, *, known: bool) -> Reading[None]:
        pieces, whole_bytes = 0, 0
        while left := (yield from self._varint()):
            pieces, whole_bytes = pieces + 1, whole_bytes + left
            if pieces > _FREE_PIECES + whole_bytes // _LEAST_PIECE_BYTES:
                raise TooLong("the content comes in more pieces than the protocol allows")
            while left:
                yield from self._wait_for(1)
                piece = yield from self._take(min(left, len(self._buffer)))
                self._parts.append(piece)
                left -= len(piece)
            if known:
                return

    def _padding(self) -> Reading[None]:
        self._finished = True
        while True:
            if self._buffer.count(0) != len(self._buffer):
                raise ProtocolFault("the padding holds something")
            self._buffer.clear()
            if self._ended:
                return
            yield

    def _fields(self, *, known: bool) -> Reading[tuple[Field, ...]]:
        fields: list[Field] = []
        if not known:
            while length := (yield from self._varint()):
                _within_count(len(fields) + 1)
                fields.append((yield from self._field(length)))
            return tuple(fields)
        length = yield from self._varint()
        stop = self._taken + self._within_limit(length)
        while self._taken < stop:
            _within_count(len(fields) + 1)
            fields.append((yield from self._field((yield from self._varint()))))
        if self._taken != stop:
            raise ProtocolFault("a field goes beyond the end of its section")
        return tuple(fields)

    def _field(self, name_bytes: int) -> Reading[Field]:
        name = yield from self._take(self._within_limit(name_bytes))
        return _checked((name, (yield from self._string())))

    def _string(self) -> Reading[bytes]:
        length = yield from self._varint()
        return (yield from self._take(self._within_limit(length)))

    def _within_limit(self, length: int) -> int:
        if self._taken + length > self._limit:
            raise TooLong("the fields are longer than the protocol allows")
        return length


class _RequestDecoder(_Decoder[BinaryRequest]):
    _framings: ClassVar[tuple[int, ...]] = (_REQUEST_KNOWN, _REQUEST_OPEN)

    def _head(self, *, known: bool) -> Reading[BinaryRequest]:
        method = yield from self._control(_METHOD)
        scheme = yield from self._control(_SCHEME)
        authority = yield from self._control(_AUTHORITY)
        path = yield from self._control(_PATH)
        fields = yield from self._fields(known=known)
        return BinaryRequest(method=method, scheme=scheme, authority=authority, path=path, fields=fields, content=b"")

    def _control(self, allowed: re.Pattern[str]) -> Reading[str]:
        return _allowed(allowed, (yield from self._string()).decode("latin-1"))


class _KnownRequestDecoder(_RequestDecoder):
    _framings = (_REQUEST_KNOWN,)


class ResponseDecoder(_Decoder[ResponseHead]):
    """Reads one answer as it comes: its head, then pieces of its content. Informational answers are passed over."""

    _framings = (_RESPONSE_KNOWN, _RESPONSE_OPEN)

    def _head(self, *, known: bool) -> Reading[ResponseHead]:
        while True:
            status = yield from self._varint()
            self._within_limit(0)
            fields = yield from self._fields(known=known)
            if status in _FINAL:
                return ResponseHead(status=status, fields=fields)
            if status not in _INFORMATIONAL:
                raise ProtocolFault("a status is not one of HTTP")


def _string(value: bytes) -> bytes:
    return varint(len(value)) + value


def _decoded(decoder: _RequestDecoder, data: Buffer) -> BinaryRequest:
    view = memoryview(data)
    if len(view) > MAX_REQUEST_BYTES:
        raise TooLong("the request is longer than the protocol allows")
    parts: list[BinaryRequest | bytes] = []
    for start in range(0, len(view), _STEP_BYTES):
        parts += decoder.feed(view[start : start + _STEP_BYTES])
    parts += decoder.end()
    (head,) = (part for part in parts if isinstance(part, BinaryRequest))
    return replace(head, content=b"".join(part for part in parts if isinstance(part, bytes)))


def _within_count(fields: int) -> None:
    if fields > MAX_FIELDS:
        raise TooLong("there are more fields than the protocol allows")


def _lines(fields: Sequence[Field]) -> bytes:
    _within_count(len(fields))
    return b"".join(_string(part) for field in fields for part in _checked(field))


def _checked(field: Field) -> Field:
    if not _NAME.fullmatch(field[0]):
        raise ProtocolFault("the name of a field is not allowed")
    if not _VALUE.fullmatch(field[1]):
        raise ProtocolFault("the value of a field is not allowed")
    return field


def _allowed(allowed: re.Pattern[str], value: str) -> str:
    if not allowed.fullmatch(value):
        raise ProtocolFault("the method, scheme, authority or path is not allowed")
    return value


__all__ = [
    "MAX_FIELDS",
    "BinaryRequest",
    "Field",
    "ResponseDecoder",
    "ResponseEncoder",
    "ResponseHead",
    "decode_known_request",
    "decode_request",
    "encode_request",
]
