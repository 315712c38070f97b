"""A verified node: the one thing that a request can be sealed for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ringfence_house.protocol.keyconfig import KeyConfig
from ringfence_house.releases.reference import Release

Tier: TypeAlias = Literal["software-dev", "apple-mda", "apple-mda+appattest"]
TIERS: tuple[Tier, ...] = ("software-dev", "apple-mda", "apple-mda+appattest")
"""From the least to the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedNode:
    """A node whose evidence passed every check. Only `verify` makes one.

    `kid` is base64url of SHA-256 of its key configuration, `digest` SHA-256 (hex) of its evidence. It may be used until
    `expires_at` (Unix time): the earliest end of its token, its leaf, its posture, its release and the repository.
    """

    kid: str
    key_config: KeyConfig
    digest: str
    tier: Tier
    serial: str
    release: Release
    issued_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"VerifiedNode({self.kid[:8]}…, {self.tier}, release {self.release.id})"


__all__ = ["TIERS", "Tier", "VerifiedNode"]
