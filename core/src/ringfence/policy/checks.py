"""What can be wrong with a policy whose every part can be read: rules that can never match or never be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ringfence.policy.conditions import (
    AllOf,
    Condition,
    FactRange,
    Range,
    TokensIn,
    matchers,
)
from ringfence.policy.document import Document, FlowRule, RouteRule
from ringfence.policy.faults import Faults, quoted
from ringfence.policy.keys import BUILT_IN_TASKS
from ringfence.policy.satisfiable import EVERYTHING, Alternatives, Domains, TooMany

_MOST_PAIRS_BACK = 50


def check_document(document: Document, faults: Faults) -> None:
    """Notes a fault for each rule that can never match, or never be reached, and for a name that is missing."""
    _check_name(document, faults)
    domains = Domains(tasks=frozenset((*BUILT_IN_TASKS, *document.tasks)), facts=document.facts)
    for rule in document.flow:
        _can_match(rule, domains, faults)
    _check_routes([rule for rule in document.route if _can_match(rule, domains, faults)], domains, faults)


def _check_name(document: Document, faults: Faults) -> None:
    # INVARIANT: what is agreed to or spent under one policy file never counts under another that is called like it.
    if document.name is not None:
        return
    stored = [place for place, rule in document.consent.items() if isinstance(rule.lasts, int)]
    for place in stored[:1]:
        what = f"consent.{place}.lasts needs a name: in this policy, since what is agreed to is kept under it"
        faults.add(document.places[f"consent.{place}"], f"{what}. Write name: and a name of your own at its top.")
    for budget in document.budgets[:1]:
        what = f"budget {quoted(budget.id)} needs a name: in this policy, since what is spent is kept under it"
        faults.add(budget.at, f"{what}. Write name: and a name of your own at its top.")


def _can_match(rule: FlowRule | RouteRule, domains: Domains, faults: Faults) -> bool:
    if rule.when is None:
        return True
    why = _contradiction(rule.when)
    if why is None and not _possible(rule, domains):
        why = "its when: contradicts itself or what is declared"
    if why is not None:
        faults.add(rule.at, f"rule {quoted(rule.id)} can never match: {why}.")
        return False
    for name, bounds in _ranges(matchers(rule.when)):
        if bounds.empty:
            faults.add(rule.at, f"rule {quoted(rule.id)} has a part that can never match: {name} {bounds}.")
    return True


def _possible(rule: FlowRule | RouteRule, domains: Domains) -> bool:
    # A deny also counts where its condition is not evaluable.
    counts = domains.not_false if isinstance(rule, FlowRule) and rule.effect == "deny" else domains.true
    try:
        return bool(counts(rule.when))
    except TooMany:
        return True


def _contradiction(when: Condition) -> str | None:
    """The bounds of one number, over all that must hold together, that leave it no value."""
    tightest: dict[str, Range] = {}
    for name, bounds in _ranges(_conjuncts(when)):
        known = tightest.get(name, Range())
        over = [bound for bound in (known.over, bounds.over) if bound is not None]
        most = [bound for bound in (known.max, bounds.max) if bound is not None]
        tightest[name] = Range(over=max(over, default=None), max=min(most, default=None))
    return next((f"{name} {bounds}" for name, bounds in tightest.items() if bounds.empty), None)


def _conjuncts(when: Condition) -> Iterable[Condition]:
    if isinstance(when, AllOf):
        return [inner for part in when.parts for inner in _conjuncts(part)]
    return [when]


def _ranges(conditions: Iterable[Condition]) -> Iterable[tuple[str, Range]]:
    for condition in conditions:
        if isinstance(condition, TokensIn):
            yield "input_tokens", condition.range
        elif isinstance(condition, FactRange):
            yield condition.name, condition.range


@dataclass(frozen=True, slots=True)
class _Route:
    """A route with when it matches and when not, written once; `None` where that is too much to say."""

    rule: RouteRule
    true: Alternatives | None
    not_true: Alternatives | None


def _check_routes(rules: Sequence[RouteRule], domains: Domains, faults: Faults) -> None:
    routes: list[_Route] = []
    left: Alternatives | None = EVERYTHING
    for index, rule in enumerate(rules):
        route = _Route(rule, _said(domains.true, rule.when), _said(domains.not_true, rule.when))
        shadow = _shadow(route, routes[-_MOST_PAIRS_BACK:], domains)
        if shadow is not None:
            why = "matches every request that it does" if shadow.when is not None else "has no when:"
            faults.add(
                rule.at, f"rule {quoted(rule.id)} can never be reached: rule {quoted(shadow.id)} before it {why}."
            )
        # The last route must be there, whether or not those before it leave it anything.
        elif index < len(rules) - 1 and _both(left, route.true, domains) == ():
            faults.add(
                rule.at,
                f"rule {quoted(rule.id)} can never be reached: the rules before it match every request that it does.",
            )
        # What no rule up to this one matches.
        left = _both(left, route.not_true, domains)
        routes.append(route)


def _shadow(route: _Route, before: Sequence[_Route], domains: Domains) -> RouteRule | None:
    """The one rule before this one that matches all that it does."""
    return next((one.rule for one in before if _both(route.true, one.not_true, domains) == ()), None)


def _said(when: Callable[[Condition | None], Alternatives], condition: Condition | None) -> Alternatives | None:
    try:
        return when(condition)
    except TooMany:
        return None


def _both(left: Alternatives | None, right: Alternatives | None, domains: Domains) -> Alternatives | None:
    """Where both hold; `None` where that is too much to say."""
    try:
        return None if left is None or right is None else domains.both(left, right)
    except TooMany:
        return None
