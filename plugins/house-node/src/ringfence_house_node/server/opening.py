"""From the bytes of an encapsulated request to the request, or to an answer outside of the encryption."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass

from ringfence_house.protocol.chunked import RequestOpener, ResponseSealer
from ringfence_house.protocol.faults import KeyUnknown, ProtocolFault, TooLong
from ringfence_house.protocol.hpke import PrivateKey
from ringfence_house_node.server.keys import KeyRing, NodeKey


class Unopened(Exception):
    """A request that cannot be opened here. `key_problem` says that it was sealed for a key that is not here."""

    def __init__(self, status: int, sentence: str, *, key_problem: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.key_problem = key_problem


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Opened:
    """A request that was opened to its authenticated end, the key it was sealed for, and what seals its answer.

    Who has read `plain` clears it, so that a long request is not held twice while it is answered.
    """

    plain: bytearray
    enc: bytes
    key: NodeKey
    sealer: ResponseSealer

    def __repr__(self) -> str:
        return f"Opened({len(self.plain)} bytes)"


async def open_request(pieces: AsyncIterable[bytes], ring: KeyRing, *, hint: str | None) -> Opened:
    """Opens a request chunk by chunk as it comes.

    Args:
        pieces: The body.
        ring: The keys that are alive.
        hint: The kid that the request's header names, if it has one.

    Raises:
        Unopened: it is for another node, or not as it was sealed.
    """
    if hint is not None and ring.of_kid(hint) is None:
        # 404 is a status that stock balancers can send a request on after; of 421 they know nothing (decision 0124).
        raise Unopened(404, "the request is for another node", key_problem=True)
    found: list[NodeKey] = []
    opener = RequestOpener(lambda key_id: _private(ring, key_id, found))
    plain = bytearray()
    try:
        async for piece in pieces:
            for chunk in opener.feed(piece):
                plain += chunk
        for chunk in opener.end():
            plain += chunk
    except KeyUnknown:
        raise Unopened(400, "the request is for a key that is not here", key_problem=True) from None
    except TooLong:
        raise Unopened(413, "the request is too long") from None
    except ProtocolFault:
        raise Unopened(400, "the request cannot be opened") from None
    assert opener.enc is not None  # noqa: S101  (it was opened)
    return Opened(plain=plain, enc=opener.enc, key=found[0], sealer=opener.sealer())


def _private(ring: KeyRing, key_id: int, found: list[NodeKey]) -> PrivateKey | None:
    key = ring.of_id(key_id)
    if key is None:
        return None
    found.append(key)
    return key.private


__all__ = ["Opened", "Unopened", "open_request"]
