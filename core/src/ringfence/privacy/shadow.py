"""A second policy, decided beside the one in force: what it would have done differently. It sends nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.policy.decision import Decision
    from ringfence.policy.facts import Facts
    from ringfence.privacy.labels import Labeller
    from ringfence.request import Request


class Shadow:
    """Decides requests under a policy that is not in force, with that policy's own labels and detectors.

    INVARIANT: it has no grant to give and is given no way to send; whatever goes wrong in it stays in it. It costs at
    most one more labelling and one more decision.
    """

    def __init__(self, policy: Policy, labeller: Labeller) -> None:
        self._policy = policy
        self._labeller = labeller

    def scans_long(self, request: Request) -> bool:
        """Whether `beside` may take so long now that it belongs into a thread."""
        return self._labeller.scans_long(request)

    def beside(self, request: Request, facts: Facts, enforced: Decision) -> dict[str, Any] | None:
        """Where this policy differs from what was `enforced`, in names only; `None` where it does not.

        `differs` names what does, of `outcome`, `labels`, `plan` and `obligations`. Where it cannot decide there is
        the name of the exception in place of it, and no message, which could hold content.
        """
        try:
            labels = self._labeller.label(request)
            own = self._labeller.facts(request, labels)
            # The size and the modality of a request are computed once, and are the same for every policy.
            own = replace(own, input_tokens=facts.input_tokens, modality=facts.modality)
            return self._compared(self._policy.decide(own), enforced)
        except Exception as error:  # noqa: BLE001  (a request never fails for what is not in force)
            return {"policy": self._policy.name, "failed": type(error).__name__}

    def _compared(self, decision: Decision, enforced: Decision) -> dict[str, Any] | None:
        mine, theirs = _obligations(decision), _obligations(enforced)
        both = mine.keys() & theirs.keys()
        differs = [
            name
            for name, own, other in (
                ("outcome", decision.outcome, enforced.outcome),
                ("labels", decision.labels, enforced.labels),
                ("plan", _names(decision), _names(enforced)),
                ("obligations", [mine[name] for name in both], [theirs[name] for name in both]),
            )
            if own != other
        ]
        if not differs:
            return None
        return {
            "policy": self._policy.name,
            "digest": self._policy.digest,
            "outcome": decision.outcome,
            "labels": list(decision.labels),
            "plan": _names(decision),
            "differs": differs,
        }


def _names(decision: Decision) -> list[str]:
    return [step.recipient for step in decision.plan]


def _obligations(decision: Decision) -> dict[str, object]:
    """What must happen before sending to each recipient of the plan."""
    return {step.recipient: (step.obligations, step.redact) for step in decision.plan}


__all__ = ["Shadow"]
