"""Where each label may go, as far as the rules alone tell: what `policy check` lists and `policy graph` draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ringfence.policy.decision import REDACTIONS, Redaction
from ringfence.policy.document import Document, FlowRule
from ringfence.recipient import Recipient

How: TypeAlias = Literal["always", "sometimes", "ask"]
Sure: TypeAlias = Literal["always", "sometimes", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a request with one label alone may reach one recipient.

    `conditional` says that some requests with the label do not reach it. `consent` is whether a person is asked before,
    `redacted` whether the label's spans are redacted, with the `kinds` that it may be, from the weakest. With `denied`
    nothing is reached: a rule without a condition denies it, whatever other rules allow.
    """

    conditional: bool = False
    consent: Sure = "never"
    redacted: Sure = "never"
    kinds: tuple[Redaction, ...] = ()
    denied: bool = False

    @property
    def how(self) -> How:
        """In one word: a person's consent goes before every other condition."""
        return "ask" if self.consent == "always" else "sometimes" if self.conditional else "always"


Ways: TypeAlias = Mapping[str, Mapping[str, Way]]
"""By label, then by recipient; what is not there is allowed by nothing, and denied by nothing."""

Reach: TypeAlias = Mapping[str, Mapping[str, How]]
"""By label, the recipients that it may reach."""

_DENIED = Way(denied=True)


def ways(document: Document) -> Ways:
    """How each label may reach each recipient, and where it is denied."""
    return {
        label: {
            name: way
            for name, recipient in document.recipients.items()
            if (way := _way(label, recipient, document)) is not None
        }
        for label in document.labels
    }


def reached(document: Document) -> Reach:
    """For each label, the recipients that a request with that label alone may reach, and whether a condition decides.

    `always`: an allow without a condition, and no deny names both. `sometimes`: a condition, true or not, decides.
    `ask`: it is not reached without a person's consent, whatever conditions there are besides.
    """
    return {
        label: {name: way.how for name, way in reach.items() if not way.denied}
        for label, reach in ways(document).items()
    }


def _way(label: str, recipient: Recipient, document: Document) -> Way | None:
    denies = [rule for rule in document.flow if rule.effect == "deny" and _names(rule, label, recipient)]
    if any(rule.when is None for rule in denies):
        return _DENIED
    allows = [rule for rule in document.allowing(recipient) if _names(rule, label, recipient)]
    # The file itself, and each layer with an allow, must cover the label by an allow of its own.
    layers = {layer: [rule for rule in allows if rule.layer == layer] for layer in _layers(document)}
    if not all(layers.values()):
        return None
    redacting = [rule for rule in allows if rule.redact is not None]
    return Way(
        conditional=bool(denies) or not all(any(rule.when is None for rule in own) for own in layers.values()),
        consent=_sure([rule for rule in allows if rule.consent], layers),
        redacted=_sure(redacting, layers),
        kinds=_kinds(redacting),
    )


def _layers(document: Document) -> frozenset[str]:
    return frozenset({"", *(rule.layer for rule in document.flow if rule.effect == "allow")})


def _names(rule: FlowRule, label: str, recipient: Recipient) -> bool:
    return (rule.labels is None or label in rule.labels) and rule.names(recipient)


def _sure(obliging: list[FlowRule], layers: Mapping[str, list[FlowRule]]) -> Sure:
    """Whether an obligation is there in every request that passes: all allows that match contribute theirs."""
    if not obliging:
        return "never"
    # One allow that matches and obliges is enough, and so is a layer of which every allow does.
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
