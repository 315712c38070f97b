"""Rules of `flow` that change nothing, or ask for something in vain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ringfence.policy.decision import REDACTIONS
from ringfence.policy.document import Document, FlowRule
from ringfence.policy.faults import listed, quoted
from ringfence.policy.place import Position
from ringfence.recipient import RINGS

_MOST_NAMED = 3
_MOST_PAIRS = 200_000
_MOST_COMPARED = 1_000


def rules_in_vain(document: Document) -> Iterator[tuple[Position, str]]:
    """The rules of the file itself that have no effect; a layer is checked where it is written."""
    own = [rule for rule in document.flow if not rule.layer]
    allows = [rule for rule in own if rule.effect == "allow"]
    live = [rule for rule in allows if document.reached(rule.to) or _tool_rings(rule, document)]
    alive = {rule.id for rule in live}
    for rule in allows:
        if rule.id not in alive:
            yield rule.at, f"rule {quoted(rule.id)} allows nothing: no recipient and no tool is in {_to(rule)}."
        yield from _in_vain(rule, document)
    if _few_enough(own, document):
        yield from _superfluous(live, document)
    yield from _idle_denies(own, document)


def _few_enough(rules: Sequence[FlowRule], document: Document) -> bool:
    """Whether rules can be compared pair by pair in some seconds; a check that is not made is not a warning."""
    pairs = sum(len(document.covered(rule.labels)) * len(document.reached(rule.to)) for rule in rules)
    return pairs <= _MOST_PAIRS and len(rules) <= _MOST_COMPARED


def _superfluous(live: Sequence[FlowRule], document: Document) -> Iterator[tuple[Position, str]]:
    """The allows that denies leave nothing, or that say what others do."""
    overruled = dict(_overruled(live, document))
    for rule in live:
        if rule.id in overruled:
            yield rule.at, f"rule {quoted(rule.id)} allows nothing: {overruled[rule.id]}."
    for rule in _redundant([rule for rule in live if rule.id not in overruled], document):
        yield rule.at, f"rule {quoted(rule.id)} adds nothing: other rules allow all of it, on terms no less strict."


def _in_vain(rule: FlowRule, document: Document) -> Iterator[tuple[Position, str]]:
    """What an allow asks for in vain."""
    named = [document.recipients[name] for name in sorted(document.reached(rule.to))]
    unmet = [rule.require.unmet(recipient) for recipient in named]
    if unmet and all(unmet):
        wanted = " and ".join(dict.fromkeys(f"{one.fact} {one.wanted}" for missing in unmet for one in missing))
        yield rule.at, f"rule {quoted(rule.id)} requires {wanted}, which no recipient that it names declares."
    if rule.consent and named and all(recipient.ring == "device" for recipient in named):
        yield rule.at, f"rule {quoted(rule.id)} asks for consent, and reaches nothing beyond the device."


def _overruled(allows: Iterable[FlowRule], document: Document) -> Iterator[tuple[str, str]]:
    """The allows of which denies without a condition leave nothing, by id, and who denies them."""
    always = [rule for rule in document.flow if rule.effect == "deny" and rule.when is None]
    reach = {rule.id: (document.covered(rule.labels), _all_of(rule, document)) for rule in always}
    for allow in allows:
        labels, to = document.covered(allow.labels), _all_of(allow, document)
        whole = next((one for one, (denied, at) in reach.items() if labels <= denied and to <= at), None)
        if whole is not None:
            yield allow.id, f"rule {quoted(whole)} denies all of it"
            continue
        left = {(label, name) for label in labels for name in to}
        needed: list[str] = []
        for one, (denied, at) in reach.items():
            closed = {pair for pair in left if pair[0] in denied and pair[1] in at}
            if closed:
                needed.append(one)
                left -= closed
        if not left:
            yield allow.id, f"rules {_some(needed)} deny all of it"


def _all_of(rule: FlowRule, document: Document) -> frozenset[str]:
    """The recipients that `rule` names, and the rings of tools: no deny by the name of a recipient closes those."""
    return document.reached(rule.to) | _tool_rings(rule, document)


def _tool_rings(rule: FlowRule, document: Document) -> frozenset[str]:
    rings = {tool.ring for tool in document.tools.values()}
    return frozenset(f"tools on {ring}" for ring in RINGS if ring in rings and ring in rule.to)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What an allow asks of a request that it lets through."""

    layer: str
    consent: bool
    attested: bool
    redact: int

    def holds(self, other: _Terms) -> bool:
        """Whether these are at least as strict."""
        return (
            self.layer == other.layer
            and self.consent >= other.consent
            and self.attested >= other.attested
            and self.redact >= other.redact
        )


def _redundant(allows: list[FlowRule], document: Document) -> Iterator[FlowRule]:
    """The allows without which every decision has the same plan and obligations.

    All allows that match contribute their obligations, so one adds nothing only where an allow without a condition, on
    terms at least as strict, lets each of its labels reach each of its recipients. Of two that are the same, the later.
    """
    counts: dict[tuple[str, str], Counter[_Terms]] = {}
    for rule in allows:
        if rule.when is None:
            for pair in _pairs(rule, document):
                counts.setdefault(pair, Counter())[_terms(rule)] += 1
    for rule in reversed(allows):
        terms, pairs = _terms(rule), _pairs(rule, document)
        # A rule with a condition is not among those counted, and does not stand in for itself.
        counted = Counter({terms: 1} if rule.when is None else {})
        others = [counts.get(pair, Counter[_Terms]()) - counted for pair in pairs]
        if others and all(any(other.holds(terms) for other in found) for found in others):
            yield rule
            for pair in pairs if counted else ():
                counts[pair] -= counted


def _pairs(rule: FlowRule, document: Document) -> list[tuple[str, str]]:
    """Each label with each recipient, and each ring of tools, that it may reach by `rule`."""
    names = [name for name in document.reached(rule.to) if not rule.require.unmet(document.recipients[name])]
    # A rule that requires anything of its recipient says nothing for tools.
    unrequired = not (rule.require.attested or rule.require.retention or rule.require.regions)
    names += _tool_rings(rule, document) if unrequired else ()
    return [(label, name) for label in document.covered(rule.labels) for name in names]


def _terms(rule: FlowRule) -> _Terms:
    kind = -1 if rule.redact is None else REDACTIONS.index(rule.redact)
    return _Terms(layer=rule.layer, consent=rule.consent, attested=rule.require.attested, redact=kind)


def _idle_denies(rules: Iterable[FlowRule], document: Document) -> Iterator[tuple[Position, str]]:
    """The denies of what nothing allows anyway, whatever the labels."""
    for rule in rules:
        if rule.effect != "deny" or _tool_rings(rule, document):
            continue
        named = sorted(document.reached(rule.to))
        if named and not any(document.allowing(document.recipients[name]) for name in named):
            yield rule.at, f"rule {quoted(rule.id)} denies in vain: no rule allows anything to reach {_some(named)}."


def _to(rule: FlowRule) -> str:
    return listed(sorted(rule.to), last="or")


def _some(names: list[str]) -> str:
    """The names, or the first of many and how many more there are."""
    more = len(names) - _MOST_NAMED
    return f"{', '.join(map(quoted, names[:_MOST_NAMED]))} and {more} more" if more > 0 else listed(names)


__all__ = ["rules_in_vain"]
