"""What a comparison of two files says holds for every request: the two interpreters are asked, part by part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy import drawn_policies as drawn

from ringfence.policy.compiled import Compiled
from ringfence.policy.decision import REDACTIONS, Decision
from ringfence.policy.document import Document, RouteRule
from ringfence.policy.prove import compare

NAMES = tuple(drawn.RINGS_OF)


def compiled(document: Document) -> Compiled:
    everywhere = RouteRule(id="all", prefer=tuple(document.recipients))
    return Compiled(replace(document, route=(everywhere,)), name="drawn", digest="")


def further(before: Decision, after: Decision, name: str) -> bool:
    """Whether the request goes further to `name` after than before, its redaction aside."""
    steps = [next((step for step in one.plan if step.recipient == name), None) for one in (before, after)]
    was, now = steps
    if now is None or was is None:
        return now is not None
    return any(what in was.obligations and what not in now.obligations for what in ("consent", "attest"))


def strictness(decision: Decision, name: str, labels: Iterable[str]) -> int:
    """How strictly content with `labels` is redacted for a recipient of the plan."""
    (step,) = (step for step in decision.plan if step.recipient == name)
    kinds = dict(step.redact)
    return max((REDACTIONS.index(kinds[label]) + 1 for label in labels if label in kinds), default=0)


def less_redacted(before: Document, after: Document, was: Decision, now: Decision, name: str, part: drawn.Part) -> bool:
    """Whether some of a part that every detector scanned is redacted less. Both decisions allow `name`."""
    if part.failing:
        return False
    for hit in [None, *part.hits]:
        alone = replace(part, hits=frozenset({hit} if hit else ()))
        old, new = (alone.declared | alone.found(one) or part.labels(one) for one in (before, after))
        if strictness(now, name, new) < strictness(was, name, old):
            return True
    return False


def moving(before: Document, after: Document, random: Random) -> Iterable[str]:
    """The recipients to which random requests go further."""
    old, new = compiled(before), compiled(after)
    for _ in range(60):
        parts = [drawn.part(random) for _ in range(random.randint(1, 2))]
        request = drawn.request(random)
        facts_before, facts_after = (
            replace(request, labels=frozenset[str]().union(*(part.labels(one) for part in parts)))
            for one in (before, after)
        )
        was, now = old.decide(facts_before), new.decide(facts_after)
        for name in NAMES:
            if further(was, now, name) or ({name} <= {step.recipient for step in was.plan} & {step.recipient for step in now.plan} and any(
                less_redacted(before, after, was, now, name, part) for part in parts
            )):
                yield name


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_a_recipient_that_only_narrows_gets_no_request_that_it_did_not_get_before(seed: int) -> None:
    random = Random(seed)
    before = drawn.edited(random, drawn.document(random))
    after = drawn.edited(random, before)
    comparison = compare(before, after)
    outward = {row.name for row in comparison.rows if row.outward is not None}
    assert set(moving(before, after, random)) <= outward


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_file_beside_itself_only_narrows(seed: int) -> None:
    random = Random(seed)
    document = drawn.edited(random, drawn.document(random, cel=True))
    comparison = compare(document, document)
    assert comparison.only_narrows
    assert not any(row.narrower for row in comparison.rows)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_one_more_deny_and_one_layer_more_only_narrow(seed: int) -> None:
    random = Random(seed)
    before = drawn.document(random)
    rule = drawn.flow_rule(random, 100, cel=False)
    deny = replace(rule, effect="deny", consent=False, redact=None, layer="")
    layer = replace(rule, effect="allow", layer="device profile")
    for more in (deny, layer):
        assert compare(before, replace(before, flow=(*before.flow, more))).only_narrows
