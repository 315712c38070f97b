"""What is declared and changes nothing: labels, facts, consents, budgets."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.conditions import Cel, Condition, fact_names, matchers
from ringfence.policy.document import Document
from ringfence.policy.faults import listed, quoted
from ringfence.policy.place import NOWHERE, Position
from ringfence.policy.reach import Reach


def declared_in_vain(document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    """What a person may believe to protect, limit or decide something, and does not."""
    for name, silence in silent(document, reach):
        if not document.labels[name].declare:
            way_out = "If only the app knows it, write declare: true"
            yield document.places.get(f"labels.{name}", NOWHERE), f"{silence} {way_out}."
    for find in (_unruled, _unread, _consent):
        yield from find(document)
    yield from _budgets(document, reach)


def silent(document: Document, reach: Reach) -> Iterator[tuple[str, str]]:
    """The labels that nothing detects, where their data may go further if nobody says so, and what follows."""
    if document.clean is None:
        return
    clean = quoted(document.clean)
    for name, label in document.labels.items():
        further = [one for one in reach[document.clean] if one not in reach[name]]
        if name != document.unknown and not label.detect and further:
            silence = f"a text that nobody labels counts as {clean} and may reach {listed(further)}"
            yield name, f"nothing detects {quoted(name)}: {silence}."


def _unruled(document: Document) -> Iterator[tuple[Position, str]]:
    """The labels that no rule speaks of: default deny refuses them, and nobody said so."""
    ruled = {label for rule in document.flow for label in rule.labels or ()}
    if any(rule.effect == "allow" and rule.labels is None for rule in document.flow):
        return
    for name in document.labels:
        if name not in ruled:
            at = document.places.get(f"labels.{name}", NOWHERE)
            yield at, f"label {quoted(name)} is in no rule under flow:, so a request that carries it reaches nobody."


def _unread(document: Document) -> Iterator[tuple[Position, str]]:
    """The facts that no condition reads."""
    conditions = list(_conditions(document))
    read = {name for when in conditions for name in fact_names(when)}
    expressions = [one.expression for when in conditions for one in matchers(when) if isinstance(one, Cel)]
    for name in document.facts:
        if name not in read and not any(name in expression for expression in expressions):
            at = document.places.get(f"facts.{name}", NOWHERE)
            yield at, f"fact {quoted(name)} is declared, and no rule reads it."


def _conditions(document: Document) -> Iterator[Condition]:
    conditions = (
        *(rule.when for rule in document.flow),
        *(rule.when for rule in document.route),
        *(invariant.when for invariant in document.invariants),
    )
    yield from (when for when in conditions if when is not None)


def _consent(document: Document) -> Iterator[tuple[Position, str]]:
    """How consent is asked for where no rule asks for any."""
    asking = frozenset(name for rule in document.flow if rule.consent for name in document.reached(rule.to))
    for name in document.consent:
        if not document.reached(frozenset({name})) & asking:
            at = document.places.get(f"consent.{name}", NOWHERE)
            yield at, f"no rule under flow: asks for consent where {quoted(name)} is reached."


def _budgets(document: Document, reach: Reach) -> Iterator[tuple[Position, str]]:
    """The budgets from which nothing is ever spent."""
    open_to = {name for names in reach.values() for name in names}
    for budget in document.budgets:
        over = document.reached(budget.of)
        if not over:
            yield (
                budget.at,
                f"budget {quoted(budget.id)} counts nothing: no recipient is in {listed(sorted(budget.of))}.",
            )
        elif not over & open_to:
            names = listed(sorted(over))
            yield budget.at, f"budget {quoted(budget.id)} counts nothing: flow lets nothing reach {names}."


__all__ = ["declared_in_vain", "silent"]
