"""Where each label may go, as far as the rules alone tell: what `policy check` shows a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from ringfence.policy.document import Document, FlowRule

How: TypeAlias = Literal["always", "sometimes"]


def reached(document: Document) -> Mapping[str, Mapping[str, How]]:
    """For each label, the recipients that a request with that label alone may reach, and whether a condition decides.

    `always`: an allow without a condition, and no deny names both. `sometimes`: a condition, true or not, decides.
    """
    return {
        label: {name: how for name in document.recipients if (how := _how(label, name, document)) is not None}
        for label in document.labels
    }


def _how(label: str, recipient: str, document: Document) -> How | None:
    ring = document.recipients[recipient].ring
    naming = [rule for rule in document.flow if _names(rule, label) and (recipient in rule.to or ring in rule.to)]
    allows = [rule for rule in naming if rule.effect == "allow" and rule.require.unmet() is None]
    denies = [rule for rule in naming if rule.effect == "deny"]
    if not allows or any(rule.when is None for rule in denies):
        return None
    return "always" if not denies and any(rule.when is None for rule in allows) else "sometimes"


def _names(rule: FlowRule, label: str) -> bool:
    return rule.labels is None or label in rule.labels
