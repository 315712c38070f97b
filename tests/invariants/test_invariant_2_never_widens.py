"""Invariant 2: one more label, deny or layer never widens, and order never matters: as explained, and as sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.invariants.support import (
    FAILING,
    MAIL,
    Asked,
    Mail,
    Recipients,
    World,
    ask,
    asked_of,
    cel,
    detectors,
    fates_of,
    law,
    policy_of,
    run,
    sending,
    worlds,
)
from tests.policy.random_policies import LABELS, allowed, flow_rules, more

from ringfence.policy import Decision
from ringfence.policy.decision import REDACTIONS
from ringfence.policy.document import Document, FlowRule


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with cel(), detectors(mail=Mail()):
        yield


def explained(document: Document, asked: Asked) -> Decision:
    async def explain() -> Decision:
        async with Recipients({}).assistant(policy_of(document)) as it:
            return it.explain(asked.text, **asked.options)

    return run(explain())


def reached(document: Document, asked: Asked, fates: dict[str, str]) -> list[str]:
    """Who got something, in order, when all fail in a way that lets the walk go on."""
    world = Recipients(fates)
    run(ask(world, policy_of(document), asked))
    return [one.to for one in world.sent]


def labelled(asked: Asked) -> Asked:
    """Declared labels take the place of the label of what is clean, so there is one to add to."""
    return asked if asked.labels or MAIL.search(asked.text) else replace(asked, labels=frozenset({"public"}))


def assert_narrower(after: Decision, before: Decision) -> None:
    assert allowed(after) <= allowed(before)
    steps = {step.recipient: step for step in before.plan}
    for step in after.plan:
        was = steps.get(step.recipient)
        if was is not None:
            assert set(was.obligations) <= set(step.obligations)
            for label, kind in was.redact:
                assert REDACTIONS.index(dict(step.redact)[label]) >= REDACTIONS.index(kind)


OPEN = FlowRule(
    id="open", effect="allow", labels=None, to=frozenset({"device", "house", "partner"}), layer="one more", consent=True
)


def partly(document: Document, random: Random) -> Document:
    """The same, in which the allow of everything covers two labels only, so that there is something to widen."""
    first, *others = document.flow
    return replace(document, flow=(replace(first, labels=frozenset(random.sample(LABELS, 2))), *others))


@law(30)
@given(
    worlds,
    flow_rules("deny"),
    st.one_of(st.just(OPEN), flow_rules("allow", layers=("one more",))),
    st.sampled_from(LABELS),
)
def test_invariant_2_one_more_label_deny_or_layer_never_widens(
    drawn: World, deny: FlowRule, layer: FlowRule, label: str
) -> None:
    rules, random = drawn
    document, asked, fates = (
        partly(sending(rules, random), random),
        labelled(asked_of(random)),
        fates_of(random, FAILING),
    )
    before = explained(document, asked)
    narrower = {
        "label": (document, replace(asked, labels=asked.labels | {label})),
        "deny": (more(document, deny), asked),
        "layer": (more(document, layer), asked),
    }
    for narrowed, asked_then in narrower.values():
        assert_narrower(explained(narrowed, asked_then), before)
        assert set(reached(narrowed, asked_then, fates)) <= allowed(before)


@law(20)
@given(worlds)
def test_invariant_2_order_of_flow_rules_never_matters(drawn: World) -> None:
    rules, random = drawn
    document, asked, fates = sending(rules, random), asked_of(random), fates_of(random)
    shuffled = replace(document, flow=tuple(random.sample(document.flow, len(document.flow))))
    before, after = explained(document, asked), explained(shuffled, asked)
    assert (after.outcome, after.plan, allowed(after)) == (before.outcome, before.plan, allowed(before))
    assert reached(shuffled, asked, fates) == reached(document, asked, fates)


@law(20)
@given(worlds)
def test_invariant_2_a_deny_beats_every_allow(drawn: World) -> None:
    rules, random = drawn
    document, asked = sending(rules, random), asked_of(random)
    to = random.choice((*document.recipients, "device", "house", "partner"))
    deny = FlowRule(id="deny", effect="deny", labels=None, to=frozenset({to}))
    denied = document.reached(frozenset({to}))
    assert not allowed(explained(more(document, deny), asked)) & denied
    assert not denied & {*reached(more(document, deny), asked, fates_of(random, FAILING))}
