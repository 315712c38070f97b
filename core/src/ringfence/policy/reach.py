"""Where each label may go, as far as the rules alone tell: what `policy check` shows a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from ringfence.policy.document import Document, FlowRule

How: TypeAlias = Literal["always", "sometimes", "ask"]


def reached(document: Document) -> Mapping[str, Mapping[str, How]]:
    """For each label, the recipients that a request with that label alone may reach, and whether a condition decides.

    `always`: an allow without a condition, and no deny names both. `sometimes`: a condition, true or not, decides.
    `ask`: it is not reached without a person's consent, whatever conditions there are besides.
    """
    return {
        label: {name: how for name in document.recipients if (how := _how(label, name, document)) is not None}
        for label in document.labels
    }


def _how(label: str, recipient: str, document: Document) -> How | None:
    declared = document.recipients[recipient]
    allows = [rule for rule in document.allowing(declared) if _names(rule, label)]
    denies = [rule for rule in document.flow if rule.effect == "deny" and rule.names(declared) and _names(rule, label)]
    if not allows or any(rule.when is None for rule in denies):
        return None
    # One allow that matches and asks is enough: all that match contribute their obligations.
    if all(rule.consent for rule in allows) or any(rule.consent and rule.when is None for rule in allows):
        return "ask"
    return "always" if not denies and any(rule.when is None for rule in allows) else "sometimes"


def _names(rule: FlowRule, label: str) -> bool:
    return rule.labels is None or label in rule.labels
