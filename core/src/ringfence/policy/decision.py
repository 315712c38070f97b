"""The result of a policy for one request: data with a reason for every recipient, never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from ringfence.recipient import Ring

Outcome: TypeAlias = Literal["allow", "ask", "deny"]
OnBrokenStream: TypeAlias = Literal["fail", "restart", "continue"]
Stage: TypeAlias = Literal["prefer", "overflow", "hedge", "fallback"]

Shown: TypeAlias = Literal["recipient", "labels", "preview"]
Redaction: TypeAlias = Literal["remove", "mask", "pseudonym"]
REDACTIONS: tuple[Redaction, ...] = ("pseudonym", "mask", "remove")
"""From the weakest to the strictest."""


def strictest(*kinds: Redaction) -> Redaction:
    """The strictest of one or more kinds."""
    return max(kinds, key=REDACTIONS.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRule:
    """How consent is asked for one recipient: whether a yes counts for it or its ring, for how long, what is shown.

    `lasts` is `request` (the user's request with every retry and tool call), `session` (one session object, or one
    assistant where there is no session), or whole seconds, kept across processes. In all three a yes holds for the
    labels that it was given for and no others.
    """

    per: Literal["recipient", "ring"] = "recipient"
    lasts: Literal["request", "session"] | int = "request"
    show: tuple[Shown, ...] = ("recipient", "labels", "preview")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why one recipient is allowed or not: the ids of the rules that made it so, and a sentence.

    `rules` are every allow that matches or, where it is refused, every deny that fires. `missing` are the labels that
    some layer has no allow for. A recipient is refused exactly where either is there, and each of them alone would
    refuse it.
    """

    ring: Ring
    verdict: Literal["allow", "deny"]
    rules: tuple[str, ...]
    reason: str
    missing: tuple[str, ...] = ()
    """Sorted; empty for an allowed recipient."""

    def as_dict(self) -> dict[str, Any]:
        """Its shape in `policy explain --json`."""
        shown: dict[str, Any] = {"ring": self.ring, "verdict": self.verdict, "rules": list(self.rules)}
        if self.missing:
            shown["missing"] = list(self.missing)
        return {**shown, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolVerdict:
    """Whether data may reach one tool: `ask` says that a person must approve the call.

    A tool that the file does not declare is not ruled: `outcome` is `allow`, `ring` is `None`.
    """

    outcome: Outcome
    redact: tuple[tuple[str, Redaction], ...] = ()
    """Sorted by label: how its spans are redacted before the tool sees them."""
    declared: bool = True
    ring: Ring | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One recipient of the plan, what must happen before sending, and where it stands.

    An obligation is `attest`, `redact`, `consent` or `budget`, in this order. `redact` is there exactly where `redact`
    below is not empty: by label, how its spans are redacted. An `overflow` step has `overflow`. A step with
    `hedge_after_s` may be sent to beside another one that was silent for so long; of stage `hedge`, for nothing else.
    """

    recipient: str
    ring: Ring
    obligations: tuple[str, ...] = ()
    stage: Stage = "prefer"
    redact: tuple[tuple[str, Redaction], ...] = ()
    """Sorted by label."""
    overflow: OverflowOf | None = None
    hedge_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverflowOf:
    """Whose overflow a step is, and the utilisation (0 … 1) of that recipient beyond which the step is used."""

    recipient: str
    over: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What may happen to one request. `plan` is in order; nothing outside it is ever tried."""

    policy: str
    digest: str
    task: str
    labels: tuple[str, ...]
    outcome: Outcome
    plan: tuple[Step, ...]
    recipients: Mapping[str, Verdict]
    route: str | None = None
    on_broken_stream: OnBrokenStream = "fail"

    def allowing(self, recipient: str) -> tuple[str, ...]:
        """The ids of the rules that allow `recipient`, which is in the plan."""
        in_short = getattr(self.recipients, "allowing", None)
        return self.recipients[recipient].rules if in_short is None else cast("tuple[str, ...]", in_short(recipient))

    def as_dict(self) -> dict[str, Any]:
        """The shape of `policy explain --json`."""
        return {
            "policy": {"name": self.policy, "digest": self.digest},
            "task": self.task,
            "labels": list(self.labels),
            "outcome": self.outcome,
            "route": self.route,
            "plan": [_step_dict(step) for step in self.plan],
            "recipients": {name: verdict.as_dict() for name, verdict in self.recipients.items()},
        }


def _step_dict(step: Step) -> dict[str, Any]:
    shown: dict[str, Any] = {"recipient": step.recipient, "ring": step.ring, "obligations": list(step.obligations)}
    if step.redact:
        shown["redact"] = dict(step.redact)
    if step.overflow is not None:
        shown["overflow"] = {"of": step.overflow.recipient, "when_utilisation_over": step.overflow.over}
    if step.hedge_after_s is not None:
        shown["hedge"] = {"after_s": step.hedge_after_s, "only": step.stage == "hedge"}
    return shown
