"""The receipt's rules are the verdict's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy import Facts, read_policy

POLICY = read_policy(
    """
version: 1
recipients:
  a: {ring: device, provider: p, model: m}
  b: {ring: house, provider: p, model: m}
labels:
  x: {declare: true}
  y: {declare: true}
  u: {}
unknown: u
flow:
  - {id: all-device, allow: {labels: "*", to: [device]}}
  - {id: x-a, allow: {labels: [x], to: [a]}}
  - {id: x-house, allow: {labels: [x], to: [house]}}
  - {id: y-house, allow: {labels: [y], to: [b]}, when: {task: [rewrite]}}
route:
  - {id: r, prefer: [a, b]}
""",
    source="test",
)


@given(labels=st.frozensets(st.sampled_from(["x", "y", "u"]), min_size=1), task=st.sampled_from(["rewrite", "other"]))
def test_the_rules_that_allow_a_step_are_those_of_its_verdict(labels: frozenset[str], task: str) -> None:
    decision = POLICY.decide(Facts(task=task, labels=labels, input_tokens=1))
    for step in decision.plan:
        assert decision.allowing(step.recipient) == decision.recipients[step.recipient].rules
