"""Chunked Oblivious HTTP (draft-ietf-ohai-chunked-ohttp-08): sealed chunks with an authenticated end.

A message is a prefix, chunks each behind its length, and after a length of 0 the final chunk, which goes to the end of
the bytes. The final chunk is sealed with the additional data `final`, the others with none, each under a counter: so
no chunk can be dropped, doubled, moved, cut off or made the last one without an open that fails. That the bytes are
complete is known only from `end()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from ringfence_house.protocol.faults import KeyUnknown, ProtocolFault, TooLong, Truncated
from ringfence_house.protocol.hpke import (
    AEAD_KEY_BYTES,
    AEAD_NONCE_BYTES,
    KEY_BYTES,
    TAG_BYTES,
    PrivateKey,
    Receiver,
    setup_receiver,
    setup_sender,
)
from ringfence_house.protocol.incremental import Incremental, Reading, varint
from ringfence_house.protocol.keyconfig import KeyConfig, request_header
from ringfence_house.protocol.names import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_REQUEST_LABEL: Final = b"message/bhttp chunked request"
_RESPONSE_LABEL: Final = b"message/bhttp chunked response"
_FINAL: Final = b"final"
_HEADER_BYTES: Final = len(request_header(0))
_RESPONSE_NONCE_BYTES: Final = max(AEAD_KEY_BYTES, AEAD_NONCE_BYTES)
_MAX_SEALED_BYTES: Final = MAX_CHUNK_BYTES + TAG_BYTES
_FREE_CHUNKS: Final = 64
_LEAST_CHUNK_BYTES: Final = 4096
"""On average, of the chunks of a request beyond the first 64: whoever wrote it cannot choose how much work it is."""


class _Sealer(ABC):
    """Cuts what it is given into chunks and seals them; the prefix goes before the first."""

    def __init__(self, prefix: bytes) -> None:
        self._unsent = prefix
        self._finished = False

    @abstractmethod
    def _seal(self, data: bytes, aad: bytes) -> bytes: ...

    def seal(self, data: bytes) -> bytes:
        """The wire bytes of `data`, as chunks that are not the last; of nothing, no chunk."""
        return self._begin() + b"".join(map(self._chunk, _pieces(data)))

    def finish(self, data: bytes = b"") -> bytes:
        """The wire bytes of `data`, of which the last chunk is the final one. Nothing can be sealed after it."""
        begun = self._begin()
        self._finished = True
        *before, last = _pieces(data) or [b""]
        return begun + b"".join(map(self._chunk, before)) + varint(0) + self._seal(last, _FINAL)

    def _begin(self) -> bytes:
        if self._finished:
            raise RuntimeError("the message is finished")
        begun, self._unsent = self._unsent, b""
        return begun

    def _chunk(self, piece: bytes) -> bytes:
        sealed = self._seal(piece, b"")
        return varint(len(sealed)) + sealed


class _Opener(Incremental[bytes], ABC):
    """Opens chunks as they come. What `feed` gives is authentic, but complete only once `end` has returned."""

    @abstractmethod
    def _prefix(self) -> Reading[None]:
        """Reads what goes before the first chunk."""

    @abstractmethod
    def _open(self, sealed: bytes, aad: bytes) -> bytes: ...

    def _count(self, sealed_bytes: int) -> None:
        """Counts a chunk before it is opened; by default there may be any number."""

    def _read(self) -> Reading[None]:
        yield from self._prefix()
        while length := (yield from self._varint()):
            self._count(length)
            if length > _MAX_SEALED_BYTES:
                raise TooLong("a chunk is longer than the protocol allows")
            if length <= TAG_BYTES:
                raise ProtocolFault("a chunk that is not the last holds nothing")
            self._parts.append(self._open((yield from self._take(length)), b""))
        yield from self._final()

    def _final(self) -> Reading[None]:
        while not self._ended:
            if len(self._buffer) > _MAX_SEALED_BYTES:
                raise TooLong("the final chunk is longer than the protocol allows")
            yield
        if len(self._buffer) < TAG_BYTES:
            raise Truncated("the bytes ended within the final chunk")
        last = self._open((yield from self._take(len(self._buffer))), _FINAL)
        if last:
            self._parts.append(last)


class RequestSealer(_Sealer):
    """Seals one request for the key of `config`. Each has an ephemeral key of its own."""

    def __init__(self, config: KeyConfig) -> None:
        self._sender = setup_sender(config.public, _info(config.header))
        super().__init__(config.header + self._sender.enc)

    @property
    def enc(self) -> bytes:
        """The encapsulated key, which names the request."""
        return self._sender.enc

    def opener(self) -> ResponseOpener:
        """What opens the answer to this request, and no other."""
        return ResponseOpener(self._sender.export(_RESPONSE_LABEL, AEAD_KEY_BYTES), self.enc)

    def _seal(self, data: bytes, aad: bytes) -> bytes:
        return self._sender.seal(data, aad)


class RequestOpener(_Opener):
    """Opens one request. `find` gives the key of a number (0 … 255), or None where there is none now.

    Raises, from `feed` and `end`:
        KeyUnknown: there is no such key, or the first chunk does not open: it may be of another node's key with the
            same number, which nothing tells from a forgery.
        TooLong: a chunk is too long, or they are more than a request of this length needs.
    """

    def __init__(self, find: Callable[[int], PrivateKey | None]) -> None:
        super().__init__()
        self._find = find
        self._receiver: Receiver | None = None
        self._opened = False
        self._chunks = 0
        self._chunks_bytes = 0
        self.key_id: int | None = None
        """The number of the key; None until the header has been read."""
        self.enc: bytes | None = None
        """The encapsulated key, which names the request; None until the header has been read."""

    def sealer(self) -> ResponseSealer:
        """What seals the answer to this request; once a chunk of it has opened."""
        if self._receiver is None or self.enc is None or not self._opened:
            raise RuntimeError("nothing of the request has been opened yet")
        return ResponseSealer(self._receiver.export(_RESPONSE_LABEL, AEAD_KEY_BYTES), self.enc)

    def _prefix(self) -> Reading[None]:
        header = yield from self._take(_HEADER_BYTES)
        enc = yield from self._take(KEY_BYTES)
        key = self._find(header[0]) if header == request_header(header[0]) else None
        if key is None:
            raise KeyUnknown("the request is sealed for a key that is not here")
        self._receiver = setup_receiver(key, enc, _info(header))
        self.key_id, self.enc = header[0], enc

    @override
    def _count(self, sealed_bytes: int) -> None:
        self._chunks, self._chunks_bytes = self._chunks + 1, self._chunks_bytes + sealed_bytes
        if self._chunks > _FREE_CHUNKS + self._chunks_bytes // _LEAST_CHUNK_BYTES:
            raise TooLong("a request comes in more chunks than the protocol allows")

    def _open(self, sealed: bytes, aad: bytes) -> bytes:
        assert self._receiver is not None  # noqa: S101  (the prefix goes before every chunk)
        try:
            opened = self._receiver.open(sealed, aad)
        except ProtocolFault:
            if self._opened:
                raise
            raise KeyUnknown("the request does not open with the key that it names") from None
        self._opened = True
        return opened


class ResponseSealer(_Sealer):
    """Seals the answer to one request, under a nonce of its own. `RequestOpener.sealer` makes it."""

    def __init__(self, secret: bytes, enc: bytes) -> None:
        nonce = token_bytes(_RESPONSE_NONCE_BYTES)
        self._keys = _ResponseKeys(secret, enc, nonce)
        super().__init__(nonce)

    def _seal(self, data: bytes, aad: bytes) -> bytes:
        return self._keys.aead.encrypt(self._keys.next_nonce(), data, aad)


class ResponseOpener(_Opener):
    """Opens the answer to one request. `RequestSealer.opener` makes it."""

    def __init__(self, secret: bytes, enc: bytes) -> None:
        super().__init__()
        self._secret = secret
        self._enc = enc
        self._keys: _ResponseKeys | None = None

    def _prefix(self) -> Reading[None]:
        self._keys = _ResponseKeys(self._secret, self._enc, (yield from self._take(_RESPONSE_NONCE_BYTES)))

    def _open(self, sealed: bytes, aad: bytes) -> bytes:
        assert self._keys is not None  # noqa: S101  (the prefix goes before every chunk)
        try:
            return self._keys.aead.decrypt(self._keys.next_nonce(), sealed, aad)
        except Exception:  # noqa: BLE001  (InvalidTag; whatever it is, the chunk did not open)
            raise ProtocolFault("a chunk of the answer does not open") from None


class _ResponseKeys:
    """Key and nonces of one answer (section 6.2 of the draft). A nonce is given once."""

    __slots__ = ("_base", "_count", "aead")

    def __init__(self, secret: bytes, enc: bytes, nonce: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  (slow, so on first use)
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  (slow, so on first use)
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  (slow, so on first use)

        def derive(label: bytes, length: int) -> bytes:
            return HKDF(algorithm=SHA256(), length=length, salt=enc + nonce, info=label).derive(secret)

        self.aead: AESGCM = AESGCM(derive(b"key", AEAD_KEY_BYTES))
        self._base = int.from_bytes(derive(b"nonce", AEAD_NONCE_BYTES), "big")
        self._count = 0

    def next_nonce(self) -> bytes:
        # INVARIANT: no two chunks of an answer share a nonce, whatever came of the first.
        count, self._count = self._count, self._count + 1
        return (self._base ^ count).to_bytes(AEAD_NONCE_BYTES, "big")


def _info(header: bytes) -> bytes:
    return _REQUEST_LABEL + b"\0" + header


def _pieces(data: bytes) -> list[bytes]:
    return [data[start : start + MAX_CHUNK_BYTES] for start in range(0, len(data), MAX_CHUNK_BYTES)]


__all__ = ["RequestOpener", "RequestSealer", "ResponseOpener", "ResponseSealer"]
