"""The directory of a house: what its nodes say of themselves, side by side, and the release repository.

It verifies nothing, and nobody believes it: a client checks every piece of evidence and every signature itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ringfence.cli import terminal
from ringfence.cli.failure import Misuse
from ringfence.cli.options import json_option
from ringfence_house.attestation.evidence import make_directory, parse_directory
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.protocol import names
from ringfence_house_node.server.app import Quiet
from ringfence_house_node.server.framing import OneLength
from ringfence_house_node.server.listening import address_of, listening_options, where
from ringfence_house_node.server.logs import log_to_stderr
from ringfence_house_node.server.releases import releases_route
from ringfence_house_node.server.serving import Bound, Server, Signals, bind, first_of

if TYPE_CHECKING:
    import httpx2

LOG = logging.getLogger("ringfence_house_node")

MISSES = 3
"""A node that did not answer so often in a row is left out."""

MOST_OF_A_NODE = 2
"""The evidence of a node: of its key, and of the one before while that still counts."""

_TIMEOUT_S = 5.0
"""For a node to connect, and to go on saying something."""

_LIMIT_S = 10.0
"""For all that one node says: one that drips is one that is down."""

_FRAME_BYTES = 64
"""Of a document around its evidence; more than enough."""

_TOO_MUCH = "it is more than one node has to say"


@dataclass
class _Known:
    evidence: tuple[bytes, ...] = ()
    missed: int = 0


@dataclass
class Directory:
    """The evidence of nodes by their base URLs, asked for again and again."""

    nodes: Sequence[str]
    every_s: float
    _known: dict[str, _Known] = field(default_factory=dict[str, _Known], init=False)

    def document(self) -> bytes | None:
        """The same bytes for every caller until a node says something new; `None` while no node is known."""
        said = [known.evidence for url in dict.fromkeys(self.nodes) if (known := self._known.get(url))]
        # The first of every node before the second of any: no node loses its place to another's second.
        found = [evidence[place] for place in range(MOST_OF_A_NODE) for evidence in said if place < len(evidence)]
        return make_directory(found[: names.MAX_NODES]) if found else None

    async def keep(self) -> None:
        """Asks every node, for ever, and each for itself: one that hangs delays the word of no other."""
        import httpx2  # noqa: PLC0415  (only a directory is a client)

        async with (
            httpx2.AsyncClient(
                trust_env=False,
                timeout=_TIMEOUT_S,
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=None),
                headers={"accept-encoding": "identity"},
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for url in dict.fromkeys(self.nodes):
                group.create_task(self._keep(client, url))

    async def _keep(self, client: httpx2.AsyncClient, url: str) -> None:
        while True:
            await self._ask(client, url)
            await asyncio.sleep(self.every_s)

    async def _ask(self, client: httpx2.AsyncClient, url: str) -> None:
        import httpx2  # noqa: PLC0415

        known = self._known.setdefault(url, _Known())
        try:
            async with asyncio.timeout(_LIMIT_S):
                content = await _read(client, url + names.EVIDENCE_PATH, self._share_bytes)
            known.evidence, known.missed = _of_one_node(content, self._share_bytes), 0
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, EvidenceRefused) as error:
            known.missed += 1
            if known.missed == MISSES:
                # A foreign message may hold anything; the words of a refusal are ours.
                why = str(error) if isinstance(error, EvidenceRefused) else type(error).__name__
                LOG.warning("node %d gives no evidence: %s", self.nodes.index(url) + 1, why)
                known.evidence = ()

    @property
    def _share_bytes(self) -> int:
        """What each node may say: all of them together make no longer a document than clients read."""
        share = names.MAX_DIRECTORY_BYTES // len(self.nodes) - _FRAME_BYTES
        return min(share, MOST_OF_A_NODE * names.MAX_EVIDENCE_BYTES + _FRAME_BYTES)


async def _read(client: httpx2.AsyncClient, url: str, most: int) -> bytes:
    """What a node says, as it came: nothing is unpacked, so that what is counted is all there is."""
    content = bytearray()
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise EvidenceRefused("form", "it is in an encoding that was not asked for")
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > most:
                raise EvidenceRefused("form", _TOO_MUCH)
    return bytes(content)


def _of_one_node(content: bytes, most: int) -> tuple[bytes, ...]:
    """The evidence of a node.

    INVARIANT: no node pushes another one out, or makes the directory longer than clients read. One that says too much
    says nothing.

    Raises:
        EvidenceRefused: it is none, or there is more of it than one node has.
    """
    found = parse_directory(content)
    # Measured as it will be served, which can be longer than it came.
    long = sum(map(len, found)) > most or any(len(each) > names.MAX_EVIDENCE_BYTES for each in found)
    if len(found) > MOST_OF_A_NODE or long:
        raise EvidenceRefused("form", _TOO_MUCH)
    return found


def directory_app(directory: Directory, releases: Path | None) -> ASGIApp:
    """Serves the evidence and the repository, and nothing else."""

    async def evidence(_: Request) -> Response:
        document = directory.document()
        if document is None:
            return Response("no node is known now\n", 503, {"retry-after": "1"}, media_type="text/plain")
        return Response(document, headers={"cache-control": "no-cache"}, media_type="application/json")

    routes = [Route(names.EVIDENCE_PATH, evidence)]
    if releases is not None:
        routes.append(releases_route(releases))
    return Quiet(OneLength(Starlette(routes=routes)))


async def run_directory(directory: Directory, *, releases: Path | None, public: Bound) -> int:
    """Serves until a signal, and returns the exit code: 0 after SIGTERM, 130 after Ctrl-C."""
    signals = Signals()
    async with signals():
        server = Server(directory_app(directory, releases), public)
        keeping = asyncio.create_task(directory.keep())
        try:
            await first_of(signals.asked, server.task, keeping)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, server.close(), return_exceptions=True)
    return signals.exit_code


@click.command()
@click.option(
    "--node", "nodes", multiple=True, required=True, metavar="URL", help="A node's base URL; may be repeated."
)
@click.option(
    "--releases",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The release repository, to be served as it is.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="… or the folder of development nodes, which has one.",
)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often the nodes are asked.",
)
@listening_options
@json_option("One line of JSON on stdout when it listens.")
def directory(
    *,
    nodes: tuple[str, ...],
    releases: Path | None,
    state: Path | None,
    every_s: float,
    host: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    behind_proxy: bool,
    as_json: bool,
) -> None:
    """Asks nodes what they say of themselves, and serves that to clients beside the releases.

    It verifies nothing and need not be trusted: clients check all of it. It relays no requests: a balancer at the same
    address brings those to the nodes, and this answers the rest (examples/house/haproxy.cfg).
    """
    for node in nodes:
        _check_url(node)
    if releases is not None and state is not None:
        raise Misuse("the releases are named twice", way_out="either --releases or --state")
    if state is not None:
        releases = state / "releases"
    address = address_of(host=host, port=port, certificate=certificate, key=key, behind_proxy=behind_proxy)
    public = bind(address)
    log_to_stderr(access=False)
    if as_json:
        terminal.write_json({"ready": True, "url": public.url})
    terminal.say(f"directory of {len(nodes)} node{'s' if len(nodes) != 1 else ''} at {where(public)}")
    kept = Directory(nodes=[node.rstrip("/") for node in nodes], every_s=every_s)
    raise SystemExit(asyncio.run(run_directory(kept, releases=releases, public=public)))


def _check_url(node: str) -> None:
    try:
        parts = urlsplit(node)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        usable = False
    if not usable:
        # It is not quoted: it may hold a password.
        raise Misuse("a --node is no base URL with http or https", way_out="--node http://127.0.0.1:8443")


__all__ = ["Directory", "directory", "directory_app", "run_directory"]
