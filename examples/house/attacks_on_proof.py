"""What a lost balancer tries with what the house shows of itself: the evidence of its nodes, and its releases."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, cast

from examples.house.forged import Stale, under_own_ca
from examples.house.hostile_balancer import Attack, Hook, Turn
from examples.house.wire import Reply, reply

JSON = "application/json"
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def instead(body: bytes, *, status: int = 200, media_type: str = JSON) -> Hook:
    """The balancer answers; the node is not asked."""

    async def attack(_: Turn) -> Reply:
        return reply(body, status=status, media_type=media_type)

    return attack


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
    Attack(name="shows HTML", evidence=instead(HTML, media_type="text/html")),
    Attack(name="has no directory", evidence=instead(HTML, status=502, media_type="text/html")),
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
    Attack(name="has no releases", releases=instead(HTML, status=404, media_type="text/html")),
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


__all__ = ["HTML", "ON_EVIDENCE", "ON_RELEASES", "instead", "with_stale_releases"]
