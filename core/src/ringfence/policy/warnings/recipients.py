"""Recipients that cannot be reached, or not as their rules have it."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.addresses import is_open
from ringfence.policy.document import Document, FlowRule
from ringfence.policy.faults import listed, quoted
from ringfence.policy.place import NOWHERE, Position
from ringfence.policy.reach import Reach
from ringfence.recipient import Recipient

_NEVER_ATTEST = frozenset({"mlx", "openai", "gemini"})
"""Those made with this package that verify no machine; of others nothing is known before they are loaded."""

_TIERS = ("apple-mda", "software-dev")
"""What the provider that is made with this package can verify."""


def recipients_in_vain(document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    """What keeps each recipient from being used, or makes its way there unsafe."""
    routed = {name for rule in document.route for name in (*rule.prefer, *rule.fallback)}
    routed |= {name for rule in document.route if rule.overflow for name in rule.overflow.to}
    routed |= {name for rule in document.route if rule.hedge for name in rule.hedge.to}
    open_to = {name for names in reach.values() for name in names}
    for name, recipient in document.recipients.items():
        at = document.places.get(f"recipients.{name}", NOWHERE)
        if recipient.url is not None and is_open(recipient.url):
            yield at, f"what is sent to {quoted(name)} can be read on the way there. Write https:// in its url."
        for message in (*_attested(recipient), *_unproved(recipient, document)):
            yield at, message
        if name not in routed:
            yield at, f"recipient {quoted(name)} is in no route, so nothing is ever sent to it."
        elif not document.allowing(recipient):
            yield at, f"recipient {quoted(name)} is in a route, but no rule under flow: allows anything to reach it."
        elif name not in open_to:
            yield at, f"recipient {quoted(name)} is in a route, but flow denies everything that would reach it."
        for message in _undeclared(recipient, document):
            yield at, message


def _attested(recipient: Recipient) -> Iterator[str]:
    """What keeps machines from being verified, or the verification from meaning much."""
    given = {"directory": recipient.directory, "trust": recipient.trust}
    missing = [f"{name}:" for name, value in given.items() if value is None]
    if recipient.provider == "house" and missing:
        yield f"provider 'house' needs {' and '.join(missing)}, so {quoted(recipient.name)} is unavailable."
    if recipient.provider == "house" and recipient.url is not None:
        yield f"provider 'house' takes no url:, so {quoted(recipient.name)} is unavailable. Write directory: instead."
    if recipient.provider == "house" and recipient.min_tier not in (None, *_TIERS):
        tier = quoted(recipient.min_tier or "")
        yield f"min_tier {tier} is none of {listed(_TIERS)}, so {quoted(recipient.name)} is unavailable."
    if recipient.development:
        yield (
            f"{quoted(recipient.name)} is DEVELOPMENT: whoever holds a development key vouches for its machines."
            " Write min_tier: apple-mda for machines that prove what they are."
        )


def _unproved(recipient: Recipient, document: Document) -> Iterator[str]:
    """Whether all that may reach `recipient` wants it attested, which its provider cannot do."""
    allows = document.allowing(recipient)
    if recipient.provider in _NEVER_ATTEST and allows and all(rule.require.attested for rule in allows):
        yield (
            f"every rule that allows {quoted(recipient.name)} wants it attested, which provider"
            f" {quoted(recipient.provider)} cannot do: nothing is ever sent to it."
        )


def _undeclared(recipient: Recipient, document: Document) -> Iterator[str]:
    """The facts that some allow requires of `recipient` and nobody declares, where they are declared of another."""
    if recipient.ring == "device":
        return
    waiting: dict[str, list[str]] = {}
    for rule in document.flow:
        if rule.effect == "allow" and rule.names(recipient) and _counts(rule, document):
            for one in rule.require.unmet(recipient):
                if one.declared is None:
                    waiting.setdefault(one.fact, []).append(rule.id)
    for fact, rules in waiting.items():
        never = f"rule {listed(rules)} never counts" if len(rules) == 1 else f"rules {listed(rules)} never count"
        yield f"no {fact} is declared for {quoted(recipient.name)}, so {never} for it."


def _counts(rule: FlowRule, document: Document) -> bool:
    """Whether any recipient shows what `rule` requires; one that none does is said of the rule."""
    return any(not rule.require.unmet(document.recipients[name]) for name in document.reached(rule.to))


__all__ = ["recipients_in_vain"]
