"""What `ringfence doctor` says of the policy in force: who named it, what is put over it, and what is proved of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringfence.cli.options import policy_in_force, policy_source
from ringfence.cli.policy.shown import count
from ringfence.errors import PolicyError, PolicyInvalid
from ringfence.provider import Finding

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.recipient import Recipient


def policy_state(given: str | None) -> tuple[Policy | None, Finding]:
    """The policy in force, if it can be used."""
    source = policy_source(given)
    try:
        policy = policy_in_force(given)
    except PolicyError as error:
        detail = "\n".join((error.message, *(error.faults if isinstance(error, PolicyInvalid) else ())))
        return None, Finding(
            level="fault",
            subject="policy",
            detail=f"{source}: {detail}",
            way_out=error.way_out or "ringfence policy check",
        )
    recipients = ", ".join(f"{name} ({_ring(recipient)})" for name, recipient in policy.recipients.items())
    named = policy.name if policy.name == source else f"{policy.name}, named by {source}"
    return policy, Finding(level="ok", subject="policy", detail=f"{named}; recipients {recipients or 'none'}")


def _ring(recipient: Recipient) -> str:
    return f"{recipient.ring}, DEVELOPMENT" if recipient.development else recipient.ring


def in_force(policy: Policy | None) -> Iterator[Finding]:
    """The layers over the policy, and the proof of its invariants and of what every policy keeps."""
    if policy is not None:
        yield _layers(policy)
        yield _proof(policy)


def _layers(policy: Policy) -> Finding:
    parts: list[str] = []
    if policy.layers:
        parts.append(f"{', '.join(policy.layers)} named by RINGFENCE_LAYERS")
    if policy.document.include:
        parts.append(f"{', '.join(policy.document.include)} included by the policy")
    if not parts:
        return Finding(level="ok", subject="layers", detail="none narrows the policy")
    rules = sum(bool(rule.layer) for rule in policy.document.flow)
    return Finding(level="ok", subject="layers", detail=f"{'; '.join(parts)}: {count(rules, 'rule')} in all")


def _proof(policy: Policy) -> Finding:
    from ringfence.policy.prove import LAWS, prove  # noqa: PLC0415  (the prover is for this check alone)

    invariants = policy.document.invariants
    asked = [*invariants, *(law for law in LAWS if law not in invariants)]
    failed = next((proof for proof in prove(policy.document, asked) if not proof.holds), None)
    if failed is None:
        own = f"{count(len(invariants), 'invariant')} of the policy" if invariants else "no invariant of its own"
        proved = f"{own}, and what every policy keeps, proved: of the rules, not the detectors"
        return Finding(level="ok", subject="proof", detail=proved)
    why = "it is too hard to prove" if failed.counterexample is None else failed.counterexample.says
    return Finding(
        level="fault", subject="proof", detail=f"{failed.text}: {why}", way_out="ringfence policy prove FILE"
    )


__all__ = ["in_force", "policy_state"]
