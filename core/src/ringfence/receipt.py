"""The content-free record of one request: where it went and why. Names, digests and counts only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["answered", "denied", "failed", "cancelled"]

DEVELOPMENT: Final = "DEVELOPMENT"
"""What the label of an attestation begins with that proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What a provider verified of the machine that it sends to, before it sends.

    `digest` is the SHA-256 (lower-case hex) of the evidence, `tier` what vouches for it, such as `apple-mda`, `release`
    what runs there, and `node` the public name of the key that the request was encrypted to. `development` says that
    only a development authority vouches for it.
    """

    digest: str
    tier: str
    release: str
    node: str
    development: bool = False

    @property
    def label(self) -> str:
        """What a person is told: the tier, and `DEVELOPMENT` where it proves nothing."""
        return f"{DEVELOPMENT} ({self.tier})" if self.development else self.tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One send to one recipient. `error` is the class name of what ended it, `phase` when; `None` if it answered.

    It is `cancelled` where the app ended it, `beaten` where a recipient that was sent to as well answered first.
    `reason` is the typed reason of one that was not available.
    """

    recipient: str
    ring: str
    duration_s: float
    error: str | None = None
    phase: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the core knows of one request, whatever became of it.

    `rules` are the ids of the flow rules that allowed the recipient, `route` the route rule that chose it.
    `input_bytes` and `output_bytes` count UTF-8 bytes of text and raw bytes of attachments. Times are seconds;
    `started_at` is Unix time. `cost_usd` is `None` where no price is known, 0 on the device. `consented`
    is whether a person said yes to this recipient, now or before. `attestation_digest` is `sha256:…` of the evidence of
    the machine that was sent to, `attestation` what vouches for it (`DEVELOPMENT …` where that proves nothing).
    `redactions` counts the values that were redacted, by label. `shadow` is what the shadow policy would have done
    where that differs, by name and never with content.
    """

    id: str
    started_at: float
    outcome: Outcome
    policy: str
    policy_digest: str
    task: str
    labels: tuple[str, ...]
    ring: str | None = None
    recipient: str | None = None
    provider: str | None = None
    model: str | None = None
    rules: tuple[str, ...] = ()
    route: str | None = None
    attestation_digest: str | None = None
    attestation: str | None = None
    redactions: dict[str, int] = field(default_factory=dict[str, int])
    adjustments: tuple[str, ...] = ()
    input_bytes: int = 0
    output_bytes: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    consented: bool = False
    duration_s: float = 0.0
    first_event_s: float | None = None
    finish_reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    shadow: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        from dataclasses import asdict  # noqa: PLC0415  (only a person or the audit log asks for it)

        return asdict(self)
