"""How each label may reach each recipient, as far as the rules alone tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ringfence.policy.decision import REDACTIONS, Redaction

if TYPE_CHECKING:
    from ringfence.policy.document import Document, FlowRule
    from ringfence.policy.policy import Policy
    from ringfence.recipient import Recipient

Sure: TypeAlias = Literal["always", "sometimes", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a request with one label alone may reach one recipient.

    `conditional` says that some requests with the label do not reach it. `consent` is whether a person is asked before,
    `redacted` whether the label's spans are redacted, with the `kinds` that it may be, from the weakest. With `denied`
    nothing is reached: a rule denies it by name, whatever other rules allow.
    """

    conditional: bool = False
    consent: Sure = "never"
    redacted: Sure = "never"
    kinds: tuple[Redaction, ...] = ()
    denied: bool = False


DENIED = Way(denied=True)
Ways: TypeAlias = Mapping[str, Mapping[str, Way]]


def ways(document: Document) -> Ways:
    """By label, then by recipient; what is not there is not reached, and no rule denies it without a condition."""
    return {
        label: {
            name: way
            for name, recipient in document.recipients.items()
            if (way := _way(label, recipient, document)) is not None
        }
        for label in document.labels
    }


def _way(label: str, recipient: Recipient, document: Document) -> Way | None:
    denies = [rule for rule in document.flow if rule.effect == "deny" and _names(rule, label, recipient)]
    if any(rule.when is None for rule in denies):
        return DENIED
    allows = [rule for rule in document.allowing(recipient) if _names(rule, label, recipient)]
    # Each layer with an allow, the file itself among them, must cover the label by an allow of its own.
    layers = {rule.layer: [own for own in allows if own.layer == rule.layer] for rule in _allows(document)}
    if not layers or not all(layers.values()):
        return None
    redacting = [rule for rule in allows if rule.redact is not None]
    return Way(
        conditional=bool(denies) or not all(any(rule.when is None for rule in own) for own in layers.values()),
        consent=_sure([rule for rule in allows if rule.consent], layers),
        redacted=_sure(redacting, layers),
        kinds=_kinds(redacting),
    )


def _allows(document: Document) -> Iterable[FlowRule]:
    return (rule for rule in document.flow if rule.effect == "allow")


def _names(rule: FlowRule, label: str, recipient: Recipient) -> bool:
    return rule.names(recipient) and (rule.labels is None or label in rule.labels)


def _sure(obliging: list[FlowRule], layers: Mapping[str, list[FlowRule]]) -> Sure:
    """Whether an obligation is there in every request that passes: all allows that match contribute theirs."""
    if not obliging:
        return "never"
    certain = any(rule.when is None for rule in obliging) or any(
        all(rule in obliging for rule in own) for own in layers.values()
    )
    return "always" if certain else "sometimes"


def _kinds(redacting: list[FlowRule]) -> tuple[Redaction, ...]:
    """The kinds that can be the strictest of those that match."""
    certain = [REDACTIONS.index(rule.redact) for rule in redacting if rule.redact is not None and rule.when is None]
    least = max(certain, default=0)
    asked = {rule.redact for rule in redacting}
    return tuple(kind for index, kind in enumerate(REDACTIONS) if kind in asked and index >= least)


def as_document(policy: Policy, *, denied: bool = False) -> Mapping[str, object]:
    """The shape of `policy graph --json`; with `denied` also what a rule denies by name."""
    return {
        "policy": {"name": policy.name, "digest": policy.digest},
        "labels": {
            label: {name: _document(way) for name, way in reach.items() if denied or not way.denied}
            for label, reach in ways(policy.document).items()
        },
    }


def _document(way: Way) -> Mapping[str, object]:
    if way.denied:
        return {"reaches": "never"}
    return {
        "reaches": "sometimes" if way.conditional else "always",
        "consent": way.consent,
        "redacted": way.redacted,
        "redact": list(way.kinds),
    }


__all__ = ["DENIED", "Sure", "Way", "Ways", "as_document", "ways"]
