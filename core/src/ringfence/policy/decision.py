"""The result of a policy for one request: data with a reason for every recipient, never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from ringfence.recipient import Ring

Outcome: TypeAlias = Literal["allow", "ask", "deny"]
OnBrokenStream: TypeAlias = Literal["fail", "restart", "continue"]


Shown: TypeAlias = Literal["recipient", "labels", "preview"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRule:
    """How consent is asked for one recipient: whether a yes counts for it or its ring, for how long, what is shown.

    `lasts` is `request`: the user's request with every retry and tool call, while its labels do not grow.
    """

    per: Literal["recipient", "ring"] = "recipient"
    lasts: Literal["request"] = "request"
    show: tuple[Shown, ...] = ("recipient", "labels", "preview")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why one recipient is allowed or not: the ids of the rules that made it so, and a sentence."""

    ring: Ring
    verdict: Literal["allow", "deny"]
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One recipient of the plan, what must happen before sending, and where it stands: `prefer` or `fallback`.

    An obligation is `attest` or `consent`.
    """

    recipient: str
    ring: Ring
    obligations: tuple[str, ...] = ()
    stage: Literal["prefer", "fallback"] = "prefer"


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
            "plan": [
                {"recipient": step.recipient, "ring": step.ring, "obligations": list(step.obligations)}
                for step in self.plan
            ],
            "recipients": {
                name: {"ring": v.ring, "verdict": v.verdict, "rules": list(v.rules), "reason": v.reason}
                for name, v in self.recipients.items()
            },
        }
