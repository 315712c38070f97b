"""Invariants of a file: proved when it is loaded, or refused with the plainest request for which they do not hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ringfence.cli.root import root
from ringfence.errors import PolicyInvalid
from ringfence.policy import Document, read_policy
from ringfence.policy.conditions import AllOf, AnyOf, Cel, Condition, Fact, FactIn, FactRange, Range, fact_names
from ringfence.policy.document import FlowRule, Invariant
from ringfence.policy.prove import prove

HEAD = """\
version: 1
recipients:
  mlx:    {ring: device, provider: mlx, model: small}
  own:    {ring: house, provider: house, model: large}
  rented: {ring: house, provider: house, model: large}
  openai: {ring: partner, provider: openai, model: gpt}
facts:
  user.age: {type: enum, values: [adult, minor]}
  user.level: {type: int, min: 0, max: 9}
labels: {public: {}, contact: {declare: true}, health: {declare: true}, unclassified: {}}
unknown: unclassified
tools:
  search: {ring: partner}
flow:
"""
ROUTE = """\
route:
  - {id: all, prefer: [mlx, own, openai]}
"""


def policy(flow: str, invariant: str, route: str = ROUTE) -> str:
    rules = "".join(f"  - {{{rule}}}\n" for rule in flow.splitlines())
    return f"{HEAD}{rules}{route}invariants:\n  - {invariant}\n"


def fault(text: str) -> str:
    """What is said of the one fault of a file, without its place."""
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text)
    (line,) = caught.value.faults
    return line.partition(": ")[2]


REFUTED: Mapping[str, tuple[str, str, str]] = {
    "a label reaches a recipient": (
        "id: x, allow: {labels: [health], to: [openai]}, consent: ask",
        "never: {labels: [health], to: [partner]}",
        "labels=[health] task=open_question reaches openai by rule 'x'",
    ),
    "of several labels the one that leaks is named": (
        "id: x, allow: {labels: '*', to: [house]}\nid: y, deny: {labels: [contact], to: [house]}",
        "never: {labels: [contact, health], to: [house]}",
        "labels=[health] task=open_question reaches own by rule 'x'",
    ),
    "a fact that matters is named": (
        "id: x, allow: {labels: '*', to: [own]}, when: {user.age: [minor]}",
        "never: {labels: [health], to: [house]}",
        "labels=[health] task=open_question user.age=minor reaches own by rule 'x'",
    ),
    "the bound that is just passed is named": (
        (
            "id: x, allow: {labels: '*', to: [own]}\nid: y, deny: {labels: [health], to: [own]}, "
            "when: {input_tokens: {max: 1500}}"
        ),
        "never: {labels: [health], to: [house]}",
        "labels=[health] task=open_question input_tokens=1501 reaches own by rule 'x'",
    ),
    "a fact that the deny does not catch": (
        "id: x, allow: {labels: '*', to: [own]}\nid: y, deny: {labels: '*', to: [own]}, when: {user.level: {over: 3}}",
        "never: {labels: [health], to: [house]}",
        "labels=[health] task=open_question user.level=0 reaches own by rule 'x'",
    ),
    "another task where the usual one is safe": (
        "id: x, allow: {labels: '*', to: [own]}, when: {task: [rewrite, other]}",
        "never: {labels: [health], to: [house]}",
        "labels=[health] task=rewrite reaches own by rule 'x'",
    ),
    "a modality where it matters": (
        "id: x, allow: {labels: '*', to: [own]}, when: {modality: [image]}",
        "never: {labels: [health], to: [house]}",
        "labels=[health] task=open_question modality=[image] reaches own by rule 'x'",
    ),
    "every rule that lets it through": (
        "id: x, allow: {labels: '*', to: [own]}\nid: y, allow: {labels: [health], to: [house]}",
        "never: {labels: [health], to: [own]}",
        "labels=[health] task=open_question reaches own by rules 'x' and 'y'",
    ),
    "redaction under a condition": (
        (
            "id: x, allow: {labels: '*', to: [own]}\nid: y, allow: {labels: [health], to: [own]}, redact: mask, "
            "when: {task: [rewrite]}"
        ),
        "never: {labels: [health], to: [house], unless: redacted}",
        "labels=[health] task=open_question reaches own with health not redacted by rule 'x'",
    ),
    "no consent": (
        "id: x, allow: {labels: '*', to: [own]}",
        "consent: {to: [house]}",
        "labels=[contact] task=open_question reaches own without consent by rule 'x'",
    ),
    "a tool is a recipient too": (
        "id: x, allow: {labels: [health], to: [partner]}, consent: ask\nid: y, deny: {labels: '*', to: [openai]}",
        "never: {labels: [health], to: [partner]}",
        "labels=[health] task=open_question reaches tool search",
    ),
    "a plan that leads elsewhere": (
        "id: x, allow: {labels: [public], to: [device, house]}",
        "only: {task: [rewrite], to: [device]}",
        "labels=[public] task=rewrite reaches own by route 'all'",
    ),
}


@pytest.mark.parametrize("case", REFUTED.values(), ids=REFUTED.keys())
def test_an_invariant_that_does_not_hold_refuses_the_file_with_a_request(case: tuple[str, str, str]) -> None:
    flow, invariant, says = case
    message = fault(policy(flow, invariant))
    assert message.startswith('invariant "')
    assert message.endswith(f'" does not hold: {says}.')


ONLY_BY_LABELS = """\
route:
  - {id: private, when: {labels: [health]}, prefer: [own]}
  - {id: other, prefer: [mlx]}
"""
PROVED: Mapping[str, tuple[str, str, str]] = {
    "nothing allows it": ("id: x, allow: {labels: '*', to: [own]}", "never: {labels: [health], to: [partner]}", ROUTE),
    "a deny beats the allow": (
        "id: x, allow: {labels: '*', to: [own]}\nid: y, deny: {labels: [health], to: [house]}",
        "never: {labels: [health], to: [house]}",
        ROUTE,
    ),
    "a deny that cannot be evaluated fires": (
        (
            "id: x, allow: {labels: '*', to: [own]}\nid: y, deny: {labels: '*', to: [own]}, when: {user.age: [minor]}"
            "\nid: z, deny: {labels: '*', to: [own]}, when: {not: {user.age: [minor]}}"
        ),
        "never: {labels: [health], to: [house]}",
        ROUTE,
    ),
    "two bounds leave no number between them": (
        (
            "id: x, allow: {labels: '*', to: [own]}, when: {input_tokens: {max: 100}}\n"
            "id: y, deny: {labels: '*', to: [own]}, when: {not: {input_tokens: {over: 100}}}"
        ),
        "never: {labels: [health], to: [house]}",
        ROUTE,
    ),
    "every allow that counts obliges": (
        "id: x, allow: {labels: [health], to: [own]}\nid: y, allow: {labels: '*', to: [house]}, redact: mask",
        "never: {labels: [health], to: [own], unless: redacted}",
        ROUTE,
    ),
    "what flow refuses is in no plan": (
        "id: x, allow: {labels: '*', to: [device]}",
        "only: {to: [device]}",
        ROUTE,
    ),
    "a route that reads labels": (
        "id: x, allow: {labels: '*', to: [device]}\nid: y, allow: {labels: [public, contact], to: [own]}",
        "only: {to: [device]}",
        ONLY_BY_LABELS,
    ),
}


@pytest.mark.parametrize("case", PROVED.values(), ids=PROVED.keys())
def test_an_invariant_that_holds_is_proved(case: tuple[str, str, str]) -> None:
    flow, invariant, route = case
    assert len(read_policy(policy(flow, invariant, route)).document.invariants) == 1


def test_a_plan_that_only_two_labels_together_lead_to_is_found() -> None:
    flow = "id: x, allow: {labels: '*', to: [device]}\nid: y, allow: {labels: [health, public], to: [own]}"
    found = fault(policy(flow, "only: {labels: [public], to: [device]}", ONLY_BY_LABELS))
    assert found.endswith("does not hold: labels=[health, public] task=open_question reaches own by route 'private'.")


def test_the_place_is_that_of_the_invariant() -> None:
    text = policy("id: x, allow: {labels: '*', to: [own]}", "never: {labels: [health], to: [house]}")
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text, source="policy.yaml")
    line = text.splitlines().index("  - never: {labels: [health], to: [house]}") + 1
    assert caught.value.faults[0].startswith(f"policy.yaml:{line}:5: invariant ")


@pytest.mark.parametrize(("tasks", "holds"), [({"other"}, True), ({"rewrite"}, False), (None, False)])
def test_a_deny_with_cel_applies_to_a_task_that_the_file_does_not_know_and_else_may_be_false(
    tasks: set[str] | None, holds: bool
) -> None:
    base = read_policy(policy("id: x, allow: {labels: '*', to: [own]}", "only: {to: [device, own]}")).document
    deny = FlowRule(id="cel", effect="deny", labels=None, to=frozenset({"own"}), when=Cel("task == 'rewrite'"))
    never = Invariant(kind="never", to=frozenset({"own"}), tasks=None if tasks is None else frozenset(tasks))
    (proof,) = prove(replace(base, flow=(*base.flow, deny), invariants=(never,)))
    assert proof.holds == holds
    if proof.counterexample is not None:
        assert "cel \"task == 'rewrite'\"=false" in proof.counterexample.says


def test_invariant_a_counterexample_that_the_interpreter_does_not_confirm_is_never_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan(*_: object) -> tuple[()]:
        return ()

    monkeypatch.setattr("ringfence.policy.compiled.Compiled._plan", plan)
    for invariant in ("never: {labels: [health], to: [house]}", "only: {to: [device]}"):
        with pytest.raises(AssertionError, match="does not confirm"):
            read_policy(policy("id: x, allow: {labels: '*', to: [own]}", invariant))


# ---------------------------------------------------------------- what is too hard


def document_with(*parts: Condition) -> Document:
    """A document that lets health into the house where any of `parts` holds; its invariant is that none does."""
    base = read_policy(policy("id: x, allow: {labels: '*', to: [device]}", "only: {to: [device]}")).document
    rule = FlowRule(id="some", effect="allow", labels=None, to=frozenset({"own"}), when=AnyOf(parts))
    never = Invariant(kind="never", labels=frozenset({"health"}), to=frozenset({"house"}))
    names = {name: Fact(type="bool") for part in parts for name in fact_names(part)}
    return replace(base, facts=names, flow=(*base.flow, rule), invariants=(never,))


def is_true(number: int) -> Condition:
    return FactIn(f"user.f{number:04}", frozenset({True}))


def test_what_is_too_hard_to_prove_is_not_proved() -> None:
    # Sums of products of variables that stand far apart: no order of few of them keeps the diagram small.
    pairs = (AllOf((is_true(number), is_true(number + 16))) for number in range(16))
    (proof,) = prove(document_with(*pairs), limit=20_000)
    assert proof.too_hard
    assert not proof.holds


def test_more_variables_than_python_has_frames_are_too_hard() -> None:
    (proof,) = prove(document_with(*(is_true(number) for number in range(3_000))))
    assert proof.too_hard


def test_a_file_whose_invariant_is_too_hard_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.policy.prove.invariants.prove", partial(prove, limit=1))
    text = policy(
        "id: x, allow: {labels: '*', to: [own]}, when: {user.age: [minor]}", "never: {labels: [health], to: [house]}"
    )
    assert fault(text) == (
        'invariant "never health to house" is too hard to prove: simplify the conditions of the rules.'
    )


def test_numbers_at_their_bounds_are_told_apart() -> None:
    base = read_policy(policy("id: x, allow: {labels: '*', to: [device]}", "only: {to: [device]}")).document
    least = 2**60
    fact = Fact(type="int", min=least)
    rule = FlowRule(
        id="x",
        effect="allow",
        labels=None,
        to=frozenset({"own"}),
        when=FactRange("user.big", Range(max=least)),
    )
    never = Invariant(kind="never", labels=frozenset({"health"}), to=frozenset({"house"}))
    document = replace(base, facts={"user.big": fact}, flow=(rule,), invariants=(never,))
    (proof,) = prove(document)
    assert proof.counterexample is not None
    assert proof.counterexample.facts.values == {"user.big": least}


# ---------------------------------------------------------------- the command


def run(*arguments: str) -> Any:
    return CliRunner().invoke(root, ["policy", "prove", *arguments])


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(policy("id: x, allow: {labels: '*', to: [own]}", "never: {labels: [health], to: [house]}"))
    return str(path)


def test_prove_shows_every_invariant_and_a_request_against_it(leaky: str) -> None:
    result = run(leaky)
    assert result.exit_code == 1
    assert "✗ never health to house" in result.stdout
    assert "labels=[health] task=open_question reaches own by rule 'x'" in result.stdout
    assert "✓ every policy: nothing to a partner without consent" in result.stdout
    assert "covers the rules, not the detectors" in result.stdout


def test_prove_in_json_holds_the_request(leaky: str) -> None:
    result = run(leaky, "--json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    (invariant,) = shown["invariants"]
    assert (shown["ok"], invariant["verdict"]) == (False, "does not hold")
    assert invariant["counterexample"]["recipient"] == "own"
    assert invariant["counterexample"]["labels"] == ["health"]


def test_prove_of_a_file_whose_invariants_hold(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(policy("id: x, allow: {labels: '*', to: [device]}", "only: {to: [device]}"))
    result = run(str(path))
    assert result.exit_code == 0
    assert "2 of 2 invariants proved" in result.stdout


def test_prove_of_a_faulty_file_lists_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\n")
    assert run(str(path)).exit_code == 1
    assert run(str(tmp_path / "nothing.yaml")).exit_code == 2
