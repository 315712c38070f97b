"""Vectors of the standards, one exchange with its bytes as they go over the wire, and ways to feed them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from ringfence_house.protocol.chunked import RequestOpener, RequestSealer, ResponseOpener
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.hpke import generate, private_key
from ringfence_house.protocol.incremental import Incremental, PartT
from ringfence_house.protocol.keyconfig import make_key_config

VECTORS = Path(__file__).parents[1] / "vectors"
KEY = generate()
CONFIG = make_key_config(7, KEY.public)
PIECES = (b"The first piece", b"the second", b"a third, of some more bytes", b"the last")

# Points of low order (RFC 7748, section 6.1, and the non-canonical spellings of the same points).
LOW_ORDER = tuple(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


def vectors(name: str) -> dict[str, Any]:
    """The vectors in that file."""
    return cast("dict[str, Any]", json.loads((VECTORS / name).read_text()))


def fix_ephemeral(patch: pytest.MonkeyPatch, raw: bytes) -> None:
    """The next senders use this ephemeral key. The code itself has no way to be given one."""
    from pyhpke import KEMKeyPair
    from pyhpke.kem_primitives.x25519 import X25519

    def pair(kem: X25519) -> KEMKeyPair:
        key = private_key(raw)
        return KEMKeyPair(key.kem_key, kem.deserialize_public_key(key.public))

    patch.setattr(X25519, "generate_key_pair", pair)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer. `request` and `answer` are the wire bytes: the prefix, each chunk, the final chunk."""

    sealer: RequestSealer
    request: tuple[bytes, ...]
    opener: RequestOpener
    answer: tuple[bytes, ...]

    def answer_opener(self) -> ResponseOpener:
        return self.sealer.opener()

    def another_answer(self, pieces: Sequence[bytes] = PIECES) -> tuple[bytes, ...]:
        """A second answer to the same request, under a nonce of its own."""
        return _sealed(self.opener.sealer(), 16, pieces)


def exchange(pieces: Sequence[bytes] = PIECES) -> Exchange:
    """A new request and its answer, each of these pieces, the last of them in the final chunk."""
    sealer = RequestSealer(CONFIG)
    request = _sealed(sealer, 39, pieces)
    opener = request_opener()
    assert pour(opener, request) == b"".join(pieces)
    return Exchange(sealer=sealer, request=request, opener=opener, answer=_sealed(opener.sealer(), 16, pieces))


def _sealed(sealer: Any, prefix_bytes: int, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
    first, *others = [sealer.seal(piece) for piece in pieces[:-1]]
    return (first[:prefix_bytes], first[prefix_bytes:], *others, sealer.finish(pieces[-1]))


def request_opener() -> RequestOpener:
    return RequestOpener({CONFIG.key_id: KEY}.get)


def keyless_opener() -> RequestOpener:
    return RequestOpener(lambda _: None)


def pour(opener: Incremental[bytes], data: Iterable[bytes]) -> bytes:
    """All that comes out, to the verified end."""
    out = [piece for piece in data for piece in opener.feed(piece)]
    return b"".join([*out, *opener.end()])


def poured(opener: Incremental[PartT], data: Iterable[bytes]) -> tuple[list[PartT], ProtocolFault | None]:
    """What came out before the fault, and the fault. A fault must be for good, and leave nothing finished."""
    out: list[PartT] = []
    try:
        for piece in data:
            out += opener.feed(piece)
        out += opener.end()
    except ProtocolFault as fault:
        assert not opener.finished
        with pytest.raises(ProtocolFault):
            opener.feed(b"")
        with pytest.raises(ProtocolFault):
            opener.end()
        return out, fault
    assert opener.finished
    return out, None


def cut(data: bytes, *places: int) -> list[bytes]:
    """`data`, cut at these places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
