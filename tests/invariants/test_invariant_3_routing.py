"""Invariant 3: routing cannot weaken privacy. Whatever fails, whoever gets anything was allowed to have just that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from tests.invariants.support import (
    MAIL,
    Asked,
    Mail,
    Recipients,
    Sent,
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
    state,
    worlds,
)
from tests.policy.random_policies import NAMES
from tests.policy.reading import expected_allowed, expected_obligations

from ringfence.policy.document import Budget, Document


def some_budget(random: Random) -> tuple[Budget, ...]:
    of = frozenset(random.sample((*NAMES, "house", "partner"), 3))
    budget = Budget(id="budget", of=of, limit=random.choice((1.0, 2.0)), unit="requests", per="total")
    return (budget,) if random.random() < 0.4 else ()


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    with cel(), state(), detectors(mail=Mail()):
        yield


def check(document: Document, asked: Asked, one: Sent) -> None:
    """That flow lets its recipient have exactly this, with every obligation met."""
    facts = asked.meant(one.said if one.continues else "")
    assert one.to in expected_allowed(document, facts)
    obligations, redact = expected_obligations(document, one.to, facts)
    assert "attest" not in obligations
    assert one.consented or "consent" not in obligations
    assert asked.to is None or one.to in asked.to
    if "contact" in redact:
        assert not MAIL.search(one.texts)
    if redact.keys() & asked.labels - facts_found(asked):
        assert asked.text not in one.texts


def facts_found(asked: Asked) -> frozenset[str]:
    """The labels of spans in its text: what is declared beyond them stands for all of it."""
    return frozenset({"contact"} if MAIL.search(asked.text) else ())


@law(60)
@given(worlds)
def test_invariant_3_whoever_gets_anything_was_allowed_exactly_that(drawn: World) -> None:
    rules, random = drawn
    limits = some_budget(random)
    document = replace(sending(rules, random), budgets=limits)
    asked = asked_of(random)
    world = Recipients(fates_of(random), random.choice(((), (), ("own",), ("mlx", "openai"))))
    with state():
        run(ask(world, policy_of(document), asked, stream=random.random() < 0.5))
    for one in world.sent:
        check(document, asked, one)
    for budget in limits:
        under = [one for one in world.sent if one.to in document.reached(budget.of)]
        assert len(under) <= budget.limit
    assert len(world.asked) == len(set(world.asked)), "nobody is asked twice about one recipient"
