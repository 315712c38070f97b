"""All that is kept for one recipient: what the policy says of it, and its verified nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx2

from ringfence.errors import Unavailable
from ringfence.provider import Capability, Finding, ModelCard
from ringfence_house.attestation.trust import WHICH_FILE, Trust, parse_trust
from ringfence_house.client.directory import Directory
from ringfence_house.client.looking import Demands, Lookout
from ringfence_house.client.nodes import Nodes
from ringfence_house.client.reaching import verify_command
from ringfence_house.client.sealing import attestation_of
from ringfence_house.options import HouseOptions, OptionFault, read_options
from ringfence_house.protocol.names import OHTTP_PATH

if TYPE_CHECKING:
    from ringfence.provider import ProviderContext
    from ringfence.receipt import Attestation
    from ringfence.recipient import Recipient
    from ringfence_house.attestation.node import VerifiedNode

_MAX_TRUST_BYTES = 2**20


class House:
    """One recipient, ready to be asked. Made without sending anything. `clock` gives Unix time.

    Raises:
        OptionFault: the policy declares it so that it cannot be used, or its file of trust is not that of the policy.
    """

    def __init__(
        self, recipient: Recipient, context: ProviderContext, *, clock: Callable[[], float] = time.time
    ) -> None:
        options = read_options(recipient)
        trust = _trust(options)
        lookout = Lookout(
            Directory(options.directory, lambda: context.directory(recipient)),
            Demands(
                model=recipient.model,
                min_tier=options.min_tier,
                min_nodes=options.min_nodes,
                verifiers=tuple(trust.verifiers()),
                verify=verify_command(options.directory, options.trust, options.min_tier),
            ),
            root=trust.root,
            folder=context.state_dir / _folder_name(options),
            clock=clock,
        )
        self._context = context
        self._options = options
        self._card: tuple[tuple[VerifiedNode, ...], ModelCard] | None = None
        """Of these very nodes."""
        self.recipient = recipient
        self.endpoint = httpx2.URL(options.directory + OHTTP_PATH)
        self.nodes = Nodes(lookout.look, min_nodes=options.min_nodes, monotonic_s=context.monotonic_s, clock=clock)

    def http(self) -> httpx2.AsyncClient:
        """The guarded client of the recipient."""
        return self._context.http(self.recipient)

    async def card(self) -> ModelCard:
        """What every verified node can do, as its release says.

        Raises:
            ProviderError: no node proved what it is.
        """
        nodes = await self.nodes.ready()
        if self._card is None or self._card[0] is not nodes:
            self._card = nodes, self._card_of(nodes)
        return self._card[1]

    def _card_of(self, nodes: tuple[VerifiedNode, ...]) -> ModelCard:
        releases = [node.release for node in nodes]
        capabilities = releases[0].capabilities.intersection(*(release.capabilities for release in releases))
        return ModelCard(
            name=self.recipient.model,
            context_tokens=min(release.context_tokens for release in releases),
            capabilities=cast("frozenset[Capability]", capabilities),
            summary="in-house, attested and encrypted end to end",
        )

    def attestations(self) -> tuple[Attestation, ...]:
        """What is verified now."""
        return tuple(attestation_of(node) for node in self.nodes.valid)

    def finding(self) -> Finding:
        """How it stands, without asking anybody."""
        subject = f"recipient '{self.recipient.name}'"
        if failure := self.nodes.failure:
            way_out = failure.error().way_out
            return Finding(level="fault", subject=subject, detail=str(failure), way_out=way_out)
        nodes = self.nodes.valid
        tier = self._options.min_tier
        development = tier == "software-dev"
        verified = f"{len(nodes)} nodes verified, {self.nodes.refused} refused" if nodes else "nobody was asked yet"
        return Finding(
            level="warning" if development else "ok",
            subject=subject,
            detail=f"{verified}; {'DEVELOPMENT: ' if development else ''}{tier} or more is asked for",
            way_out="min_tier: apple-mda, for machines that Apple vouches for" if development else None,
        )

    async def close(self) -> None:
        """Looks no more, and frees everything; the network clients below are the core's. Idempotent."""
        await self.nodes.close()


def _trust(options: HouseOptions) -> Trust:
    """The file of trust.

    INVARIANT: it is the one whose digest stands in the policy's, or the recipient is not used.
    """
    path = Path(options.trust)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_TRUST_BYTES + 1)
        trust = parse_trust(data)
    except OSError:
        raise OptionFault("the file of trust cannot be read", "trust: the file that the operator gave you") from None
    except ValueError as error:
        raise OptionFault(f"the trust file is not a root file of releases: {error}", WHICH_FILE) from None
    if options.trust_digest not in (None, sha256(data).hexdigest()):
        raise OptionFault("the file of trust was changed since the policy was read", "read the policy again")
    if options.min_tier == "software-dev" and not trust.is_development:
        raise OptionFault(
            "min_tier is software-dev, and the file of trust names no development_ca",
            "min_tier: apple-mda, or the file of trust of a development house",
        )
    return trust


def _folder_name(options: HouseOptions) -> str:
    """Where the state of its repository is kept: another root or place begins anew."""
    name = f"{options.directory}\n{options.trust_digest or options.trust}"
    return sha256(name.encode("utf-8")).hexdigest()[:32]


def make(recipient: Recipient, context: ProviderContext) -> House:
    """The house of `recipient`.

    Raises:
        Unavailable: the recipient cannot be used as it is declared.
    """
    try:
        return House(recipient, context)
    except OptionFault as fault:
        raise Unavailable(fault.detail, reason="not_configured", way_out=fault.way_out) from None


__all__ = ["House", "make"]
