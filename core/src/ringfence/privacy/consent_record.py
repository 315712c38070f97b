"""A yes that a person gave: what it is for and how long it holds. Content-free: names, digests and times."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from ringfence.policy.decision import ConsentRule, Redaction, strictest
from ringfence.recipient import IDENTITY

if TYPE_CHECKING:
    from ringfence.recipient import Recipient

Lasts: TypeAlias = Literal["request", "session", "stored"]
ConsentState: TypeAlias = Literal["given", "expired", "revoked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a yes is wanted for: these labels, for this purpose, at a recipient that is what `identity` says.

    `redact` is how labels are redacted before anything is sent, by label.
    """

    recipient: str
    identity: str
    task: str
    labels: tuple[str, ...]
    redact: Mapping[str, Redaction]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """One yes. Times are Unix seconds; one without `expires_at` ends with its request or session.

    `covered` are the recipients it holds for, each with the digest of what it was (see `IDENTITY`): `recipient`,
    the one that was asked about, and with `per: ring` others of its ring. `shown` is what the person saw. `redact` says
    how each label was redacted that was. `tenant` is a digest, `None` where no tenant was set.
    """

    recipient: str
    ring: str
    labels: tuple[str, ...]
    task: str
    policy: str
    policy_digest: str
    covered: Mapping[str, str]
    given_at: float
    shown: tuple[str, ...] = ()
    redact: Mapping[str, Redaction] = field(default_factory=dict[str, Redaction])
    per: str = "recipient"
    lasts: Lasts = "request"
    tenant: str | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    expired: bool = False
    """Whether it was seen to be over once: then it is, also where the clock is set back."""
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    def covers(self, wanted: Wanted) -> bool:
        """Whether it was given for this: this very recipient and purpose, and no label more, nor redacted less."""
        return (
            self.covered.get(wanted.recipient) == wanted.identity
            and self.task == wanted.task
            and all(
                label in self.labels and _no_weaker(wanted.redact.get(label), self.redact.get(label))
                for label in wanted.labels
            )
        )

    def serves(self, rule: ConsentRule) -> bool:
        """Whether the policy that asks now takes a yes that lasts as long; one for this request is the shortest."""
        return self.lasts in ("request", lasts_of(rule))

    def state(self, now: float) -> ConsentState:
        """How it stands at `now`. One that was given in the future is over: a clock that goes back revives nothing."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is None:
            return "given"
        return "given" if not self.expired and self.given_at <= now < self.expires_at else "expired"

    def as_dict(self) -> dict[str, object]:
        """A JSON-ready copy."""
        return {
            "id": self.id,
            "recipient": self.recipient,
            "ring": self.ring,
            "labels": list(self.labels),
            "redact": dict(self.redact),
            "shown": list(self.shown),
            "task": self.task,
            "per": self.per,
            "lasts": self.lasts,
            "covered": dict(self.covered),
            "tenant": self.tenant,
            "policy": {"name": self.policy, "digest": self.policy_digest},
            "given_at": self.given_at,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
        }


class Keeper(Protocol):
    """Where yeses are kept, and asked whether they still hold."""

    def find(self, wanted: Wanted, *, policy: str, tenant: str | None, rule: ConsentRule) -> ConsentRecord | None:
        """A yes that holds now for `wanted`."""
        ...

    def add(self, record: ConsentRecord) -> None:
        """Keeps a yes."""
        ...

    def holds(self, record: ConsentRecord) -> bool:
        """Whether a yes that was found or added holds at this moment."""
        ...


def usable(
    record: ConsentRecord, wanted: Wanted, *, policy: str, tenant: str | None, rule: ConsentRule, now: float
) -> bool:
    """Whether `record` is the answer to what would be asked for `wanted` under `rule`."""
    return (
        record.covers(wanted)
        and record.policy == policy
        and record.tenant == tenant
        and record.serves(rule)
        # INVARIANT: a yes never holds wider or longer than the rule that is in force now would have it, nor for one who
        # saw less.
        and frozenset(rule.show) <= frozenset(record.shown)
        and (rule.per == "ring" or record.recipient == wanted.recipient)
        and (not isinstance(rule.lasts, int) or now < record.given_at + rule.lasts)
        and record.state(now) == "given"
    )


def identity_of(recipient: Recipient) -> str:
    """The digest of what `recipient` is; a policy that points its name elsewhere makes it another."""
    is_now = {name: getattr(recipient, name) for name in IDENTITY}
    return hashlib.sha256(json.dumps(is_now, sort_keys=True).encode()).hexdigest()


def tenant_digest(tenant: str | None) -> str | None:
    """What is kept of a tenant's name."""
    return None if tenant is None else hashlib.sha256(f"ringfence tenant {tenant}".encode()).hexdigest()


def lasts_of(rule: ConsentRule) -> Lasts:
    """How long a yes holds under `rule`."""
    return "stored" if isinstance(rule.lasts, int) else rule.lasts


def _no_weaker(now: Redaction | None, then: Redaction | None) -> bool:
    if then is None:
        return True
    return now is not None and strictest(now, then) == now
