"""Random policies and requests for the laws: every construct that a decision reads, in small domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

from ringfence.policy import Decision, Facts, Policy
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
from ringfence.policy.document import (
    Budget,
    DeclaredTool,
    Document,
    Effect,
    FlowRule,
    Hedge,
    Label,
    Overflow,
    Require,
    RouteRule,
)
from ringfence.policy.policy import enforce
from ringfence.recipient import Recipient, Ring

LABELS = ("public", "contact", "health", "unclassified")
RECIPIENTS: Mapping[str, Ring] = {"mlx": "device", "own": "house", "rented": "house", "openai": "partner"}
NAMES = tuple(RECIPIENTS)
TOOLS: Mapping[str, Ring] = {"local": "device", "ours": "house", "search": "partner"}
PLACES = ("device", "house", "partner", *NAMES)
LAYERS = ("", "mdm", "company")
OWN_TASK, UNKNOWN_TASK = "minutes", "no_such_task"
MODALITIES = ("text", "image", "file", "audio")
FACTS = {
    "user.age": Fact(type="enum", values=("adult", "minor")),
    "user.staff": Fact(type="bool"),
    "user.level": Fact(type="int", min=0, max=9),
}
EXPRESSIONS = ("yes", "no", "unclear", "short")
"""What the stand-in for CEL knows: `short` is an input of at most two tokens."""

# ---------------------------------------------------------------- policies


def some(values: tuple[Any, ...]) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(st.sampled_from(values), min_size=1, max_size=3)


def ranges(most: int) -> st.SearchStrategy[Range]:
    bound = st.one_of(st.none(), st.integers(0, most))
    return st.builds(Range, over=bound, max=bound)


LEAVES: st.SearchStrategy[Condition] = st.one_of(
    some(("open_question", "rewrite", OWN_TASK, "other")).map(TaskIn),
    some(MODALITIES).map(ModalityIn),
    ranges(4).map(TokensIn),
    some(("adult", "minor")).map(lambda values: FactIn("user.age", values)),
    some((True, False)).map(lambda values: FactIn("user.staff", values)),
    ranges(9).map(lambda bounds: FactRange("user.level", bounds)),
    st.builds(TimeIn, some((0, 1, 2, 6)), st.sampled_from((0, 600, 1380)), st.sampled_from((60, 600, 1440))),
    st.sampled_from(EXPRESSIONS).map(Cel),
)


def conditions(leaves: st.SearchStrategy[Condition] = LEAVES) -> st.SearchStrategy[Condition]:
    """Up to two levels of `all`, `any` and `not`; `st.recursive` takes five times as long."""
    parts = st.lists(leaves, min_size=1, max_size=2).map(tuple)
    joined = st.one_of(parts.map(AllOf), parts.map(AnyOf))
    return st.one_of(
        leaves, leaves, leaves.map(Not), joined, joined.map(Not), st.builds(AllOf, st.tuples(leaves, joined))
    )


# A strategy that is made while drawing is checked again for each example, so all of them are made once.
WHEN = conditions()
ROUTE_CONDITIONS = conditions(st.one_of(LEAVES, some(LABELS).map(LabelIn)))

REQUIREMENTS = (
    Require(),
    Require(),
    Require(),
    Require(attested=True),
    Require(retention="none"),
    Require(regions=frozenset({"eu"})),
    Require(attested=True, retention="none", regions=frozenset({"eu", "ch"})),
)


@cache
def flow_rules(
    effect: Effect | None = None, *, layers: tuple[str, ...] = ("",), always: bool = False
) -> st.SearchStrategy[FlowRule]:
    """One rule; an allow of a partner asks for consent, as it must. `always`: without a condition or requirement."""
    when: st.SearchStrategy[Condition | None] = st.none() if always else st.one_of(st.none(), WHEN)
    rule = st.builds(
        FlowRule,
        id=st.just("rule"),
        effect=st.just(effect) if effect else st.sampled_from(("allow", "allow", "deny")),
        labels=st.one_of(st.none(), some(LABELS)),
        to=some(PLACES),
        when=when,
        layer=st.sampled_from(layers),
        require=st.sampled_from(REQUIREMENTS[:4] if always else REQUIREMENTS),
        redact=st.sampled_from((None, None, "pseudonym", "mask", "remove")),
        consent=st.sampled_from((False, False, False, True)),
    )
    return rule.map(_as_a_file_may_hold_it)


def _as_a_file_may_hold_it(rule: FlowRule) -> FlowRule:
    if rule.effect == "deny":
        return replace(rule, require=Require(), redact=None, consent=False)
    return replace(rule, consent=rule.consent or bool(rule.to & {"partner", "openai"}))


BUDGETS = st.lists(
    st.builds(
        Budget, id=st.just("budget"), of=some(PLACES), limit=st.just(5.0), unit=st.just("USD"), per=st.just("day")
    ),
    max_size=2,
).map(tuple)
_SEVERAL = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
_OVERFLOW = st.builds(Overflow, to=_SEVERAL, over=st.just(0.8))
_HEDGE = st.builds(Hedge, to=_SEVERAL, after_s=st.just(2))
ROUTES = st.builds(
    RouteRule,
    id=st.just("route"),
    prefer=_SEVERAL,
    fallback=st.one_of(st.just(()), _SEVERAL),
    overflow=st.one_of(st.none(), _OVERFLOW),
    hedge=st.one_of(st.none(), _HEDGE),
)


def _only_when(rule: RouteRule, when: Condition) -> RouteRule:
    return replace(rule, when=when)


def _in_order(first: list[RouteRule], last: RouteRule) -> list[RouteRule]:
    return [*first, last]


_SOME_ROUTES = st.builds(_in_order, st.lists(st.builds(_only_when, ROUTES, ROUTE_CONDITIONS), max_size=2), ROUTES)
RETENTION = st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from((None, "none", "30d"))))
REGION = st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from((None, "eu", "us"))))


@cache
def documents() -> st.SearchStrategy[Document]:
    """A policy of up to seven rules, in one layer or several."""
    flow = st.one_of(*(st.lists(flow_rules(layers=layers), min_size=1, max_size=7) for layers in (("",), LAYERS)))
    return st.builds(document_of, flow, _SOME_ROUTES, retention=RETENTION, region=REGION, budgets=BUDGETS)


@cache
def open_documents() -> st.SearchStrategy[Document]:
    """One in which much matches, so that obligations meet, in one layer or several."""
    flow = st.one_of(_open_flow(("",)), _open_flow(("", "mdm")))
    return st.builds(document_of, flow, ROUTES.map(lambda rule: [rule]), budgets=BUDGETS)


def _open_flow(layers: tuple[str, ...]) -> st.SearchStrategy[list[FlowRule]]:
    everywhere = [
        FlowRule(
            id="all",
            effect="allow",
            labels=None,
            to=frozenset({"device", "house", "partner"}),
            layer=layer,
            consent=layer == "",
        )
        for layer in layers
    ]
    rule = st.one_of(flow_rules("allow", layers=layers, always=True), flow_rules(layers=layers))
    return st.lists(rule, max_size=4).map(lambda rules: [*everywhere, *rules])


def document_of(
    flow: list[FlowRule],
    route: list[RouteRule],
    *,
    retention: Mapping[str, str | None] | None = None,
    region: Mapping[str, str | None] | None = None,
    budgets: tuple[Budget, ...] = (),
) -> Document:
    """A document of these rules, each with an id of its own."""
    recipients = {
        name: Recipient(
            name=name,
            ring=ring,
            provider="mlx",
            model="m",
            retention=(retention or {}).get(name),
            region=(region or {}).get(name),
        )
        for name, ring in RECIPIENTS.items()
    }
    return Document(
        name="law",
        recipients=recipients,
        labels={name: Label() for name in LABELS},
        unknown="unclassified",
        flow=tuple(replace(rule, id=f"flow-{index}") for index, rule in enumerate(flow)),
        route=tuple(replace(rule, id=f"route-{index}") for index, rule in enumerate(route)),
        tasks=(OWN_TASK,),
        facts=FACTS,
        tools={name: DeclaredTool(ring=ring) for name, ring in TOOLS.items()},
        budgets=budgets,
    )


def more(document: Document, *rules: FlowRule) -> Document:
    """`document` with these rules too."""
    added = (replace(rule, id=f"added-{index}") for index, rule in enumerate(rules))
    return replace(document, flow=(*document.flow, *added))


# ---------------------------------------------------------------- requests

FACT_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "user.age": st.sampled_from(["adult", "minor", "elder", 7]),
    "user.staff": st.sampled_from([True, False, 1, "true"]),
    "user.level": st.sampled_from([0, 1, 5, 9, 10, -1, True, 2.5, float("nan"), "3"]),
}


@cache
def requests() -> st.SearchStrategy[Facts]:
    """One request."""
    return st.builds(
        Facts,
        task=st.sampled_from(["open_question", "rewrite", "embed", OWN_TASK, "other", UNKNOWN_TASK]),
        labels=st.one_of(some(LABELS), some(LABELS), some((*LABELS, "undeclared"))),
        input_tokens=st.integers(0, 5),
        modality=some(MODALITIES),
        values=st.fixed_dictionaries({}, optional=FACT_VALUES),
        to=st.one_of(st.none(), some(NAMES)),
        minute=st.one_of(st.none(), st.sampled_from((0, 59, 60, 600, 1439, 1440, 2000, 8700, 10_079))),
    )


# ---------------------------------------------------------------- decisions


def policy_of(document: Document) -> Policy:
    """The policy of `document`; contradictory rules, which a file may not hold, are let through on purpose."""
    return enforce(document, source="test", name="test", digest="sha256:test")


def decide(document: Document, request: Facts) -> Decision:
    return policy_of(document).decide(request)


def allowed(decision: Decision) -> frozenset[str]:
    return frozenset(name for name, verdict in decision.recipients.items() if verdict.verdict == "allow")
