"""How an honest node seals its answer, in pieces that an attack can take apart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from ringfence_house.protocol.bhttp import ResponseEncoder
from ringfence_house.protocol.chunked import ResponseSealer
from ringfence_house.protocol.names import LOAD_FIELD
from ringfence_house.protocol.padding import pad_event

NONCE_BYTES = 16
"""Of the response nonce, which is a piece of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and fields of an answer, and whether its message will be complete."""

    status: int
    fields: Mapping[str, str]
    complete: bool = True


async def sealed_pieces(
    answer: AsyncIterator[Head | bytes], sealer: ResponseSealer, load: float | None
) -> AsyncIterator[bytes]:
    """The nonce, a chunk for the head and for each piece of content, and the final chunk."""
    encoder = ResponseEncoder()
    padded, complete = False, True
    async for part in answer:
        if isinstance(part, Head):
            complete = part.complete
            padded = part.fields.get("content-type", "").startswith("text/event-stream")
            said = {} if load is None else {LOAD_FIELD: f"{load:.2f}"}
            fields = [(name.encode(), value.encode()) for name, value in {**part.fields, **said}.items()]
            sealed = sealer.seal(encoder.head(part.status, fields))
            yield sealed[:NONCE_BYTES]
            yield sealed[NONCE_BYTES:]
            continue
        whole = padded and part.endswith(b"\n\n")
        yield sealer.seal(encoder.content(pad_event(part) if whole else part))
    yield sealer.finish(encoder.end() if complete else b"")


__all__ = ["NONCE_BYTES", "Head", "sealed_pieces"]
