"""The text of the policy language as an interpreter: rule by rule, label by label, with no table and no shortcut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.policy.random_policies import FACTS, LABELS, OWN_TASK, RECIPIENTS

from ringfence.policy import Facts
from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    FactIn,
    FactRange,
    LabelIn,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TimeIn,
    TokensIn,
)
from ringfence.policy.document import Document, FlowRule, RouteRule
from ringfence.request import TASKS

TRUE, FALSE, UNCLEAR = "true", "false", "unclear"
STRENGTH = ("pseudonym", "mask", "remove")


def knows_task(request: Facts) -> bool:
    return request.task in (*TASKS, OWN_TASK)


def meaning(when: Condition | None, request: Facts) -> str:  # noqa: C901, PLR0911  (one for each kind)
    """What a `when:` says of a request."""
    match when:
        case None:
            return TRUE
        case AllOf(parts):
            return _conjunction([meaning(part, request) for part in parts])
        case AnyOf(parts):
            return _negation(_conjunction([_negation(meaning(part, request)) for part in parts]))
        case Not(part):
            return _negation(meaning(part, request))
        case TaskIn(tasks):
            return _truth((request.task if knows_task(request) else "other") in tasks)
        case ModalityIn(modalities):
            return _truth(modalities & request.modality)
        case LabelIn(labels):
            return _truth(labels & request.labels)
        case TokensIn(bounds):
            return _within(bounds, request.input_tokens)
        case FactIn(name, values):
            value = _value(name, request)
            return UNCLEAR if value is None else _truth(value in values)
        case FactRange(name, bounds):
            value = _value(name, request)
            return UNCLEAR if value is None else _within(bounds, value)
        case TimeIn():
            return _time(when, request.minute)
        case Cel(expression):
            return {"yes": TRUE, "no": FALSE, "short": _truth(request.input_tokens < 3)}.get(expression, UNCLEAR)


def _negation(value: str) -> str:
    return {TRUE: FALSE, FALSE: TRUE, UNCLEAR: UNCLEAR}[value]


def _conjunction(values: list[str]) -> str:
    if FALSE in values:
        return FALSE
    return UNCLEAR if UNCLEAR in values else TRUE


def _truth(value: object) -> str:
    return TRUE if value else FALSE


def _within(bounds: Range, number: float) -> str:
    over, most = (-1e9 if bounds.over is None else bounds.over), (1e9 if bounds.max is None else bounds.max)
    return _truth(over < number <= most)


def _value(name: str, request: Facts) -> Any:
    value = request.values.get(name)
    if name == "user.age":
        return value if value in FACTS[name].values else None
    if name == "user.staff":
        return value if value is True or value is False else None
    return value if type(value) is int and 0 <= value <= 9 else None


def _time(when: TimeIn, minute: int | None) -> str:
    if minute is None:
        return UNCLEAR
    if minute // 1440 not in when.days:
        return FALSE
    inside = range(when.start, when.end) if when.start < when.end else (*range(when.end), *range(when.start, 1440))
    return _truth(minute % 1440 in inside)


def names_task(when: Condition | None) -> bool:
    return "TaskIn" in repr(when) or "Cel" in repr(when)


def labels_of(rule: FlowRule) -> frozenset[str]:
    return frozenset(LABELS) if rule.labels is None else rule.labels


def names(rule: FlowRule, recipient: str) -> bool:
    return recipient in rule.to or RECIPIENTS[recipient] in rule.to


def fires(rule: FlowRule, request: Facts) -> bool:
    """Whether a deny applies to a request, wherever it goes."""
    holds = meaning(rule.when, request) != FALSE or (not knows_task(request) and names_task(rule.when))
    return rule.effect == "deny" and holds and bool(labels_of(rule) & request.labels)


def counts(rule: FlowRule, request: Facts) -> bool:
    """Whether an allow applies to a request, whatever its labels and wherever it goes."""
    return rule.effect == "allow" and meaning(rule.when, request) == TRUE


def firing(document: Document, recipient: str, request: Facts) -> list[str]:
    """The ids of the denies that fire for a recipient."""
    return [rule.id for rule in document.flow if names(rule, recipient) and fires(rule, request)]


def counting(document: Document, recipient: str, request: Facts) -> list[FlowRule]:
    """The allows that count for a recipient, whatever their labels."""
    return [
        rule
        for rule in document.flow
        if counts(rule, request) and names(rule, recipient) and met(document, rule, recipient)
    ]


def met(document: Document, rule: FlowRule, recipient: str) -> bool:
    """Whether the recipient declares what is asked for; what it does not declare is not met."""
    declared, wanted = document.recipients[recipient], rule.require
    return wanted.retention in (None, declared.retention) and (not wanted.regions or declared.region in wanted.regions)


def layers(document: Document) -> frozenset[str]:
    """The layers that must cover every label."""
    return frozenset(rule.layer for rule in document.flow if rule.effect == "allow") | {""}


def missing(document: Document, labels: frozenset[str], allows: list[FlowRule]) -> frozenset[str]:
    """The labels that some layer does not cover with `allows`."""
    return frozenset(
        label
        for label in labels
        for layer in layers(document)
        if not any(rule.layer == layer and label in labels_of(rule) for rule in allows)
    )


def expected_missing(document: Document, recipient: str, request: Facts) -> frozenset[str]:
    return missing(document, request.labels, counting(document, recipient, request))


def expected_allowed(document: Document, request: Facts) -> frozenset[str]:
    return frozenset(
        name
        for name in RECIPIENTS
        if not firing(document, name, request) and not expected_missing(document, name, request)
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A step, as the text says it."""

    recipient: str
    stage: str
    owner: str | None
    obligations: tuple[str, ...]
    redact: dict[str, str]
    hedges: bool = False


def expected_plan(document: Document, request: Facts) -> list[Place]:
    rule = next(rule for rule in document.route if meaning(rule.when, request) == TRUE)
    hedged = planned(document, rule, request)
    asked = [place for place in hedged if place.stage in {"prefer", "overflow"}]
    of_use = any(place.hedges and other != place for place in hedged for other in asked)
    if of_use and request.task not in {"image", "embed", "speak"}:
        return hedged
    return planned(document, replace(rule, hedge=None), request)


def planned(document: Document, rule: RouteRule, request: Facts) -> list[Place]:
    """The places of `rule`, whether or not its hedges are of use."""
    reachable = expected_allowed(document, request)
    hedges = rule.hedge.to if rule.hedge else ()
    places: list[tuple[str, str, str | None]] = []
    for name in rule.prefer:
        places.append((name, "prefer", None))
        places += [(to, "overflow", name) for to in (rule.overflow.to if rule.overflow else ())]
    places += [(name, "hedge", None) for name in hedges if name not in rule.fallback]
    places += [(name, "fallback", None) for name in rule.fallback]
    plan: dict[str, Place] = {}
    for name, stage, owner in places:
        if name in plan or name not in reachable or (request.to is not None and name not in request.to):
            continue
        hedging = name in hedges and stage != "prefer"
        plan[name] = Place(name, stage, owner, *expected_obligations(document, name, request), hedging)
    return list(plan.values())


def expected_obligations(document: Document, recipient: str, request: Facts) -> tuple[tuple[str, ...], dict[str, str]]:
    matching = [rule for rule in counting(document, recipient, request) if labels_of(rule) & request.labels]
    redact = expected_redactions(matching, request)
    obliged = {
        "attest": any(rule.require.attested for rule in matching),
        "redact": bool(redact),
        "consent": any(rule.consent for rule in matching),
        "budget": any({recipient, RECIPIENTS[recipient]} & budget.of for budget in document.budgets),
    }
    return tuple(name for name, wanted in obliged.items() if wanted), redact


def expected_redactions(matching: list[FlowRule], request: Facts) -> dict[str, str]:
    redact: dict[str, str] = {}
    for label in request.labels:
        kinds = [rule.redact for rule in matching if label in labels_of(rule) and rule.redact is not None]
        if kinds:
            redact[label] = max(kinds, key=STRENGTH.index)
    return redact


def expected_tool(document: Document, ring: str, request: Facts) -> tuple[str, dict[str, str]]:
    """Whether a tool on `ring` may be given data with the labels of `request`, and how it is redacted."""
    here = [rule for rule in document.flow if ring in rule.to]
    if any(fires(rule, request) for rule in here):
        return "deny", {}
    demands = [rule for rule in here if counts(rule, request) and rule.require == type(rule.require)()]
    if missing(document, request.labels, demands):
        return "deny", {}
    matching = [rule for rule in demands if labels_of(rule) & request.labels]
    return "ask" if any(rule.consent for rule in matching) else "allow", expected_redactions(matching, request)
