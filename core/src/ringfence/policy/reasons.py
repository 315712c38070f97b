"""The sentences of a decision: why a recipient is allowed or refused, in a person's words.

The id of a rule of a layer begins with the layer's name, so no sentence names both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ringfence.policy.decision import Redaction
from ringfence.policy.document import FlowRule
from ringfence.policy.faults import listed, quoted
from ringfence.recipient import Recipient

MOST_SENTENCES = 4
"""Sentences for rules of one kind; a verdict's `rules` and `missing` are always complete."""

_OBLIGED = {"attest": "it is attested", "consent": "a person consents", "budget": "its budget is not spent"}


def allowed(ids: Sequence[str]) -> str:
    """Of an allowed recipient."""
    if len(ids) > MOST_SENTENCES:
        return f"allowed by {len(ids)} rules"
    return f"allowed by rule '{ids[0]}'" if len(ids) == 1 else f"allowed by rules {listed(ids)}"


def obliged(obligations: Sequence[str], redact: Sequence[tuple[str, Redaction]]) -> str:
    """What must be so before anything is sent to an allowed recipient: ` if …`, or nothing."""
    parts = [part for name in obligations for part in (_redacted(redact) if name == "redact" else [_OBLIGED[name]])]
    if not parts:
        return ""
    return f" if {parts[0]}" if len(parts) == 1 else f" if {', '.join(parts[:-1])} and {parts[-1]}"


def _redacted(redact: Sequence[tuple[str, Redaction]]) -> list[str]:
    """By kind, in the order in which the kinds come."""
    by_kind: dict[Redaction, list[str]] = {}
    for label, kind in redact:
        by_kind.setdefault(kind, []).append(label)
    return [
        f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} redacted ({kind})" for kind, labels in by_kind.items()
    ]


def denied(rule: FlowRule, labels: Sequence[str], unknown: Sequence[str] | None = None) -> str:
    """Of one deny that fires; `unknown` names what keeps its condition from being evaluated, if anything does."""
    hit = [label for label in labels if rule.labels is None or label in rule.labels]
    counts = f" ({_not_known(unknown)}, so it counts)" if unknown is not None else ""
    because = f": {rule.reason.rstrip('. ')}" if rule.reason else ""
    return f"rule '{rule.id}' denies {listed(hit)}{counts}{because}"


def uncovered(labels: Sequence[str], declared: Collection[str], layer: str = "") -> str:
    """Of the labels that no allow of `layer` covers; "" is the file itself."""
    stray = [label for label in labels if label not in declared]
    rule = f"no rule of layer {quoted(layer)}" if layer else "no rule"
    sentence = f"{rule} allows {'label' if len(labels) == 1 else 'labels'} {listed(labels)}"
    return f"{sentence} (not declared: {listed(stray)})" if stray else sentence


def unmet(rule: FlowRule, recipient: Recipient) -> str:
    """Of an allow whose requirement the recipient does not show."""
    missing = rule.require.unmet(recipient)
    wanted = " and ".join(f"{one.fact} {one.wanted}" for one in missing)
    if all(one.declared is None for one in missing):
        return f"rule '{rule.id}' requires {wanted}, which is not known of '{recipient.name}'"
    shown = " and ".join(f"no {one.fact}" if one.declared is None else f"{one.fact} {one.declared}" for one in missing)
    return f"rule '{rule.id}' requires {wanted}: '{recipient.name}' declares {shown}"


def unmet_by_tool(rule: FlowRule) -> str:
    """Of an allow that requires anything, where a tool is reached."""
    asked = rule.require
    wanted = [
        *(("attestation",) if asked.attested else ()),
        *((f"retention {asked.retention}",) if asked.retention is not None else ()),
        *((f"region {' or '.join(sorted(asked.regions))}",) if asked.regions else ()),
    ]
    return f"rule '{rule.id}' requires {' and '.join(wanted)}, which no tool can show"


def unclear(rule: FlowRule, unknown: Sequence[str]) -> str:
    """Of an allow whose condition is not evaluable."""
    return f"rule '{rule.id}' does not count: {_not_known(unknown)}"


def false(rule: FlowRule) -> str:
    """Of an allow whose condition is false."""
    return f"rule '{rule.id}' does not count: its condition is false"


def _not_known(unknown: Sequence[str]) -> str:
    if not unknown:
        return "its condition cannot be evaluated"
    return f"{' and '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not known"
