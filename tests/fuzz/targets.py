"""What is fuzzed: each parser of bytes that come from another machine, what must hold of it, and where to begin.

A target is given arbitrary bytes. It returns for bytes that are refused in the proper way and for bytes that are read,
and raises for anything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any, Final, TypeAlias

from ringfence_house.protocol.bhttp import (
    ResponseDecoder,
    ResponseEncoder,
    ResponseHead,
    decode_request,
    encode_request,
)
from ringfence_house.protocol.chunked import RequestOpener, RequestSealer, ResponseOpener
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.hpke import generate
from ringfence_house.protocol.incremental import Incremental
from ringfence_house.protocol.keyconfig import make_key_config, parse_key_config
from ringfence_house.protocol.names import MAX_FIELDS_BYTES

Fields: TypeAlias = list[tuple[bytes, bytes]]
_FIELDS: Final[Fields] = [(b"content-type", b"application/json"), (b"date", b"Sun, 22 Nov 2026 10:00:00 GMT")]
_JSON: Final = (
    *(b'"v":1', b'"v":true', b'"v":1.0', b'"eat":""', b'"ak":{}', b'"type":""', b'"nodes":[]'),
    *(b'"x5c":[]', b'"x5c":["AA=="]', b'"x5c":[1]', b"null", b"{}", b"[]", b",", b"[[[[[[[[", b'{"a":{"a":{"a":'),
    *(b"1e999", b"NaN", b"-0", rb'"\ud800"', rb'"\u0000"', "é".encode()),
)
_PIECES: Final = (b'data: {"choices":[]}\n\n', b": padding\n", b"data: [DONE]\n\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`run` takes the bytes; `seeds` are valid ones, which the fuzzer changes, also by putting in `words`."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def request() -> Target:
    """Binary HTTP requests. What is read can be written, and is read again as the same."""

    def run(data: bytes) -> None:
        try:
            read = decode_request(data)
        except ProtocolFault:
            return
        again = encode_request(read.method, read.scheme, read.authority, read.path, read.fields, read.content, 1)
        _must(decode_request(again) == read, "a request is not read as it was written")

    return Target(run=run, seeds=tuple(_requests()))


def response() -> Target:
    """Binary HTTP answers. However the bytes are cut, what is read is the same, and no longer than what came."""

    def run(data: bytes) -> None:
        whole = _read(ResponseDecoder(), [data])
        cut = _read(ResponseDecoder(), _cut(data))
        _must((whole is None) == (cut is None), "whether an answer is read depends on how it is cut")
        if whole is not None and cut is not None:
            _must(_joined(whole) == _joined(cut), "what is read of an answer depends on how it is cut")
            head = whole[0]
            _must(isinstance(head, ResponseHead), "an answer does not begin with its head")
            taken = sum(len(name) + len(value) for name, value in head.fields)
            _must(taken <= MAX_FIELDS_BYTES, "the fields of an answer are over their limit")
            _must(len(_joined(whole)[1]) <= len(data), "an answer holds more than what came")

    return Target(run=run, seeds=tuple(_answers()))


def key_config() -> Target:
    """Key configurations. One that is read is written in the same bytes."""

    def run(data: bytes) -> None:
        try:
            config = parse_key_config(data)
        except ProtocolFault:
            return
        _must(make_key_config(config.key_id, config.public).encoded == data, "a configuration has two spellings")

    seeds = [make_key_config(key_id, generate().public).encoded for key_id in (0, 1, 255)]
    return Target(run=run, seeds=(*seeds, seeds[0] * 2, seeds[0][:-6] + bytes.fromhex("00080001000100010003")))


def sealed_request() -> Target:
    """Sealed chunks of a request. Nothing but what was sealed opens to its end."""
    key = generate()
    config = make_key_config(7, key.public)
    sealed = {_sealed(RequestSealer(config), pieces) for pieces in (_PIECES, _PIECES[:1], (b"",))}
    return _opened(lambda: RequestOpener(lambda key_id: key if key_id == config.key_id else None), sealed)


def sealed_response() -> Target:
    """Sealed chunks of an answer. Nothing but what was sealed opens to its end."""
    key = generate()
    sealer = RequestSealer(make_key_config(7, key.public))
    opener = RequestOpener(lambda _: key)
    opener.feed(sealer.seal(b"text"))
    sealed = {_sealed(opener.sealer(), pieces) for pieces in (_PIECES, _PIECES[:1], (b"",))}
    return _opened(sealer.opener, sealed)


def evidence() -> Target:
    """Evidence of a node. What is read is of one spelling."""
    module, refused = _attestation()

    def run(data: bytes) -> None:
        for spelling in _spellings(data):
            try:
                read = module.parse_evidence(spelling)
            except refused:
                continue
            written = module.make_evidence(read.eat, read.ak, read.endorsement, read.x5c)
            _must(written.encoded == spelling and written.digest == read.digest, "evidence has two spellings")

    return Target(run=run, seeds=tuple(_evidence(module)), words=_JSON)


def directory() -> Target:
    """A directory of evidence. Each entry of one that is read is refused or read on its own."""
    module, refused = _attestation()

    def run(data: bytes) -> None:
        for spelling in _spellings(data):
            try:
                for each in module.parse_directory(spelling):
                    module.parse_evidence(each)
            except refused:
                continue

    ones = list(_evidence(module))
    return Target(run=run, seeds=(module.make_directory(ones), module.make_directory(ones[:1])), words=_JSON)


TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "request": request,
    "response": response,
    "key-config": key_config,
    "sealed-request": sealed_request,
    "sealed-response": sealed_response,
    "evidence": evidence,
    "directory": directory,
}


def _opened(opener: Callable[[], RequestOpener | ResponseOpener], sealed: set[bytes]) -> Target:
    def run(data: bytes) -> None:
        whole, cut = _read(opener(), [data]), _read(opener(), _cut(data))
        _must((whole is None) == (cut is None), "whether a message opens depends on how it is cut")
        _must((whole is not None) == (data in sealed), "bytes opened that were not sealed, or the reverse")
        if whole is not None and cut is not None:
            _must(b"".join(whole) == b"".join(cut), "what opens depends on how it is cut")

    return Target(run=run, seeds=tuple(sealed))


def _read(parser: Incremental[Any], data: Sequence[bytes]) -> list[Any] | None:
    """All its parts; None where the bytes are refused or cut short, which must be for good."""
    try:
        parts = [part for piece in data for part in parser.feed(piece)]
        return parts + parser.end()
    except ProtocolFault:
        _must(not parser.finished, "a message was finished and then refused")
    try:
        parser.end()
    except ProtocolFault:
        return None
    raise AssertionError("a message was refused and then finished")


def _cut(data: bytes) -> list[bytes]:
    """`data` in up to eight pieces, of lengths that its own bytes give."""
    edges = [0, *sorted(data[place] % (len(data) + 1) for place in range(min(7, len(data)))), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def _joined(parts: list[Any]) -> tuple[object, bytes]:
    return parts[0], b"".join(parts[1:])


def _sealed(sealer: Any, pieces: Sequence[bytes]) -> bytes:
    return b"".join([*map(sealer.seal, pieces[:-1]), sealer.finish(pieces[-1])])


def _requests() -> Iterator[bytes]:
    for fields, content in ((_FIELDS, b'{"model":"m"}'), ([], b"")):
        yield encode_request("POST", "https", "house.ringfence.invalid", "/v1/chat/completions", fields, content, 64)
    control = b"".join(bytes([len(part)]) + part for part in (b"GET", b"https", b"a", b"/"))
    yield b"\2" + control + b"\1a\1b\0" + b"\4text\2of\0" + b"\1t\1u\0" + bytes(5)


def _answers() -> Iterator[bytes]:
    for fields in (_FIELDS, []):
        encoder = ResponseEncoder()
        yield encoder.head(200, fields) + b"".join(map(encoder.content, _PIECES)) + encoder.end() + bytes(3)
    yield b"\3\x40\x66\1a\1b\0\x41\xf7\0\4text\0\1t\1u\0"
    yield b"\1\x40\xc8\4\1a\1b\4text\4\1t\1u"


def _attestation() -> tuple[Any, type[Exception]]:
    module = import_module("ringfence_house.attestation.evidence")
    return module, import_module("ringfence_house.attestation.refusal").EvidenceRefused


def _spellings(data: bytes) -> Iterator[bytes]:
    """The bytes, and where they are JSON at all, that in the spelling of evidence, so that the shape is tried too."""
    yield data
    with suppress(ValueError, RecursionError):
        yield json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()


def _evidence(module: Any) -> Iterator[bytes]:
    ak = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}
    for kind, chain in (("software-dev", (b"leaf", b"authority")), ("apple-mda", (b"\x30\x00",))):
        yield module.make_evidence("eyJ0eXAiOiJ4In0.e30.AAAA", ak, kind, chain).encoded


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
