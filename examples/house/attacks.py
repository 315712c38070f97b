"""What a lost balancer tries, each in a function of a few lines. It has no key but those that it makes itself."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from examples.house.attacks_on_proof import HTML, ON_EVIDENCE, ON_RELEASES, instead
from examples.house.hostile_balancer import OHTTP, Attack, Hook, Turn
from examples.house.sealed import REQUEST_HEAD_BYTES, Sealed, parts, varint
from examples.house.wire import SEALED, Reply, reply

from ringfence.testing.scenes import Scene

HUGE = 2**60
SLOWLY = Scene(text=("A door", " with two", " locks has", " two keys,", " and one", " of them."), chunk_delay_s=0.04)
"""An engine's answer that is sealed in several chunks: what comes at once is sealed in one."""


# ------------------------------------------------------------------ with the answer
def _changed(change: Callable[[Sealed], Iterable[bytes]]) -> Hook:
    """The right node's answer in other parts."""

    async def attack(turn: Turn) -> Reply:
        return reply(*change(await turn.sealed()))

    return attack


def cut_after(count: int) -> Attack:
    """The answer ends after its chunk number `count`, as if it were whole."""
    name = f"ends the answer after chunk {count}"
    return Attack(name=name, sealed=_changed(lambda sealed: list(sealed)[:-1][: 1 + count]))


def broken_after(count: int) -> Attack:
    """The connection breaks there."""

    async def attack(turn: Turn) -> Reply:
        return reply(*list(await turn.sealed())[:-1][: 1 + count], ending="reset")

    return Attack(name=f"resets the connection after chunk {count}", sealed=attack)


def _promoted(sealed: Sealed) -> Iterable[bytes]:
    *kept, last = sealed.chunks
    return replace(sealed, chunks=kept, final=last)


def _swapped(sealed: Sealed) -> Iterable[bytes]:
    first, second, *rest = sealed.chunks
    return replace(sealed, chunks=[second, first, *rest])


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def _never_ending(sealed: Sealed) -> AsyncGenerator[bytes, None]:
    for part in sealed:
        yield part
    while True:
        yield bytes(65_536)


async def _endless(turn: Turn) -> Reply:
    return Reply(pieces=_never_ending(await turn.sealed()))


async def _replay(turn: Turn) -> Reply:
    """Has the node answer the request once, and passes on what it says to it the second time."""
    await turn.whole()
    return await turn.forward()


async def _twice(turn: Turn) -> Reply:
    """The answer, and behind it what the node says to the same request once more, under a nonce of its own."""
    return reply(await turn.whole(), await turn.whole())


def _earlier(turn: Turn) -> Sealed:
    """The first answer that it has seen to a sealed request."""
    kept = [one.answer for one in turn.earlier if one.request.path.startswith(OHTTP)]
    return parts(bytes(kept[0]))


async def _another_answer(turn: Turn) -> Reply:
    await turn.whole()
    return reply(*_earlier(turn))


async def _spliced(turn: Turn) -> Reply:
    """The head of this answer and the tail of another."""
    own, other = await turn.sealed(), _earlier(turn)
    half = len(own.chunks) // 2
    return reply(*replace(own, chunks=[*own.chunks[:half], *other.chunks[half:]], final=other.final))


async def _another_type(turn: Turn) -> Reply:
    return replace(await turn.forward(), media_type="message/ohttp-res")


PLAIN_ANSWER = json.dumps(
    {
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "All is well."}}],
    }
).encode()

ON_ANSWERS: Sequence[Attack] = (
    *(cut_after(count) for count in range(4)),
    broken_after(1),
    Attack(name="drops the final chunk", sealed=_changed(lambda sealed: list(sealed)[:-1])),
    Attack(name="promotes a chunk to final", sealed=_changed(_promoted)),
    Attack(name="swaps two chunks", sealed=_changed(_swapped)),
    Attack(name="drops a chunk", sealed=_changed(lambda sealed: replace(sealed, chunks=sealed.chunks[1:]))),
    Attack(
        name="sends a chunk twice",
        sealed=_changed(lambda sealed: replace(sealed, chunks=[sealed.chunks[0], *sealed.chunks])),
    ),
    Attack(
        name="flips one bit of a chunk",
        sealed=_changed(lambda sealed: replace(sealed, chunks=[_flipped(sealed.chunks[0], 5), *sealed.chunks[1:]])),
    ),
    Attack(
        name="flips one bit of the nonce",
        sealed=_changed(lambda sealed: replace(sealed, head=_flipped(sealed.head, 0))),
    ),
    Attack(
        name="adds a byte after the end", sealed=_changed(lambda sealed: replace(sealed, final=sealed.final + b"\0"))
    ),
    Attack(name="never stops after the end", sealed=_endless),
    Attack(
        name="announces a chunk of 2^60 bytes", sealed=_changed(lambda sealed: [sealed.head, varint(HUGE), bytes(99)])
    ),
    Attack(name="splices the tail of another answer", sealed=_spliced),
    Attack(name="gives another request's answer", sealed=_another_answer),
    Attack(name="adds a second answer", sealed=_twice),
    Attack(name="answers itself, in plain JSON", sealed=instead(PLAIN_ANSWER)),
    Attack(name="answers with nothing", sealed=instead(b"", media_type=SEALED)),
    Attack(name="calls the answer another type", sealed=_another_type),
    Attack(name="says 502 in HTML", sealed=instead(HTML, status=502, media_type="text/html")),
    Attack(name="says 503 to everything", sealed=instead(b"", status=503, media_type="text/plain")),
    Attack(name="says 403", sealed=instead(PLAIN_ANSWER, status=403)),
    Attack(name="sends elsewhere by a redirect", sealed=instead(b"", status=307, media_type="text/plain")),
)


# ------------------------------------------------------------------ with the request
def _altered(change: Callable[[bytes], bytes]) -> Hook:
    async def attack(turn: Turn) -> Reply:
        return await turn.forward(change(turn.request.body))

    return attack


def _without_final(body: bytes) -> bytes:
    """Cut at the edge of the last chunk."""
    return b"".join(list(parts(body, REQUEST_HEAD_BYTES))[:-1])


async def _elsewhere(turn: Turn) -> Reply:
    return await turn.elsewhere()


ON_REQUESTS: Sequence[Attack] = (
    *(
        Attack(name=f"changes the {what} in the header", sealed=_altered(partial(_flipped, at=at)))
        for at, what in ((0, "key id"), (2, "kem"), (4, "kdf"), (6, "cipher"))
    ),
    Attack(name="flips one bit of the encapsulated key", sealed=_altered(lambda body: _flipped(body, 8))),
    Attack(
        name="sends an encapsulated key of zeros",
        sealed=_altered(lambda body: body[:7] + bytes(32) + body[REQUEST_HEAD_BYTES:]),
    ),
    Attack(name="flips one bit of the request", sealed=_altered(lambda body: _flipped(body, len(body) - 9))),
    Attack(name="cuts the request at the edge of a chunk", sealed=_altered(_without_final)),
    Attack(name="adds a byte to the request", sealed=_altered(lambda body: body + b"\0")),
    Attack(name="sends the request to another node", sealed=_elsewhere),
    Attack(name="replays the request", sealed=_replay),
)


ATTACKS: Sequence[Attack] = (*ON_EVIDENCE, *ON_RELEASES, *ON_REQUESTS, *ON_ANSWERS)

__all__ = ["ATTACKS", "ON_ANSWERS", "ON_REQUESTS", "SLOWLY", "broken_after", "cut_after"]
