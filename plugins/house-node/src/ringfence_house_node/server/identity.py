"""Who a node is: what vouches for it, and as which release."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.failure import Misuse
from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house_node.engine import EngineSettings
from ringfence_house_node.server.listening import is_loopback
from ringfence_house_node.server.measuring import measures_of

if TYPE_CHECKING:
    from ringfence.provider import ModelCard
    from ringfence_house_node.attestors import Attestor
    from ringfence_house_node.dev import Development

_NEEDED = {"attestor": "--attestor apple-mda", "chain": "--chain", "ueid": "--ueid", "release_id": "--release"}
_CONTEXT_TOKENS = 4096
"""Of a development release, where neither the operator nor the engine's provider says more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`development` is there for a development node alone."""

    attestor: Attestor
    claim: ReleaseClaim
    development: Development | None = None


def check_identity(given: Mapping[str, Any]) -> None:
    """Accepts options that say who the node is, in one way.

    Raises:
        Misuse: they say too little, or both ways.
    """
    if given["dev"]:
        wrong = [option for name, option in _NEEDED.items() if given[name] is not None]
        if wrong:
            raise Misuse(f"--dev makes its own identity, without {wrong[0]}", way_out="leave one of them out")
        if not is_loopback(given["host"]):
            raise Misuse(
                f"a development node is for this machine alone, not for {given['host']}",
                way_out="--host 127.0.0.1, or a node with an identity of its own",
            )
        return
    if given["state"] is not None:
        raise Misuse("--state is the folder of --dev", way_out="add --dev, or leave it out")
    missing = [option for name, option in (_NEEDED | {"weights": "--weights"}).items() if given[name] is None]
    if missing:
        raise Misuse(f"a node needs {', '.join(missing)}", way_out="add them, or --dev for a development house")


@contextmanager
def identity_of(
    given: Mapping[str, Any], settings: EngineSettings, card: ModelCard | None
) -> Generator[Identity, None, None]:
    """The identity that checked options make; a development node holds its place until the block ends.

    `card` is what is known of the engine's model.

    Raises:
        Unavailable: nobody vouches for it now.
        ReleasesFault: what it is cannot be measured or published.
    """
    measures = measures_of(settings, given["weights"])
    if not given["dev"]:
        yield Identity(attestor=_apple(given), claim=measures.claim(given["release_id"]))
        return
    from ringfence.paths import state_dir  # noqa: PLC0415  (development alone needs all of it)
    from ringfence_house_node.dev import Offer, joined  # noqa: PLC0415

    offer = Offer(
        model=settings.model,
        measures=measures,
        capabilities=settings.capabilities or (card.capabilities if card else frozenset({"text"})),
        context_tokens=settings.context_tokens or (card.context_tokens if card else _CONTEXT_TOKENS),
    )
    folder: Path = given["state"] or state_dir() / "house-dev"
    with joined(folder.absolute(), offer) as development:
        yield Identity(attestor=development.attestor, claim=development.claim, development=development)


def _apple(given: Mapping[str, Any]) -> Attestor:
    from ringfence_house_node.attestors.apple_mda import AppleMdaAttestor  # noqa: PLC0415
    from ringfence_house_node.attestors.enclave import EnclaveKey  # noqa: PLC0415

    return AppleMdaAttestor(EnclaveKey.open(), given["chain"], ueid=given["ueid"])


__all__ = ["Identity", "check_identity", "identity_of"]
