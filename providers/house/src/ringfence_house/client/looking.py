"""One look at a house: what its repository allows now, and which of its nodes prove to be of that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ringfence.errors import AttestationFailed, ProviderError
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.verify import verify_directory
from ringfence_house.client.directory import Directory, NotFetched, NotThere
from ringfence_house.client.reaching import TELL_OPERATOR, VERIFY
from ringfence_house.errors import HouseUnreachable
from ringfence_house.releases.faults import Missing, ReleasesRefused, ReleasesUnreachable, Unreachable
from ringfence_house.releases.reader import ReleaseReader

if TYPE_CHECKING:
    from ringfence_house.attestation.endorsement import EndorsementVerifier
    from ringfence_house.attestation.node import Tier, VerifiedNode
    from ringfence_house.releases.reference import Reference

_SHOWN_MODELS: Final = 5


class LookFailed(Exception):
    """The house did not show what it has to. `unreachable`: it said nothing at all; else it proved too little.

    `reference` is what its repository says now, where that much was found out.
    """

    def __init__(
        self,
        sentence: str,
        *,
        unreachable: bool = False,
        reference: Reference | None = None,
        way_out: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self._way_out = way_out
        self.unreachable = unreachable
        self.reference = reference

    def error(self, *, retry_after_s: float | None = None) -> ProviderError:
        """What a caller is told: a new one each time, since the core writes on it."""
        if self.unreachable:
            way_out = self._way_out or "check the network, and directory: of the recipient"
            return HouseUnreachable(str(self), retry_after_s=retry_after_s, way_out=way_out)
        return AttestationFailed(str(self), phase="connect", way_out=self._way_out or VERIFY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look found. `nodes` are of `min_nodes` machines or more; `refused` is how many did not prove enough."""

    nodes: tuple[VerifiedNode, ...]
    refused: int
    reference: Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a node has to show, and of how many machines there have to be nodes.

    `verify` is the command that lists every check of them, for people.
    """

    model: str
    min_tier: Tier
    min_nodes: int
    verifiers: tuple[EndorsementVerifier, ...]
    verify: str = VERIFY


class Lookout:
    """Looks at one house, from one event loop. `folder` keeps what the repository said last, so that it cannot go back.

    `root` is the first root of trust, `clock` gives Unix time.
    """

    def __init__(
        self,
        directory: Directory,
        demands: Demands,
        *,
        root: bytes,
        folder: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._demands = demands
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader = ReleaseReader(root, folder, self._fetch)
        self._not_fetched: list[NotFetched] = []
        """Why files of the repository did not come, in the look of now."""

    async def look(self) -> Found:
        """The verified nodes of now.

        Raises:
            LookFailed: the house cannot be reached, or it does not prove enough.
        """
        self._loop = asyncio.get_running_loop()
        reference = await self._reference()
        try:
            data = await self._directory.evidence()
        except NotFetched as error:
            raise LookFailed(str(error), unreachable=True, reference=reference, way_out=error.way_out) from None
        return await asyncio.to_thread(self._verified, data, reference)

    async def _reference(self) -> Reference:
        self._not_fetched.clear()
        try:
            return await asyncio.to_thread(self._reader.refresh, self._clock())
        except ReleasesUnreachable as error:
            # The last file that did not come is why: the reader ends with it.
            why = self._not_fetched[-1] if self._not_fetched else None
            way_out = None if why is None else why.way_out
            raise LookFailed(str(why or error), unreachable=True, way_out=way_out) from None
        except ReleasesRefused as error:
            # Not `evidence verify`, which could say no more: it comes no further than this either.
            raise LookFailed(str(error), way_out=error.way_out or TELL_OPERATOR) from None

    def _verified(self, data: bytes, reference: Reference) -> Found:
        demands = self._demands
        try:
            verified = verify_directory(
                data,
                reference,
                demands.verifiers,
                min_tier=demands.min_tier,
                model=None,
                now=self._clock(),
            )
        except EvidenceRefused as refused:
            raise LookFailed(str(refused), reference=reference, way_out=TELL_OPERATOR) from None
        nodes = tuple(node for node in verified.nodes if node.release.model == demands.model)
        if verified.nodes and not nodes:
            said, way_out = not_served(demands.model, verified.nodes)
            raise LookFailed(said + _why(verified.refused), reference=reference, way_out=way_out)
        machines = len({node.serial for node in nodes})
        if machines < demands.min_nodes:
            said = _too_few(machines, demands.min_nodes, verified.refused)
            raise LookFailed(said, reference=reference, way_out=demands.verify)
        return Found(nodes=nodes, refused=len(verified.refused), reference=reference)

    def _fetch(self, path: str) -> bytes:
        """A file of the repository, for the reader, which works in a thread."""
        assert self._loop is not None  # noqa: S101  (`look` sets it)
        try:
            return asyncio.run_coroutine_threadsafe(self._directory.release_file(path), self._loop).result()
        except NotFetched as error:
            self._not_fetched.append(error)
            raise (Missing if isinstance(error, NotThere) else Unreachable)(str(error)) from None
        except (CancelledError, RuntimeError):
            # The loop ends, and nobody waits for this any more.
            raise Unreachable("the house is not looked at any more") from None


def _too_few(machines: int, wanted: int, refused: Sequence[EvidenceRefused]) -> str:
    found = f"{machines} verified machine{'' if machines == 1 else 's'} of the {wanted} that have to be there"
    return found + _why(refused)


def _why(refused: Sequence[EvidenceRefused]) -> str:
    return f"; one was refused: {refused[0]}" if refused else ""


def not_served(model: str, nodes: Iterable[VerifiedNode]) -> tuple[str, str]:
    """What is told where none of the verified `nodes` serves `model`, and the way out."""
    served = sorted({node.release.model for node in nodes})[:_SHOWN_MODELS]
    said = f"no verified node serves '{model}'; served here: {', '.join(served)}"
    return said, f"model: {served[0]} in the policy"


def still_allowed(node: VerifiedNode, reference: Reference, now: float) -> bool:
    """Whether a node that was verified before is allowed by a newer word of the repository."""
    release = reference.releases.get(node.release.id)
    device = reference.devices.get(node.serial)
    if release is None or device is None or release.revoked or device.revoked:
        return False
    return release.not_before <= now < release.not_after


__all__ = ["Demands", "Found", "LookFailed", "Lookout", "not_served", "still_allowed"]
