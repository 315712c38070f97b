"""The sentences of a decision: why a recipient is allowed or refused, in a person's words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ringfence.policy.document import FlowRule
from ringfence.policy.faults import listed
from ringfence.recipient import Recipient

MOST_SENTENCES = 4
"""Sentences for rules of one kind; a verdict's `rules` always hold every id."""


def allowed(ids: Sequence[str]) -> str:
    """Of an allowed recipient."""
    if len(ids) > MOST_SENTENCES:
        return f"allowed by {len(ids)} rules"
    return f"allowed by rule '{ids[0]}'" if len(ids) == 1 else f"allowed by rules {listed(ids)}"


def denied(rule: FlowRule, labels: Sequence[str], unknown: Sequence[str] | None = None) -> str:
    """Of one deny that fires; `unknown` names what keeps its condition from being evaluated, if anything does."""
    hit = [label for label in labels if rule.labels is None or label in rule.labels]
    counts = f" ({_not_known(unknown)}, so it counts)" if unknown is not None else ""
    because = f": {rule.reason.rstrip('. ')}" if rule.reason else ""
    return f"rule '{rule.id}' denies {listed(hit)}{counts}{because}"


def uncovered(labels: Sequence[str], declared: Collection[str]) -> str:
    """Of the labels that no allow covers."""
    stray = [label for label in labels if label not in declared]
    sentence = f"no rule allows {'label' if len(labels) == 1 else 'labels'} {listed(labels)}"
    return f"{sentence} (not declared: {listed(stray)})" if stray else sentence


def unmet(rule: FlowRule, recipient: Recipient) -> str:
    """Of an allow whose requirement the recipient does not show."""
    missing = rule.require.unmet(recipient)
    wanted = " and ".join(f"{one.fact} {one.wanted}" for one in missing)
    if all(one.declared is None for one in missing):
        return f"rule '{rule.id}' requires {wanted}, which is not known of '{recipient.name}'"
    shown = " and ".join(f"no {one.fact}" if one.declared is None else f"{one.fact} {one.declared}" for one in missing)
    return f"rule '{rule.id}' requires {wanted}: '{recipient.name}' declares {shown}"


def unclear(rule: FlowRule, unknown: Sequence[str]) -> str:
    """Of an allow whose condition is not evaluable."""
    return f"rule '{rule.id}' does not count: {_not_known(unknown)}"


def _not_known(unknown: Sequence[str]) -> str:
    if not unknown:
        return "its condition cannot be evaluated"
    return f"{' and '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not known"
