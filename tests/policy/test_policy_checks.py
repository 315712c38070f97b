"""Rules that can never matter are found, and no other is: the check against trying every request."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.policy import Facts, check_file, read_policy
from ringfence.policy.checks import check_document
from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Fact,
    FactIn,
    FactRange,
    ModalityIn,
    Not,
    Range,
    TaskIn,
    TokensIn,
)
from ringfence.policy.evaluate import compile_condition
from ringfence.policy.faults import Faults
from ringfence.policy.satisfiable import Domains
from ringfence.policy.warnings import find_warnings

FACTS = {
    "user.age": Fact(type="enum", values=("adult", "minor")),
    "user.staff": Fact(type="bool"),
    "user.level": Fact(type="int", min=0, max=2),
}
DOMAINS = Domains(tasks=frozenset({"rewrite", "embed"}), facts=FACTS)


def ranges() -> st.SearchStrategy[Range]:
    bound = st.one_of(st.none(), st.integers(-1, 3))
    return st.builds(Range, over=bound, max=bound)


def subsets(*members: Any) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(st.sampled_from(members), min_size=1)


LEAVES: st.SearchStrategy[Condition] = st.one_of(
    subsets("rewrite", "embed", "other").map(TaskIn),
    subsets("text", "image").map(ModalityIn),
    ranges().map(TokensIn),
    subsets("adult", "minor").map(lambda values: FactIn("user.age", values)),
    subsets(True, False).map(lambda values: FactIn("user.staff", values)),
    ranges().map(lambda bounds: FactRange("user.level", bounds)),
)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> Condition:
    kind = draw(st.sampled_from(["leaf", "all", "any", "not"])) if depth else "leaf"
    if kind == "leaf":
        return draw(LEAVES)
    if kind == "not":
        return Not(draw(conditions(depth - 1)))
    parts = tuple(draw(st.lists(conditions(depth - 1), min_size=1, max_size=3)))
    return AllOf(parts) if kind == "all" else AnyOf(parts)


def every_request() -> Iterator[Facts]:
    values: list[list[Any]] = [["adult", "minor", None], [True, False, None], [0, 1, 2, None]]
    modalities: list[frozenset[Any]] = [frozenset(), *map(frozenset, (["text"], ["image"], ["text", "image"]))]
    tasks = ["rewrite", "embed", "other"]
    for task, tokens, modality, facts in product(tasks, range(5), modalities, product(*values)):
        known = {name: value for name, value in zip(FACTS, facts, strict=True) if value is not None}
        yield Facts(task=task, labels=frozenset(), input_tokens=tokens, modality=modality, values=known)


REQUESTS = tuple(every_request())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditions())
def test_what_can_be_true_is_what_some_request_makes_true(condition: Condition) -> None:
    test = compile_condition(condition, FACTS)
    found = {test(request) for request in REQUESTS}
    assert bool(DOMAINS.true(condition)) == (True in found)
    assert bool(DOMAINS.not_true(condition)) == (not found <= {True})
    assert bool(DOMAINS.not_false(condition)) == (not found <= {False})


HEAD = """version: 1
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  own: {ring: house, provider: no-such-provider, model: m}
facts: {user.age: {type: enum, values: [adult, minor]}, user.level: {type: int}}
labels: {public: {}, work: {detect: [no_such_kind]}, unclassified: {}}
unknown: unclassified
"""
FLOW = """flow:
  - {id: any, allow: {labels: "*", to: [device, house]}}
"""
ROUTE = "route: [{id: all, prefer: [mlx, own]}]\n"


def routes(*conditions: str) -> str:
    rules = [f"  - {{id: r{index}, prefer: [mlx], when: {when}}}" for index, when in enumerate(conditions)]
    return HEAD + FLOW + "\n".join(["route:", *rules, "  - {id: last, prefer: [mlx, own]}"])


REACHABLE = {
    "different tasks": ("{task: [rewrite]}", "{task: [embed]}"),
    "overlapping": ("{input_tokens: {max: 100}}", "{input_tokens: {max: 200}}"),
    "narrower first": ("{task: [rewrite], input_tokens: {max: 1}}", "{task: [rewrite]}"),
    "not evaluable": ("{user.age: [adult, minor]}", "{input_tokens: {max: 9}}"),
    "a fact and its absence": ("{user.age: [adult]}", "{not: {user.age: [adult]}}"),
    "every size, and the last stays": ("{input_tokens: {max: 100}}", "{input_tokens: {over: 100}}"),
    "labels": ("{labels: [public]}", "{labels: [work]}", "{not: {labels: [public, work]}}"),
}


@pytest.mark.parametrize("conditions", REACHABLE.values(), ids=REACHABLE)
def test_a_route_that_some_request_reaches_is_no_fault(conditions: tuple[str, ...]) -> None:
    assert len(read_policy(routes(*conditions)).document.route) == len(conditions) + 1


def test_many_routes_are_checked_in_bounded_time() -> None:
    conditions = [f"{{task: [rewrite], input_tokens: {{max: {size}}}, user.age: [adult]}}" for size in range(120)]
    document = read_policy(routes(*conditions)).document
    faults = Faults()
    check_document(document, faults)
    assert not faults.found


def warnings_of(text: str) -> list[str]:
    return [warning.message for warning in find_warnings(read_policy(text).document)]


def test_a_provider_or_detector_that_is_not_installed_is_a_warning() -> None:
    assert warnings_of(HEAD + FLOW + ROUTE) == [
        "provider 'no-such-provider' is not installed, so 'own' is unavailable.",
        "no detector for 'no_such_kind' is installed: every text carries 'unclassified'.",
    ]


@pytest.mark.parametrize(
    ("rule", "warning"),
    [
        (
            "{id: x, allow: {labels: [work], to: [house]}, require: {retention: none, region: [eu, ch]}}",
            "rule 'x' requires retention none and region ch or eu, which no recipient that it names declares.",
        ),
        ('{id: x, deny: {labels: "*", to: [device, own]}}', "rule 'any' allows nothing: rule 'x' denies all of it."),
    ],
)
def test_a_rule_without_effect_is_a_warning(rule: str, warning: str) -> None:
    assert warning in warnings_of(HEAD + FLOW + f"  - {rule}\n" + ROUTE)


def test_a_recipient_in_no_route_is_a_warning() -> None:
    text = HEAD + FLOW + ROUTE.replace("[mlx, own]", "[mlx]")
    assert "recipient 'own' is in no route, so nothing is ever sent to it." in warnings_of(text)


def test_a_recipient_that_nothing_may_reach_is_a_warning() -> None:
    text = HEAD + FLOW.replace("[device, house]", "[device]") + ROUTE
    assert "recipient 'own' is in a route, but no rule under flow: allows anything to reach it." in warnings_of(text)


UNDETECTED = """version: 1
recipients:
  mlx: {ring: device, provider: mlx, model: small}
  server: {ring: house, provider: house, model: large}
  big: {ring: house, provider: house, model: larger}
labels:
  public: {}
  contact: {detect: [email]}
  health: {declare: true}
  unclassified: {}
unknown: unclassified
clean: public
flow:
  - {id: own, allow: {labels: "*", to: [device]}}
  - {id: open, allow: {labels: [public], to: [house]}}
route: [{id: all, prefer: [mlx, server, big]}]
"""
FALSE_SAFETY = (
    "nothing detects 'health': a text that nobody labels counts as 'public' and may reach 'server' and 'big'."
)


def test_a_label_that_nothing_detects_is_a_warning_at_the_label(tmp_path: Any) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(UNDETECTED)
    assert f"{path}:9:3: warning: {FALSE_SAFETY}" in check_file(path).warning_lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clean: public\n", ""),
        ("labels: [public], to", 'labels: "*", to'),
        ("labels: [public], to", "labels: [public, health], to"),
        ("{declare: true}", "{declare: true, detect: [phone]}"),
    ],
    ids=["nothing is found clean", "every label may go there", "it may go there too", "it is detected"],
)
def test_a_label_is_no_warning_where_silence_sends_it_no_further(old: str, new: str) -> None:
    assert "nothing detects" not in " ".join(warnings_of(UNDETECTED.replace(old, new)))


def test_warnings_have_places_and_keep_nothing_from_loading(tmp_path: Any) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(HEAD + FLOW + ROUTE)
    report = check_file(path)
    assert report.policy is not None
    assert [line.split(": ")[0] for line in report.warning_lines] == [f"{path}:4:3", f"{path}:6:22"]
