"""What an endorser says of a device: its identity, its posture, and the key it vouches for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ringfence_house.attestation.node import Tier
from ringfence_house.protocol.names import MAX_POSTURE_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorsement:
    """A chain that was verified, and a posture that was found good. Times are Unix times.

    `freshness` is what the endorser was given to sign: 32 bytes, which must be the digest of the key that is endorsed.
    `issued_at` and `not_after` are the leaf's.
    """

    tier: Tier
    serial: str
    udid: str
    os_version: str
    freshness: bytes
    issued_at: float
    not_after: float

    @property
    def expires_at(self) -> float:
        """When the leaf ends or the posture is too old, whichever comes first."""
        return min(self.not_after, self.issued_at + MAX_POSTURE_AGE_S)


class EndorsementVerifier(Protocol):
    """Verifies endorsements of one type."""

    @property
    def type(self) -> Tier:
        """The type that it verifies."""
        ...

    def verify(self, x5c: Sequence[bytes], now: float) -> Endorsement:
        """What the certificates say, leaf first, if they hold at `now`.

        Raises:
            EvidenceRefused: by the check `endorsement`.
        """
        ...


__all__ = ["Endorsement", "EndorsementVerifier"]
