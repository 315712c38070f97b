"""What may move outward between two files beside the rules: who a recipient is, what a yes counts for, budgets."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.decision import ConsentRule
from ringfence.policy.document import Budget, Document
from ringfence.policy.faults import quoted
from ringfence.policy.prove.words import invariant_words
from ringfence.policy.words import plain
from ringfence.recipient import IDENTITY, Recipient


def changed_identity(before: Recipient, after: Recipient) -> tuple[str, ...]:
    """What of the identity of a recipient is another; retention that is now none is the same place, kept better."""
    return tuple(
        name
        for name in IDENTITY
        if getattr(before, name) != getattr(after, name) and not (name == "retention" and after.retention == "none")
    )


def looser_consent(before: Document, after: Document, recipient: Recipient) -> Iterator[str]:
    """How a person's yes for `recipient` counts for more, or is given for less that is shown."""
    old, new = _consent(before, recipient), _consent(after, recipient)
    if not any(rule.consent and rule.names(recipient) for rule in after.flow) or old == new:
        return
    shorter = isinstance(old.lasts, int) and isinstance(new.lasts, int) and new.lasts < old.lasts
    # A session and a time cannot be compared, so either in place of the other is longer.
    if new.lasts not in ("request", old.lasts) and not shorter:
        yield f"consent lasts longer: {_lasts(old)} before, {_lasts(new)} now"
    if old.per == "recipient" and new.per == "ring":
        yield "consent counts for its whole ring, no longer for it alone"
    if hidden := set(old.show) - set(new.show):
        yield f"who is asked no longer sees {' and '.join(sorted(hidden))}"


def looser_budgets(before: Document, after: Document, recipient: Recipient) -> Iterator[str]:
    """The budgets of `recipient` that are raised, gone, or another."""
    for budget in before.budgets:
        if _of(budget, recipient) and not any(_at_most(one, budget) for one in after.budgets if _of(one, recipient)):
            limit = f"{budget.limit:g} {budget.unit} per {budget.per}"
            yield f"budget {plain(budget.id)}, {limit}, {_loosened(budget, after, recipient)}"


def _loosened(budget: Budget, after: Document, recipient: Recipient) -> str:
    now = next((one for one in after.budgets if one.id == budget.id), None)
    if now is None:
        return "is gone"
    if not _of(now, recipient):
        return f"no longer counts {plain(recipient.name)}"
    if (now.unit, now.per) != (budget.unit, budget.per):
        return f"is {now.limit:g} {now.unit} per {now.per} now"
    return f"is raised to {now.limit:g} {now.unit}" if now.limit > budget.limit else "counts fewer recipients now"


def notes(before: Document, after: Document) -> Iterator[str]:
    """What else changed: nothing of it moves outward."""
    yield from _begun_anew(before, after)
    if before.route != after.route:
        yield "route changed: it chooses among what flow allows, and moves nothing that flow refuses"
        yield from _hedged(before, after)
    if before.audit.keep_s is not None and (after.audit.keep_s is None or after.audit.keep_s > before.audit.keep_s):
        yield "the audit log, which holds no content, is kept longer"
    for name in before.recipients.keys() - after.recipients.keys():
        yield f"recipient {plain(name)} is gone"
    for gone in (one for one in before.invariants if one not in after.invariants):
        words = gone.text or invariant_words(gone, before.zone)
        yield f'an invariant is no longer asked for: "{plain(words)}"'


def _hedged(before: Document, after: Document) -> Iterator[str]:
    """The routes under which one request may now be with two recipients at once."""
    old = {rule.id: rule.hedge for rule in before.route}
    for rule in after.route:
        was, now = old.get(rule.id), rule.hedge
        if now is None or now == was:
            continue
        to = ", ".join(plain(name) for name in now.to)
        instead = "" if was is None or was.after_s == now.after_s else f" instead of {was.after_s} s"
        after_s = f"after {now.after_s} s{instead} without an event"
        yield f"route {plain(rule.id)} hedges: {after_s} a request is sent to {to} as well"


def _begun_anew(before: Document, after: Document) -> Iterator[str]:
    """What is kept under a name that is another now: it is not carried over."""
    if before.name != after.name:
        names = f"the name changes from {_called(before)} to {_called(after)}"
        yield f"{names}: budgets begin at zero and every consent is asked for anew."
        return
    known = {budget.id for budget in before.budgets}
    gone = [one for one in before.budgets if all(one.id != other.id for other in after.budgets)]
    for budget in (one for one in after.budgets if one.id not in known):
        for old in (one for one in gone if (one.of, one.unit, one.per) == (budget.of, budget.unit, budget.per)):
            yield f"the id of a budget changes from {quoted(old.id)} to {quoted(budget.id)}: it begins at zero."


def _called(document: Document) -> str:
    return "that of its file" if document.name is None else quoted(document.name)


def _consent(document: Document, recipient: Recipient) -> ConsentRule:
    return document.consent.get(recipient.name) or document.consent.get(recipient.ring) or ConsentRule()


def _lasts(rule: ConsentRule) -> str:
    return f"{rule.lasts} s" if isinstance(rule.lasts, int) else f"a {rule.lasts}"


def _of(budget: Budget, recipient: Recipient) -> bool:
    return recipient.name in budget.of or recipient.ring in budget.of


def _at_most(one: Budget, other: Budget) -> bool:
    """Whether `one` keeps all that `other` bounds within its limit, alone or with more."""
    return (one.unit, one.per) == (other.unit, other.per) and one.limit <= other.limit and one.of >= other.of
