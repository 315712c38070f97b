"""Random documents, invariants and requests, with every kind of condition, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    Fact,
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
from ringfence.policy.decision import REDACTIONS
from ringfence.policy.document import (
    DeclaredTool,
    Document,
    FlowRule,
    Hedge,
    Invariant,
    Label,
    Overflow,
    Require,
    RouteRule,
)
from ringfence.policy.facts import Facts
from ringfence.recipient import Recipient, Ring
from ringfence.request import Modality

LABELS = ("public", "contact", "health", "unclassified")
RINGS_OF: dict[str, Ring] = {"mlx": "device", "own": "house", "rented": "house", "openai": "partner"}
PLACES = (*RINGS_OF, "device", "house", "partner")
TASKS = ("open_question", "rewrite", "minutes", "other")
MODALITIES: tuple[Modality, ...] = ("text", "image", "file", "audio")
CELS = ("user.age == 'minor'", "task == 'rewrite'")
FACTS = {
    "user.age": Fact(type="enum", values=("adult", "minor")),
    "user.staff": Fact(type="bool"),
    "user.level": Fact(type="int", min=0, max=9),
    "user.floor": Fact(type="int"),
    "user.score": Fact(type="number", min=0, max=1),
}


def some(random: Random, values: tuple[str, ...], most: int = 3) -> frozenset[str]:
    return frozenset(random.sample(values, random.randint(1, min(most, len(values)))))


def bounds(random: Random, numbers: tuple[float, ...]) -> Range:
    over, most = random.choice(numbers), random.choice(numbers)
    return random.choice((Range(over=over), Range(max=most), Range(over=over, max=most)))


def moment(random: Random) -> TimeIn:
    days = frozenset(random.sample(range(7), random.randint(1, 7)))
    return TimeIn(days, random.choice((0, 540, 1320)), random.choice((360, 1020, 1440)))


def matcher(random: Random, *, labels: bool, cel: bool) -> Condition:
    drawn: tuple[Callable[[], Condition], ...] = (
        lambda: TaskIn(some(random, TASKS)),
        lambda: ModalityIn(some(random, MODALITIES)),
        lambda: TokensIn(bounds(random, (0, 1, 2, 4, 2.5))),
        lambda: FactIn("user.age", some(random, ("adult", "minor"), 2)),
        lambda: FactIn("user.staff", frozenset({random.random() < 0.5})),
        lambda: FactRange("user.level", bounds(random, (-3, 0, 3, 5, 9, 12))),
        lambda: FactRange("user.floor", bounds(random, (-2, 0, 3.5, 7))),
        lambda: FactRange("user.score", bounds(random, (0, 0.25, 0.5, 1))),
        lambda: moment(random),
        *((lambda: Cel(random.choice(CELS)),) if cel else ()),
        *((lambda: LabelIn(some(random, LABELS, 2)),) * 3 if labels else ()),
    )
    return random.choice(drawn)()


def condition(random: Random, *, labels: bool = False, cel: bool = False, depth: int = 2) -> Condition:
    shape = random.random()
    if depth == 0 or shape < 0.5:
        return matcher(random, labels=labels, cel=cel)
    if shape < 0.65:
        return Not(condition(random, labels=labels, cel=cel, depth=depth - 1))
    parts = tuple(condition(random, labels=labels, cel=cel, depth=depth - 1) for _ in range(random.randint(1, 3)))
    return AllOf(parts) if random.random() < 0.6 else AnyOf(parts)


def flow_rule(random: Random, number: int, *, cel: bool) -> FlowRule:
    when = condition(random, cel=cel) if random.random() < 0.6 else None
    labels = None if random.random() < 0.3 else some(random, LABELS)
    layer = random.choice(("", "", "", "company"))
    if random.random() < 0.35:
        return FlowRule(
            id=f"flow-{number}", effect="deny", labels=labels, to=some(random, PLACES), when=when, layer=layer
        )
    require = Require(
        attested=random.random() < 0.3,
        retention="none" if random.random() < 0.2 else None,
        regions=frozenset({"eu"}) if random.random() < 0.1 else frozenset(),
    )
    return FlowRule(
        id=f"flow-{number}",
        effect="allow",
        labels=labels,
        to=some(random, PLACES, 4),
        when=when,
        require=require if random.random() < 0.4 else Require(),
        redact=random.choice((None, None, *REDACTIONS)),
        consent=random.random() < 0.4,
        layer=layer,
    )


def route_rule(random: Random, number: int, *, cel: bool) -> RouteRule:
    names = tuple(RINGS_OF)
    return RouteRule(
        id=f"route-{number}",
        prefer=tuple(sorted(some(random, names))),
        fallback=tuple(sorted(some(random, names))) if random.random() < 0.5 else (),
        overflow=Overflow(to=("rented",), over=0.8) if random.random() < 0.3 else None,
        hedge=Hedge(to=("openai", "rented"), after_s=2) if random.random() < 0.3 else None,
        when=condition(random, labels=True, cel=cel),
    )


def invariant(random: Random, *, cel: bool = False) -> Invariant:
    kinds: tuple[Literal["never", "consent", "only"], ...] = ("never", "never", "consent", "only", "only")
    kind = random.choice(kinds)
    unless = random.choice(("redacted", "redacted", "attested", None, None)) if kind == "never" else None
    return Invariant(
        kind=kind,
        to=some(random, PLACES, 2) if kind != "only" else some(random, PLACES, 5),
        labels=some(random, LABELS, 2) if random.random() < 0.7 else None,
        tasks=some(random, TASKS) if random.random() < 0.3 else None,
        when=condition(random, labels=random.random() < 0.2, cel=cel) if random.random() < 0.4 else None,
        unless_redacted=unless == "redacted",
        unless_attested=unless == "attested",
    )


def document(random: Random, *, cel: bool = False) -> Document:
    routes = [route_rule(random, number, cel=cel) for number in range(random.randint(0, 3))]
    return Document(
        name="drawn",
        recipients={
            name: Recipient(
                name=name,
                ring=ring,
                provider="mlx",
                model="m",
                retention=random.choice((None, "none")),
                region=random.choice((None, "eu", "us")),
            )
            for name, ring in RINGS_OF.items()
        },
        labels={label: Label() for label in LABELS},
        unknown="unclassified",
        tasks=("minutes",),
        facts=FACTS,
        zone="UTC",
        tools={"search": DeclaredTool(ring="partner"), "file": DeclaredTool(ring="device")},
        flow=tuple(flow_rule(random, number, cel=cel) for number in range(random.randint(1, 9))),
        route=(*routes, RouteRule(id="otherwise", prefer=tuple(RINGS_OF))),
    )


def request(random: Random) -> Facts:
    values: dict[str, str | int | float | bool] = {
        "user.age": random.choice(("adult", "minor", "elder")),
        "user.staff": random.random() < 0.5,
        "user.level": random.choice((-1, 0, 1, 3, 4, 5, 6, 9, 10)),
        "user.floor": random.randint(-4, 9),
        "user.score": random.choice((0, 0.1, 0.25, 0.3, 0.5, 0.7, 1, 1.5, float("nan"))),
    }
    return Facts(
        task=random.choice((*TASKS, "embed", "never_heard_of")),
        labels=some(random, LABELS),
        input_tokens=random.randint(0, 6),
        modality=frozenset(random.sample(MODALITIES, random.randint(0, 4))),
        values={name: value for name, value in values.items() if random.random() < 0.8},
        minute=random.choice(
            (None, random.randrange(10080), random.randrange(7) * 1440 + random.choice((0, 359, 360)))
        ),
    )


def edited(random: Random, before: Document) -> Document:
    """`before` with a few random changes, most of them to its rules."""
    flow = list(before.flow)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(flow) + 1)
        flow[at : at + random.randint(0, 1)] = [flow_rule(random, 100 + at, cel=False)] * random.randint(0, 1)
    detecting = {name: Label(detect=tuple(sorted(some(random, KINDS, 2)))) for name in random.sample(LABELS, 4)}
    labels = detecting if random.random() < 0.5 else before.labels
    looks = any(label.detect for label in labels.values())
    return replace(
        before,
        flow=tuple(flow),
        labels=labels,
        unknown=random.choice((before.unknown, before.unknown, "health")),
        clean=random.choice((before.clean, None, "public")) if looks else None,
        facts=random.choice((before.facts, OTHER_FACTS)),
        tasks=random.choice((before.tasks, ())),
    )


KINDS = ("email", "card", "name")
OTHER_FACTS = {
    **FACTS,
    "user.age": Fact(type="enum", values=("minor", "adult", "elder")),
    "user.level": Fact(type="number", min=1, max=12),
    "user.score": Fact(type="int", min=0, max=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a request, as no file has labelled it yet."""

    declared: frozenset[str]
    hits: frozenset[str]
    failing: frozenset[str]

    def labels(self, document: Document) -> frozenset[str]:
        """What it carries under `document`, from the text of the language."""
        named = {kind for label in document.labels.values() for kind in label.detect}
        found = self.declared.union(self.found(document))
        if self.failing & named:
            return found | {document.unknown}
        return found or frozenset({document.clean if document.clean and named else document.unknown})

    def found(self, document: Document) -> frozenset[str]:
        """The labels that detectors find."""
        return frozenset(name for name, label in document.labels.items() if self.hits.intersection(label.detect))


def part(random: Random) -> Part:
    hits = frozenset(kind for kind in KINDS if random.random() < 0.3)
    return Part(
        declared=frozenset(random.sample(LABELS, random.choice((0, 0, 1, 2)))),
        hits=hits,
        failing=frozenset(kind for kind in KINDS if random.random() < 0.1) - hits,
    )
