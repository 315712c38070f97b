"""What a lost balancer tries, each in a function of a few lines. It has no key but those that it makes itself."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from examples.house.forged import Stale, under_own_ca
from examples.house.hostile_balancer import OHTTP, Attack, Hook, Turn
from examples.house.sealed import REQUEST_HEAD_BYTES, Sealed, parts, varint
from examples.house.wire import SEALED, Reply, reply

from ringfence.testing.scenes import Scene

HUGE = 2**60
SLOWLY = Scene(text=("A door", " with two", " locks has", " two keys,", " and one", " of them."), chunk_delay_s=0.04)
"""An engine's answer that is sealed in several chunks: what comes at once is sealed in one."""
JSON = "application/json"


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


def _instead(body: bytes, *, status: int = 200, media_type: str = JSON) -> Hook:
    """The balancer answers; the node is not asked."""

    async def attack(_: Turn) -> Reply:
        return reply(body, status=status, media_type=media_type)

    return attack


PLAIN_ANSWER = json.dumps(
    {
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "All is well."}}],
    }
).encode()
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

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
    Attack(name="answers itself, in plain JSON", sealed=_instead(PLAIN_ANSWER)),
    Attack(name="answers with nothing", sealed=_instead(b"", media_type=SEALED)),
    Attack(name="calls the answer another type", sealed=_another_type),
    Attack(name="says 502 in HTML", sealed=_instead(HTML, status=502, media_type="text/html")),
    Attack(name="says 503 to everything", sealed=_instead(b"", status=503, media_type="text/plain")),
    Attack(name="says 403", sealed=_instead(PLAIN_ANSWER, status=403)),
    Attack(name="sends elsewhere by a redirect", sealed=_instead(b"", status=307, media_type="text/plain")),
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


# ------------------------------------------------------------------ with the directory
def _evidence(change: Callable[[list[dict[str, Any]]], object]) -> Hook:
    """The directory's document after `change` of its nodes, in its own spelling of JSON."""

    async def attack(turn: Turn) -> Reply:
        document = json.loads(await turn.whole())
        changed = change(document["nodes"])
        document["nodes"] = document["nodes"] if changed is None else changed
        return reply(json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), media_type=JSON)

    return attack


def _with_own_key(nodes: list[dict[str, Any]]) -> None:
    """Every token names the balancer's own key; it has to stay as it was signed."""
    for number, node in enumerate(nodes):
        head, payload, signature = node["eat"].split(".")
        claims = json.loads(_unbase64(payload))
        config = _unbase64(claims["rf_ohttp"])
        claims["rf_ohttp"] = _base64(config[:3] + bytes([9, number]) * 16 + config[35:])
        node["eat"] = f"{head}.{_base64(json.dumps(claims).encode())}.{signature}"


def _without_signature(nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        _, payload, _ = node["eat"].split(".")
        node["eat"] = f"{_base64(json.dumps({'alg': 'none'}).encode())}.{payload}."


def _with_anothers_chain(nodes: list[dict[str, Any]]) -> None:
    """Genuine chains, each of another machine."""
    chains = [node["endorsement"] for node in nodes]
    for node, chain in zip(nodes, [*chains[1:], chains[0]], strict=True):
        node["endorsement"] = chain


def _with_anothers_key(nodes: list[dict[str, Any]]) -> None:
    keys = [node["ak"] for node in nodes]
    for node, key in zip(nodes, [*keys[1:], keys[0]], strict=True):
        node["ak"] = key


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _claims_apple(nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        node["endorsement"]["type"] = "apple-mda"


async def _said_twice(turn: Turn) -> Reply:
    """Every name of the document twice, so that two readers may see two documents."""
    text = (await turn.whole()).replace(b'{"ak":', b'{"ak":{},"ak":')
    return reply(text, media_type=JSON)


async def _zeros() -> AsyncGenerator[bytes, None]:
    yield b'{"v":1,"nodes":['
    while True:
        yield b" " * 65_536


async def _endless_directory(_: Turn) -> Reply:
    return Reply(media_type=JSON, pieces=_zeros())


def _many(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", {"v": 1})] * 10_000 + nodes


def _giant(nodes: list[dict[str, Any]]) -> None:
    nodes[0]["padding"] = "x" * 5_000_000


ON_EVIDENCE: Sequence[Attack] = (
    Attack(name="names its own key in the tokens", evidence=_evidence(_with_own_key)),
    Attack(
        name="makes evidence under a ca of its own",
        evidence=_evidence(lambda nodes: [under_own_ca(one) for one in nodes]),
    ),
    Attack(name="takes the signatures off", evidence=_evidence(_without_signature)),
    Attack(name="shows another machine's genuine chain", evidence=_evidence(_with_anothers_chain)),
    Attack(name="shows another machine's key", evidence=_evidence(_with_anothers_key)),
    Attack(name="calls development evidence Apple's", evidence=_evidence(_claims_apple)),
    Attack(name="shows a node under names said twice", evidence=_said_twice),
    Attack(name="shows no node at all", evidence=_evidence(lambda _: [])),
    Attack(name="shows one node of two", evidence=_evidence(lambda nodes: nodes[:1])),
    Attack(name="shows 10,000 nodes", evidence=_evidence(_many)),
    Attack(name="shows 5 MB of evidence", evidence=_evidence(_giant)),
    Attack(name="never stops showing", evidence=_endless_directory),
    Attack(name="shows HTML", evidence=_instead(HTML, media_type="text/html")),
    Attack(name="has no directory", evidence=_instead(HTML, status=502, media_type="text/html")),
)


# ------------------------------------------------------------------ with the releases
def _tampered(file: str, change: Callable[[bytes], bytes]) -> Hook:
    """The file of this name after `change`; the others as they are."""

    async def attack(turn: Turn) -> Reply:
        if not turn.request.path.endswith(file):
            return await turn.forward()
        return reply(change(await turn.whole()), media_type=JSON)

    return attack


ON_RELEASES: Sequence[Attack] = (
    *(
        Attack(name=f"changes {file}", releases=_tampered(file, lambda data: data.replace(b"e", b"f", 1)))
        for file in (
            "timestamp.json",
            "snapshot.json",
            "targets.json",
            "house-releases.json",
            "house-nodes.json",
            "house-log.json",
        )
    ),
    Attack(name="never stops the list of releases", releases=_endless_directory),
    Attack(name="has no releases", releases=_instead(HTML, status=404, media_type="text/html")),
)


def with_stale_releases(stale: Stale) -> Sequence[Attack]:
    """Everything else that the repository has is genuine and of now."""
    return (
        Attack(
            name="goes back to releases from before",
            releases=_tampered("timestamp.json", lambda _: stale.older),
            remembered=True,
        ),
        Attack(name="freezes the releases", releases=_tampered("timestamp.json", lambda _: stale.ended)),
    )


ATTACKS: Sequence[Attack] = (*ON_EVIDENCE, *ON_RELEASES, *ON_REQUESTS, *ON_ANSWERS)

__all__ = [
    "ATTACKS",
    "ON_ANSWERS",
    "ON_EVIDENCE",
    "ON_RELEASES",
    "ON_REQUESTS",
    "SLOWLY",
    "broken_after",
    "cut_after",
    "with_stale_releases",
]
