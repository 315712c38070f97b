"""The reference values: what may serve now, as the signed repository says. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One build with one model. `code`, `model_digest` and `config` are SHA-256 values in lower-case hex.

    `model` is the name under which it is asked for. `not_before` and `not_after` are Unix times; `revoked` ends it at
    once. `min_os` is the least version of macOS, such as `14.4`. `capabilities` and `context_tokens` are
    what the client may ask of it.
    """

    id: str
    code: str
    model: str
    model_digest: str
    config: str
    not_before: int
    not_after: int
    capabilities: frozenset[str]
    context_tokens: int
    min_os: str | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One machine of the fleet, by the serial number that its endorser attests. Its evidence must say `ueid`."""

    serial: str
    ueid: str
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """All that the repository says at one version. `expires_at` (Unix time) is the earliest end of any of its roles."""

    releases: Mapping[str, Release]
    devices: Mapping[str, Device]
    expires_at: float
    version: int

    def __repr__(self) -> str:
        return f"Reference(version {self.version}, {len(self.releases)} releases, {len(self.devices)} devices)"


__all__ = ["Device", "Reference", "Release"]
