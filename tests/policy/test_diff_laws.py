"""What a comparison of two files says holds for every request: the two interpreters are asked, part by part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.policy import drawn_policies as drawn

from ringfence.policy.compiled import Compiled
from ringfence.policy.decision import REDACTIONS, Decision, Step
from ringfence.policy.document import Document, RouteRule
from ringfence.policy.prove.comparison import compare


def compiled(document: Document) -> Compiled:
    everywhere = RouteRule(id="all", prefer=tuple(document.recipients))
    return Compiled(replace(document, route=(everywhere,)), name="drawn", digest="")


@dataclass(frozen=True, slots=True)
class Decided:
    """What one file decides for a request of some parts."""

    document: Document
    decision: Decision

    def step(self, name: str) -> Step | None:
        return next((step for step in self.decision.plan if step.recipient == name), None)

    def strictness(self, name: str, part: drawn.Part, hit: str | None) -> int:
        """How strictly what one detector finds in a part is redacted, or where there is no hit the text around it.

        Text is redacted for the labels of its span, and for those of its part that no span has.
        """
        span = replace(part, hits=frozenset({hit} if hit else ())).found(self.document)
        labels = span | part.labels(self.document) - part.found(self.document)
        step = self.step(name)
        kinds = dict(step.redact) if step is not None else {}
        return max((REDACTIONS.index(kinds[label]) + 1 for label in labels if label in kinds), default=0)


def further(was: Decided, now: Decided, name: str, parts: Iterable[drawn.Part]) -> bool:
    """Whether a request goes further to `name` than it went."""
    step, before = now.step(name), was.step(name)
    if step is None or before is None:
        return step is not None
    if any(what in before.obligations and what not in step.obligations for what in ("consent", "attest")):
        return True
    return any(
        now.strictness(name, part, hit) < was.strictness(name, part, hit)
        for part in parts
        for hit in (None, *part.hits)
    )


def moving(before: Document, after: Document, random: Random) -> Iterable[str]:
    """The recipients to which random requests go further."""
    old, new = compiled(before), compiled(after)
    for _ in range(60):
        parts = [drawn.part(random) for _ in range(random.randint(1, 2))]
        request = drawn.request(random)
        was, now = (
            Decided(one, rules.decide(replace(request, labels=frozenset[str]().union(*(p.labels(one) for p in parts)))))
            for one, rules in ((before, old), (after, new))
        )
        yield from (name for name in drawn.RINGS_OF if further(was, now, name, parts))


@given(st.integers(0, 2**32))
def test_a_recipient_that_only_narrows_gets_no_request_that_it_did_not_get_before(seed: int) -> None:
    random = Random(seed)
    before = drawn.edited(random, drawn.document(random))
    after = drawn.edited(random, before)
    comparison = compare(before, after)
    outward = {row.name for row in comparison.rows if row.outward is not None}
    assert set(moving(before, after, random)) <= outward


@given(st.integers(0, 2**32))
def test_a_file_beside_itself_only_narrows(seed: int) -> None:
    random = Random(seed)
    document = drawn.edited(random, drawn.document(random, cel=True))
    comparison = compare(document, document)
    assert comparison.only_narrows
    assert not any(row.narrower for row in comparison.rows)


@given(st.integers(0, 2**32))
def test_one_more_deny_and_one_layer_more_only_narrow(seed: int) -> None:
    random = Random(seed)
    before = drawn.document(random)
    rule = drawn.flow_rule(random, 100, cel=False)
    deny = replace(rule, effect="deny", consent=False, redact=None, layer="")
    layer = replace(rule, effect="allow", layer="device profile")
    for more in (deny, layer):
        assert compare(before, replace(before, flow=(*before.flow, more))).only_narrows
