"""What `policy check` shows of where labels go, held against decisions on random policies."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.policy.random_policies import LABELS, NAMES, documents, open_documents, policy_of, requests

from ringfence.policy import Facts
from ringfence.policy.conditions import Cel, Condition, matchers
from ringfence.policy.document import Document
from ringfence.policy.reach import ways

WORDS = {True: ("always", "sometimes"), False: ("never", "sometimes")}


def has_cel(when: Condition | None) -> bool:
    return when is not None and any(isinstance(found, Cel) for found in matchers(when))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(documents(), open_documents()), requests())
def test_where_a_label_may_go_is_what_decisions_say(document: Document, request: Facts) -> None:
    plain = replace(
        document,
        flow=tuple(rule for rule in document.flow if not has_cel(rule.when)),
        route=(replace(document.route[-1], prefer=NAMES, fallback=(), overflow=None),),
    )
    policy, reach = policy_of(plain), ways(plain)
    for label in LABELS:
        decision = policy.decide(replace(request, labels=frozenset({label}), to=None))
        steps = {step.recipient: step for step in decision.plan}
        for name in NAMES:
            way = reach[label].get(name)
            if name not in steps:
                assert way is None or way.denied or way.conditional
                continue
            assert way is not None
            assert not way.denied
            step = steps[name]
            assert way.consent in WORDS["consent" in step.obligations]
            assert way.redacted in WORDS["redact" in step.obligations]
            assert {kind for _, kind in step.redact} <= set(way.kinds)
