"""Conditions of routes that are hard to check: the check gives up, and the policy loads."""

from __future__ import annotations

import time

import pytest

from ringfence.errors import PolicyInvalid
from ringfence.policy import read_policy
from ringfence.policy.satisfiable import MAX_STEPS, Domains, Steps, TooMany

HEAD = """version: 1
name: hostile
recipients: {near: {ring: device, provider: mlx, model: m}}
labels: {public: {}, unknown: {}}
unknown: unknown
flow: [{id: d, allow: {labels: "*", to: [device]}}]
"""
FACTS = "facts:\n" + "".join(f"  user.f{number}: {{type: bool}}\n" for number in range(40))
LAST = "  - {id: z, prefer: [near]}\n"


def _parity(count: int) -> str:
    return "route:\n" + "".join(
        f"  - {{id: q{i}, prefer: [near], when: {{any: ["
        + ", ".join(
            f"{{all: [{{user.f{(i + j) % 40}: true}}, {{user.f{(i * 3 + j * 5 + 1) % 40}: false}}]}}" for j in range(16)
        )
        + "]}}\n"
        for i in range(count)
    )


def test_routes_that_are_hard_to_compare_load(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = Steps.take

    def noted(self: Steps, steps: int) -> None:
        take(self, steps)
        taken.append(steps)

    monkeypatch.setattr(Steps, "take", noted)
    began = time.process_time()
    assert read_policy(HEAD + FACTS + _parity(60) + LAST).name == "hostile"
    assert time.process_time() - began < 20
    assert sum(taken) <= MAX_STEPS


def test_without_steps_left_nothing_is_said_of_a_rule() -> None:
    domains = Domains(tasks=frozenset(), facts={}, steps=Steps(3))
    with pytest.raises(TooMany):
        domains.both(({}, {}), ({}, {}))


def test_a_rule_behind_one_that_matches_all_it_does_is_still_a_fault() -> None:
    routes = (
        "route:\n  - {id: a, prefer: [near], when: {user.f0: true}}\n"
        "  - {id: b, prefer: [near], when: {all: [{user.f0: true}, {user.f1: true}]}}\n"
    )
    with pytest.raises(PolicyInvalid, match="rule 'b' can never be reached"):
        read_policy(HEAD + FACTS + routes + LAST)
