"""The sentences of a decision: why a recipient is allowed or refused, in a person's words."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ringfence.policy.document import FlowRule
from ringfence.policy.faults import listed

MOST_SENTENCES = 4
"""Sentences for rules of one kind; a verdict's `rules` always hold every id."""


def allowed(ids: Sequence[str]) -> str:
    """Of an allowed recipient."""
    if len(ids) > MOST_SENTENCES:
        return f"allowed by {len(ids)} rules"
    return f"allowed by rule '{ids[0]}'" if len(ids) == 1 else f"allowed by rules {listed(ids)}"


def denied(rule: FlowRule, labels: Sequence[str], unknown: Sequence[str] | None) -> str:
    """Of one deny that fires; `unknown` names what keeps its condition from being evaluated, if anything does."""
    hit = [label for label in labels if rule.labels is None or label in rule.labels]
    sentence = f"rule '{rule.id}' denies {listed(hit)}"
    if unknown is not None:
        why = f"{' and '.join(unknown)} not known" if unknown else "its condition failed"
        sentence += f" (counts because it cannot be evaluated: {why})"
    return f"{sentence}: {rule.reason.rstrip('.')}" if rule.reason else sentence


def uncovered(labels: Sequence[str], declared: Collection[str]) -> str:
    """Of the labels that no allow covers."""
    stray = [label for label in labels if label not in declared]
    sentence = f"no rule that counts allows {'label' if len(labels) == 1 else 'labels'} {listed(labels)}"
    return f"{sentence} (not declared: {listed(stray)})" if stray else sentence


def not_counted(rule: FlowRule, recipient: str, unknown: Sequence[str] | None) -> str:
    """Of an allow that names the recipient and a label, and does not count."""
    unmet = rule.require.unmet()
    if unmet is not None:
        return f"rule '{rule.id}' requires {unmet}, which is not known of '{recipient}'"
    if unknown is not None:
        why = f"{' and '.join(unknown)} not known" if unknown else "its condition failed"
        return f"rule '{rule.id}' does not count: {why}"
    return f"rule '{rule.id}' does not apply to this request"
