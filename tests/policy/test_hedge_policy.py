"""`hedge:` of a route: how it is written, where it stands in a decision, and what check, diff and prove say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from ringfence.cli.root import root
from ringfence.errors import PolicyInvalid
from ringfence.policy import Facts, Policy, json_schema, read_policy
from ringfence.policy.document import Document
from ringfence.policy.prove.comparison import compare
from ringfence.policy.warnings import find_warnings

HEAD = """\
version: 1
name: hedging
recipients:
  own: {ring: house, provider: openai, model: m, url: "https://own.example/v1"}
  rented: {ring: house, provider: openai, model: m, url: "https://rented.example/v1"}
  spare: {ring: house, provider: openai, model: m, url: "https://spare.example/v1"}
  out: {ring: partner, provider: openai, model: m}
  mlx: {ring: device, provider: mlx, model: m}
labels: {public: {}, work: {declare: true}, unclassified: {}}
unknown: unclassified
tasks: [minutes]
"""
FLOW = """\
flow:
  - {id: inside, allow: {labels: "*", to: [device, house]}}
  - {id: outside, allow: {labels: [public], to: [partner]}, consent: ask}
"""
HEDGE = "hedge: {to: [rented, spare], after: 2s}"


def text(route: str = f"prefer: [own], {HEDGE}, fallback: [mlx]", *, flow: str = FLOW, more: str = "") -> str:
    return f"{HEAD}{flow}route:\n  - {{id: all, {route}}}\n{more}"


def document(*given: Any, **how: Any) -> Document:
    return read_policy(text(*given, **how)).document


def plan(policy: Policy, *labels: str, task: str = "open_question", to: set[str] | None = None) -> list[Any]:
    facts = Facts(
        task=task, labels=frozenset(labels or {"work"}), input_tokens=1, to=None if to is None else frozenset(to)
    )
    return [(step.recipient, step.stage, step.hedge_after_s) for step in policy.decide(facts).plan]


# ---------------------------------------------------------------- how it is written

FAULTS = {
    "a ring": ("{to: [house], after: 2s}", "names recipients."),
    "nobody": ("{to: [], after: 2s}", "is empty. Name at least one, or leave it out."),
    "misspelt": ("{to: [rentd], after: 2s}", "Did you mean 'rented'?"),
    "itself": ("{to: [own], after: 2s}", "it cannot be its own hedge. Take it out of one of them."),
    "without a time": ("{to: [rented]}", "is missing."),
    "a number": ("{to: [rented], after: 2}", "must be a time such as 2s, not a number."),
    "words": ("{to: [rented], after: soon}", "must be a time such as 2s, not 'soon'."),
    "at once": ("{to: [rented], after: 0s}", "must be from 1s to 10m: how long nothing came from who was asked."),
    "for hours": ("{to: [rented], after: 1h}", "must be from 1s to 10m: how long nothing came from who was asked."),
    "another key": ("{to: [rented], after: 2s, most: 2}", "unknown key 'most'"),
}


@pytest.mark.parametrize(("written", "ends"), FAULTS.values(), ids=FAULTS)
def test_a_hedge_that_makes_no_sense_is_a_fault(written: str, ends: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text(f"prefer: [own], hedge: {written}, fallback: [mlx]"))
    (fault,) = caught.value.faults
    assert ends in fault


def test_a_file_without_a_hedge_has_none() -> None:
    assert document("prefer: [own], fallback: [mlx]").route[0].hedge is None
    assert plan(read_policy(text("prefer: [own]"))) == [("own", "prefer", None)]


@pytest.mark.parametrize(("after", "seconds"), [("1s", 1), ("2 s", 2), ("10m", 600)])
def test_the_time_is_read_as_elsewhere(after: str, seconds: int) -> None:
    hedge = document(f"prefer: [own], hedge: {{to: [rented], after: {after}}}").route[0].hedge
    assert hedge is not None
    assert (hedge.to, hedge.after_s) == (("rented",), seconds)


def test_the_schema_knows_it() -> None:
    valid = jsonschema_rs.Draft202012Validator(json_schema())
    yaml: Any = YAML(typ="safe")
    assert valid.is_valid(yaml.load(text()))
    for written in ("{to: [rented]}", "{to: rented, after: 2s}", "{to: [rented], after: 0s}", "{after: 2s}"):
        assert not valid.is_valid(yaml.load(text(f"prefer: [own], hedge: {written}")))


# ---------------------------------------------------------------- where it stands in a decision

PLANS: dict[str, tuple[str, list[tuple[str, str, int | None]]]] = {
    "alone": (
        f"prefer: [own], {HEDGE}, fallback: [mlx]",
        [("own", "prefer", None), ("rented", "hedge", 2), ("spare", "hedge", 2), ("mlx", "fallback", None)],
    ),
    "overflow too": (
        f"prefer: [own], overflow: {{to: [rented], when_utilisation_over: 0.8}}, {HEDGE}",
        [("own", "prefer", None), ("rented", "overflow", 2), ("spare", "hedge", 2)],
    ),
    "fallback too": (
        f"prefer: [own], {HEDGE}, fallback: [mlx, rented]",
        [("own", "prefer", None), ("spare", "hedge", 2), ("mlx", "fallback", None), ("rented", "fallback", 2)],
    ),
}


@pytest.mark.parametrize(("route", "expected"), PLANS.values(), ids=PLANS)
def test_a_recipient_stands_in_a_plan_once(route: str, expected: list[Any]) -> None:
    assert plan(read_policy(text(route))) == expected


def test_a_hedge_is_in_the_plan_only_where_flow_lets_it_and_another_have_the_request() -> None:
    flow = f"{FLOW}  - {{id: no-rented, deny: {{labels: [work], to: [rented]}}}}\n"
    assert [name for name, _, _ in plan(read_policy(text(flow=flow)))] == ["own", "spare", "mlx"]
    flow = f"{FLOW}  - {{id: no-own, deny: {{labels: [work], to: [own]}}}}\n"
    assert plan(read_policy(text(flow=flow))) == [("mlx", "fallback", None)]
    assert plan(read_policy(text()), to={"rented", "mlx"}) == [("mlx", "fallback", None)]
    assert plan(read_policy(text()), to={"rented"}) == []


def test_overflow_that_is_left_alone_hedges_nobody() -> None:
    route = "prefer: [own], overflow: {to: [rented], when_utilisation_over: 0.8}, hedge: {to: [rented], after: 2s}"
    assert plan(read_policy(text(route)), to={"rented"}) == [("rented", "overflow", None)]


@pytest.mark.parametrize("task", ["image", "embed", "speak"])
def test_what_comes_in_one_piece_is_not_hedged(task: str) -> None:
    assert plan(read_policy(text()), task=task) == [("own", "prefer", None), ("mlx", "fallback", None)]


@pytest.mark.parametrize("task", ["rewrite", "transcribe", "minutes", "never_heard_of"])
def test_every_other_task_is(task: str) -> None:
    assert ("rented", "hedge", 2) in plan(read_policy(text()), task=task)


def test_a_hedge_has_its_own_obligations_and_no_say_in_the_outcome() -> None:
    policy = read_policy(text("prefer: [own], hedge: {to: [out], after: 2s}"))
    decision = policy.decide(Facts(task="rewrite", labels=frozenset({"public"}), input_tokens=1))
    assert decision.outcome == "allow"
    assert [step.obligations for step in decision.plan] == [(), ("consent",)]


def test_explain_says_so(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text(PLANS["overflow too"][0]))
    arguments = ["policy", "explain", str(file), "--label", "work"]
    shown = [" ".join(line.split()) for line in CliRunner().invoke(root, arguments).stdout.splitlines()]
    assert "2. rented overflow of own beyond 80%, hedge after 2 s" in shown
    assert "3. spare hedge after 2 s" in shown
    steps = json.loads(CliRunner().invoke(root, [*arguments, "--json"]).stdout)["plan"]
    assert [step.get("hedge") for step in steps] == [
        None,
        {"after_s": 2, "only": False},
        {"after_s": 2, "only": True},
    ]


# ---------------------------------------------------------------- check, diff, prove

WARNINGS: dict[str, tuple[str, str, str]] = {
    "flow lets nothing reach it": (
        "prefer: [own, mlx], hedge: {to: [rented, spare], after: 2s}",
        '  - {id: x, deny: {labels: "*", to: [rented]}}\n',
        "rule 'all' hedges to 'rented', which flow lets nothing reach.",
    ),
    "outward": (
        "prefer: [own], hedge: {to: [out], after: 2s}, fallback: [mlx]",
        "",
        (
            "rule 'all' hedges outward, from 'house' to 'out': when 'own' is slow, requests are sent to ring 'partner' "
            "as well where flow allows it."
        ),
    ),
    "to a partner": (
        "prefer: [own], hedge: {to: [out], after: 2s}, fallback: [mlx]",
        "",
        "rule 'all' hedges to partner 'out': a request that is slow is paid for twice.",
    ),
    "consent that is over with the request": (
        "prefer: [own], hedge: {to: [out], after: 2s}, fallback: [mlx]",
        "",
        (
            "rule 'all' hedges to 'out', which needs consent. A hedge asks nobody, and a yes holds for one request, so "
            "it is hardly ever used. Add consent: {out: {lasts: session}}, or take it out."
        ),
    ),
    "a task that gets none": (
        f"when: {{task: [embed, rewrite]}}, prefer: [own], {HEDGE}}}\n  - {{id: rest, prefer: [mlx, out]",
        "",
        "rule 'all' has a hedge, and a request of task 'embed' gets none.",
    ),
}


def warned(found: Document) -> list[str]:
    return [one.message for one in find_warnings(found) if "not installed" not in one.message]


@pytest.mark.parametrize(("route", "flow", "message"), WARNINGS.values(), ids=WARNINGS)
def test_what_check_warns_of(route: str, flow: str, message: str) -> None:
    assert message in warned(document(route, flow=FLOW + flow))


def test_a_hedge_within_the_house_is_no_reason_to_warn() -> None:
    route = "prefer: [own], hedge: {to: [rented, spare], after: 2s}, fallback: [mlx, out]"
    assert not [one for one in warned(document(route)) if "hedge" in one or "in no route" in one]


def test_a_yes_that_lasts_is_no_reason_to_warn() -> None:
    route = "prefer: [own], hedge: {to: [out], after: 2s}, fallback: [mlx]"
    found = warned(document(route, more="consent: {out: {lasts: session}}\n"))
    assert not [one for one in found if "hardly ever" in one]


NOTE = "route all hedges: after 2 s without an event a request is sent to rented, spare as well"


def test_diff_says_that_a_route_hedges_now() -> None:
    plain, hedged = document("prefer: [own], fallback: [mlx]"), document()
    comparison = compare(plain, hedged)
    assert NOTE in comparison.notes
    assert comparison.only_narrows
    assert not [note for note in compare(hedged, plain).notes if "hedges" in note]
    assert not [note for note in compare(hedged, hedged).notes if "hedges" in note]


def test_diff_says_by_how_much_a_route_hedges_later() -> None:
    note = NOTE.replace("after 2 s", "after 5 s instead of 2 s")
    assert note in compare(document(), document(f"prefer: [own], {HEDGE.replace('2s', '5s')}, fallback: [mlx]")).notes


ONLY = "invariants:\n  - only: {{task: [{task}], to: [own, spare, mlx]}}\n"


def test_an_invariant_counts_a_hedge_as_a_place_that_a_route_leads_to() -> None:
    with pytest.raises(PolicyInvalid, match="reaches rented by route 'all'"):
        read_policy(text(more=ONLY.format(task="rewrite")))


def test_an_invariant_holds_where_no_hedge_is_sent() -> None:
    read_policy(text(more=ONLY.format(task="embed")))
    flow = f'{FLOW}  - {{id: no-own, deny: {{labels: "*", to: [own]}}}}\n'
    read_policy(text(flow=flow, more=ONLY.format(task="rewrite")))
