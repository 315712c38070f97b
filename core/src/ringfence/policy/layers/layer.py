"""What one layer says, and the document that it makes of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ringfence.policy.decision import ConsentRule, Shown
from ringfence.policy.document import AuditRule, Budget, Document, FlowRule, Invariant, PolicyTest
from ringfence.policy.place import Position
from ringfence.recipient import Recipient

_SHOWN: tuple[Shown, ...] = ("recipient", "labels", "preview")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer without faults. `name` is its alone; the ids of its rules and budgets begin with it."""

    name: str
    flow: tuple[FlowRule, ...] = ()
    consent: Mapping[str, ConsentRule] = field(default_factory=dict[str, ConsentRule])
    budgets: tuple[Budget, ...] = ()
    audit: AuditRule = field(default_factory=AuditRule)
    invariants: tuple[Invariant, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    places: Mapping[str, Position] = field(default_factory=dict[str, Position])


def named(layer: Layer, name: str) -> Layer:
    """`layer` under `name`. No name of a file's own holds a slash, so no id of two layers is the same."""
    return replace(
        layer,
        name=name,
        flow=tuple(replace(rule, id=f"{name}/{rule.id}", layer=name) for rule in layer.flow),
        budgets=tuple(replace(budget, id=f"{name}/{budget.id}") for budget in layer.budgets),
    )


def combined(document: Document, layers: Iterable[Layer]) -> Document:
    """`document` under all of `layers`.

    INVARIANT: nothing is allowed, kept for longer or asked for less strictly than without a layer.
    """
    for layer in layers:
        consent = _stricter(document, layer.consent)
        places = {f"consent.{name}": _place(name, document, layer) for name in consent}
        document = replace(
            document,
            flow=(*document.flow, *layer.flow),
            consent={**document.consent, **consent},
            budgets=(*document.budgets, *layer.budgets),
            audit=AuditRule(keep_s=_shorter(document.audit.keep_s, layer.audit.keep_s)),
            invariants=(*document.invariants, *layer.invariants),
            tests=(*document.tests, *layer.tests),
            places={**places, **document.places},
        )
    return document


def _shorter(one: int | None, other: int | None) -> int | None:
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)


def _stricter(document: Document, stated: Mapping[str, ConsentRule]) -> dict[str, ConsentRule]:
    """The consent for each recipient that a layer changes.

    By recipient, because a ring's would not hold for one that has a consent of its own.
    """
    changed: dict[str, ConsentRule] = {}
    for recipient in document.recipients.values():
        wanted = _of(recipient, stated)
        if wanted is None:
            continue
        present = _of(recipient, document.consent) or ConsentRule()
        strict = stricter(present, wanted)
        if strict != present:
            changed[recipient.name] = strict
    return changed


def _of(recipient: Recipient, rules: Mapping[str, ConsentRule]) -> ConsentRule | None:
    return rules.get(recipient.name) or rules.get(recipient.ring)


def _place(name: str, document: Document, layer: Layer) -> Position:
    own = layer.places.get(f"consent.{name}")
    return own or layer.places[f"consent.{document.recipients[name].ring}"]


def stricter(one: ConsentRule, other: ConsentRule) -> ConsentRule:
    """What satisfies both: a yes for one recipient rather than its ring, for the shorter time, after all is shown."""
    return ConsentRule(
        per="ring" if one.per == other.per == "ring" else "recipient",
        lasts=_shorter_yes(one.lasts, other.lasts),
        show=tuple(item for item in _SHOWN if item in one.show or item in other.show),
    )


def _shorter_yes(
    one: Literal["request", "session"] | int, other: Literal["request", "session"] | int
) -> Literal["request", "session"] | int:
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    # A session may be longer than a duration, and a duration outlives a session: only a request fits into both.
    return one if one == other else "request"
