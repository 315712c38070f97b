"""What a node needs of whoever vouches for it."""

from __future__ import annotations

from typing import Protocol

from ringfence_house.attestation.claims import ReleaseClaim
from ringfence_house.attestation.evidence import Evidence
from ringfence_house.attestation.node import Tier
from ringfence_house.protocol.keyconfig import KeyConfig


class Attestor(Protocol):
    """Issues evidence with an attestation key that somebody endorsed. May be used from any thread."""

    @property
    def type(self) -> Tier:
        """Of its endorsement."""
        ...

    @property
    def serial(self) -> str:
        """The serial number that the endorsement attests, and that the inventory must hold."""
        ...

    def issue(
        self,
        *,
        key_config: KeyConfig,
        release: ReleaseClaim,
        boot: str,
        now: float,
        life_s: int,
        nonce: str | None = None,
    ) -> Evidence:
        """Evidence for a key that requests are to be sealed for; see `issue_evidence`.

        Raises:
            Unavailable: there is no endorsement that would be believed now.
        """
        ...

    def expires_at(self) -> float:
        """When the present endorsement ends, as Unix time; after that evidence needs another."""
        ...


__all__ = ["Attestor"]
