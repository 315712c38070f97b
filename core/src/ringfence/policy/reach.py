"""Where each label may go, as far as the rules alone tell: what `policy check` lists and `policy graph` draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

from ringfence.policy.decision import REDACTIONS, Redaction
from ringfence.policy.document import Document, FlowRule

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
    layers = _layers(document)
    groups = _alike(document)
    found: dict[str, dict[str, Way]] = {}
    for label in document.labels:
        reach = dict(pair for rules, names in groups for pair in product(names, [_way(label, rules, layers)]))
        found[label] = {name: way for name in document.recipients if (way := reach[name]) is not None}
    return found


def reached(document: Document) -> Reach:
    """For each label, the recipients that a request with that label alone may reach, and whether a condition decides.

    `always`: an allow without a condition, and no deny names both. `sometimes`: a condition, true or not, decides.
    `ask`: it is not reached without a person's consent, whatever conditions there are besides.
    """
    return {
        label: {name: way.how for name, way in reach.items() if not way.denied}
        for label, reach in ways(document).items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Naming:
    """The rules that name one recipient or its ring, and whose requirements on it are met."""

    allows: tuple[FlowRule, ...]
    denies: tuple[FlowRule, ...]


def _alike(document: Document) -> list[tuple[_Naming, list[str]]]:
    """The recipients that the same rules name, together: most of a ring are alike."""
    found: dict[tuple[int, ...], tuple[_Naming, list[str]]] = {}
    for name, recipient in document.recipients.items():
        denies = tuple(rule for rule in document.flow if rule.effect == "deny" and rule.names(recipient))
        naming = _Naming(allows=document.allowing(recipient), denies=denies)
        key = tuple(map(id, (*naming.allows, *naming.denies)))
        found.setdefault(key, (naming, []))[1].append(name)
    return list(found.values())


def _way(label: str, naming: _Naming, of_layers: frozenset[str]) -> Way | None:
    denies = [rule for rule in naming.denies if _covers(rule, label)]
    if any(rule.when is None for rule in denies):
        return _DENIED
    allows = [rule for rule in naming.allows if _covers(rule, label)]
    # The file itself, and each layer with an allow, must cover the label by an allow of its own.
    layers = {layer: [rule for rule in allows if rule.layer == layer] for layer in of_layers}
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


def _covers(rule: FlowRule, label: str) -> bool:
    return rule.labels is None or label in rule.labels


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
