"""What can be wrong with a policy whose every part can be read: rules that can never match or never be reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
from ringfence.policy.satisfiable import EVERYTHING, Alternative, Domains, TooMany, both

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


def _check_routes(routes: Sequence[RouteRule], domains: Domains, faults: Faults) -> None:
    left: tuple[Alternative, ...] | None = EVERYTHING
    for index, rule in enumerate(routes):
        shadow = _shadow(rule, routes[max(0, index - _MOST_PAIRS_BACK) : index], domains)
        if shadow is not None:
            why = "matches every request that it does" if shadow.when is not None else "has no when:"
            faults.add(
                rule.at, f"rule {quoted(rule.id)} can never be reached: rule {quoted(shadow.id)} before it {why}."
            )
        # The last route must be there, whether or not those before it leave it anything.
        elif index < len(routes) - 1 and left is not None and not _meet(left, rule, domains):
            faults.add(
                rule.at,
                f"rule {quoted(rule.id)} can never be reached: the rules before it match every request that it does.",
            )
        left = _less(left, rule, domains)


def _shadow(rule: RouteRule, before: Sequence[RouteRule], domains: Domains) -> RouteRule | None:
    """The one rule before this one that matches all that it does."""
    for earlier in before:
        try:
            if not both(domains.true(rule.when), domains.not_true(earlier.when)):
                return earlier
        except TooMany:
            continue
    return None


def _meet(left: tuple[Alternative, ...], rule: RouteRule, domains: Domains) -> bool:
    try:
        return bool(both(left, domains.true(rule.when)))
    except TooMany:
        return True


def _less(left: tuple[Alternative, ...] | None, rule: RouteRule, domains: Domains) -> tuple[Alternative, ...] | None:
    """What no rule up to this one matches; `None` once that is too much to say."""
    try:
        return None if left is None else both(left, domains.not_true(rule.when))
    except TooMany:
        return None
