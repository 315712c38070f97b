"""What is not wrong with a policy but will not work as it may be meant: found by `policy check`, never at run time."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.addresses import is_open
from ringfence.policy.document import Document, FlowRule
from ringfence.policy.faults import Fault, Faults, did_you_mean, listed, quoted
from ringfence.policy.place import NOWHERE, Position
from ringfence.policy.reach import reached

_PROVIDERS = "ringfence.providers"
_DETECTORS = "ringfence.detectors"


def find_warnings(document: Document) -> tuple[Fault, ...]:
    """The warnings for `document` on this machine, in file order."""
    found = Faults()
    finders = (_plugins, _labels, _rules, _consent, _recipients)
    for at, message in (one for find in finders for one in find(document)):
        found.add(at, message)
    return found.in_file_order()


def _installed(group: str) -> frozenset[str]:
    """The names of installed plugins; none of them is imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415  (64 ms, and only a check needs it)

    return frozenset(entry.name for entry in entry_points(group=group))


def _plugins(document: Document) -> Iterator[tuple[Position, str]]:
    providers = _installed(_PROVIDERS)
    for name, recipient in document.recipients.items():
        if recipient.provider not in providers:
            hint = did_you_mean(recipient.provider, providers)
            yield (
                document.places.get(f"recipients.{name}", NOWHERE),
                f"provider {quoted(recipient.provider)} is not installed, so {quoted(name)} is unavailable.{hint}",
            )
    detectors = _installed(_DETECTORS)
    for name, label in document.labels.items():
        missing = [kind for kind in label.detect if kind not in detectors]
        if missing:
            hint = did_you_mean(missing[0], detectors)
            yield (
                document.places.get(f"labels.{name}", NOWHERE),
                f"no detector for {listed(missing)} is installed: every text carries {quoted(document.unknown)}.{hint}",
            )


def _labels(document: Document) -> Iterator[tuple[Position, str]]:
    """The labels that only the app can know, where their data may go further if nobody says so."""
    if document.clean is None:
        return
    clean, reach = quoted(document.clean), reached(document)
    for name, label in document.labels.items():
        further = [one for one in reach[document.clean] if one not in reach[name]]
        if label.declare and not label.detect and further:
            at = document.places.get(f"labels.{name}", NOWHERE)
            silence = f"a text that nobody labels counts as {clean} and may reach {listed(further)}"
            yield at, f"nothing detects {quoted(name)}: {silence}."


def _rules(document: Document) -> Iterator[tuple[Position, str]]:
    always_denying = [rule for rule in document.flow if rule.effect == "deny" and rule.when is None]
    for rule in document.flow:
        if rule.effect == "allow":
            yield from _obligations(rule, document)
            denying = next((deny for deny in always_denying if _covers(deny, rule, document)), None)
            if denying is not None:
                yield rule.at, f"rule {quoted(rule.id)} allows nothing: rule {quoted(denying.id)} denies all of it."


def _obligations(rule: FlowRule, document: Document) -> Iterator[tuple[Position, str]]:
    """What an allow asks for in vain."""
    named = [document.recipients[name] for name in sorted(document.reached(rule.to))]
    unmet = [rule.require.unmet(recipient) for recipient in named]
    if unmet and all(unmet):
        wanted = " and ".join(dict.fromkeys(f"{one.fact} {one.wanted}" for missing in unmet for one in missing))
        yield rule.at, f"rule {quoted(rule.id)} requires {wanted}, which no recipient that it names declares."
    if rule.consent and named and all(recipient.ring == "device" for recipient in named):
        yield rule.at, f"rule {quoted(rule.id)} asks for consent, and reaches nothing beyond the device."


def _consent(document: Document) -> Iterator[tuple[Position, str]]:
    """How consent is asked for where no rule asks for any."""
    asking = frozenset(name for rule in document.flow if rule.consent for name in document.reached(rule.to))
    for name in document.consent:
        if not document.reached(frozenset({name})) & asking:
            at = document.places.get(f"consent.{name}", NOWHERE)
            yield at, f"no rule under flow: asks for consent where {quoted(name)} is reached."


def _covers(deny: FlowRule, allow: FlowRule, document: Document) -> bool:
    to = document.reached(allow.to)
    return (
        bool(to) and to <= document.reached(deny.to) and document.covered(allow.labels) <= document.covered(deny.labels)
    )


def _recipients(document: Document) -> Iterator[tuple[Position, str]]:
    routed = frozenset(name for rule in document.route for name in (*rule.prefer, *rule.fallback))
    for name, recipient in document.recipients.items():
        at = document.places.get(f"recipients.{name}", NOWHERE)
        if recipient.url is not None and is_open(recipient.url):
            yield at, f"what is sent to {quoted(name)} can be read on the way there. Write https:// in its url."
        if name not in routed:
            yield at, f"recipient {quoted(name)} is in no route, so nothing is ever sent to it."
        elif not document.allowing(recipient):
            yield at, f"recipient {quoted(name)} is in a route, but no rule under flow: allows anything to reach it."
