"""Rules that can never matter are found, and no other is: the check against trying every request."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
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
from ringfence.policy.warnings import find_hints, find_warnings

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


@settings(suppress_health_check=[HealthCheck.too_slow])
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
labels: {public: {}, work: {detect: [no_such_kind]}, unclassified: {}}
unknown: unclassified
"""
FACTS_SECTION = "facts: {user.age: {type: enum, values: [adult, minor]}, user.level: {type: int}}\n"
FLOW = """flow:
  - {id: any, allow: {labels: "*", to: [device, house]}}
"""
ROUTE = "route: [{id: all, prefer: [mlx, own]}]\n"


def routes(*conditions: str) -> str:
    rules = [f"  - {{id: r{index}, prefer: [mlx], when: {when}}}" for index, when in enumerate(conditions)]
    return HEAD + FACTS_SECTION + FLOW + "\n".join(["route:", *rules, "  - {id: last, prefer: [mlx, own]}"])


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


def test_a_flow_without_a_rule_is_one_warning_and_not_one_for_each_thing_in_the_file() -> None:
    text = HEAD + "flow: []\n" + ROUTE
    empty = "flow: is empty: nothing is allowed, and every request is refused."
    assert [one for one in warnings_of(text) if "installed" not in one] == [empty]
    (found,) = (one for one in find_warnings(read_policy(text).document) if one.message == empty)
    assert found.at.line == text[: text.index("flow:")].count("\n") + 1


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
    path.write_text(UNDETECTED.replace("{declare: true}", "{}"))
    way_out = "If only the app knows it, write declare: true."
    assert f"{path}:9:3: warning: {FALSE_SAFETY} {way_out}" in check_file(path).warning_lines


def test_a_label_that_only_the_app_knows_is_a_hint() -> None:
    assert "nothing detects" not in " ".join(warnings_of(UNDETECTED))
    assert find_hints(read_policy(UNDETECTED).document)[0].message == FALSE_SAFETY


TOOL = "tools: {book: {ring: house}}\n"
UNUSED = "tool 'book' is never used: no rule under flow: lets anything reach tools on ring 'house'."


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        ((), True),
        (("allow: {labels: [public], to: [own]}",), True),
        (("allow: {labels: [public], to: [house]}, require: {attested: true}",), True),
        (("allow: {labels: [public], to: [house]}",), False),
        (("allow: {labels: [public], to: [house]}, when: {task: [embed]}",), False),
        (("allow: {labels: [public], to: [house]}", 'deny: {labels: "*", to: [house]}'), True),
        (("allow: {labels: [public], to: [house]}", 'deny: {labels: "*", to: [own]}'), False),
        (("allow: {labels: [public], to: [house]}", 'deny: {labels: "*", to: [house]}, when: {task: [embed]}'), False),
    ],
)
def test_a_tool_that_nothing_reaches_is_a_warning(rules: tuple[str, ...], warned: bool) -> None:
    written = "".join(f"  - {{id: r{number}, {rule}}}\n" for number, rule in enumerate(rules))
    flow = 'flow:\n  - {id: device-any, allow: {labels: "*", to: [device]}}\n' + written
    assert (UNUSED in warnings_of(BASE + TOOL + flow + BASE_ROUTE)) == warned


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
    document = read_policy(UNDETECTED.replace(old, new)).document
    said = [one.message for one in (*find_warnings(document), *find_hints(document))]
    assert "nothing detects" not in " ".join(said)


BASE = """version: 1
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  own: {ring: house, provider: openai, model: m, url: "https://own.example/v1", retention: none, region: eu}
  rented: {ring: house, provider: openai, model: m, url: "https://rented.example/v1"}
  out: {ring: partner, provider: openai, model: m}
labels: {public: {}, work: {}, secret: {}, unclassified: {}}
unknown: unclassified
"""
BASE_FLOW = """flow:
  - {id: device-any, allow: {labels: "*", to: [device]}}
  - {id: house-public, allow: {labels: [public, work], to: [house]}}
  - {id: out-public, allow: {labels: [public], to: [partner]}, consent: ask}
"""
BASE_ROUTE = "route: [{id: all, prefer: [own, rented], fallback: [out, mlx]}]\n"


def of(*rules: str, route: str = BASE_ROUTE, more: str = "", flow: str = BASE_FLOW, head: str = BASE) -> list[str]:
    """What `policy check` warns of in the base policy with these flow rules besides."""
    return warnings_of(head + flow + "".join(f"  - {rule}\n" for rule in rules) + route + more)


def test_the_base_policy_has_no_warning() -> None:
    assert of() == []


NOTHING_ADDED = "rule 'x' adds nothing: other rules allow all of it, on terms no less strict."


@pytest.mark.parametrize(
    "rule",
    [
        "{id: x, allow: {labels: [work], to: [rented]}}",
        "{id: x, allow: {labels: [work], to: [house]}, when: {task: [rewrite]}}",
        "{id: x, allow: {labels: [public], to: [out]}, consent: ask}",
        "{id: x, allow: {labels: [public, work], to: [house]}}",
        '{id: x, allow: {labels: "*", to: [device]}, when: {input_tokens: {max: 9}}}',
    ],
)
def test_an_allow_that_another_covers_is_a_warning(rule: str) -> None:
    assert of(rule) == [NOTHING_ADDED]


@pytest.mark.parametrize(
    "rule",
    [
        "{id: x, allow: {labels: [secret], to: [own]}}",
        "{id: x, allow: {labels: [work], to: [house]}, consent: ask}",
        "{id: x, allow: {labels: [work], to: [house]}, redact: mask}",
        "{id: x, allow: {labels: [work], to: [house]}, require: {attested: true}}",
        "{id: x, allow: {labels: [public, secret], to: [house]}}",
    ],
    ids=["another label", "asks", "redacts", "attested", "one label more"],
)
def test_an_allow_that_adds_a_label_or_an_obligation_is_no_warning(rule: str) -> None:
    assert of(rule) == []


def test_of_two_equal_allows_only_the_later_is_a_warning() -> None:
    rules = [f"{{id: {name}, allow: {{labels: [secret], to: [house]}}}}" for name in ("x", "y")]
    assert of(*rules) == [NOTHING_ADDED.replace("'x'", "'y'")]


def test_an_allow_with_a_condition_covers_nothing() -> None:
    rules = [
        f"{{id: {name}, allow: {{labels: [secret], to: [own]}}, when: {{task: [rewrite]}}}}" for name in ("x", "y")
    ]
    assert of(*rules) == []


def test_an_allow_of_a_ring_adds_what_its_tools_may_see() -> None:
    by_name = BASE_FLOW.replace("[public, work], to: [house]", "[public, work], to: [own, rented]")
    by_ring = "{id: x, allow: {labels: [work], to: [house]}}"
    assert of(by_ring, flow=by_name) == [NOTHING_ADDED]
    assert of(by_ring, flow=by_name, head=BASE + "tools: {calendar: {ring: house}}\n") == []


IN_VAIN = {
    "denied by two": (
        (
            "{id: x, allow: {labels: [secret], to: [house]}}",
            "{id: a, deny: {labels: [secret], to: [own]}}",
            "{id: b, deny: {labels: [secret], to: [rented]}}",
        ),
        "rule 'x' allows nothing: rules 'a' and 'b' deny all of it.",
    ),
    "a fact one recipient lacks": (
        ("{id: x, allow: {labels: [secret], to: [house]}, require: {retention: none}}",),
        "no retention is declared for 'rented', so rule 'x' never counts for it.",
    ),
    "two rules, one fact": (
        (
            "{id: x, allow: {labels: [secret], to: [house]}, require: {region: eu}}",
            "{id: y, allow: {labels: [unclassified], to: [house]}, require: {region: eu}}",
        ),
        "no region is declared for 'rented', so rules 'x' and 'y' never count for it.",
    ),
}


@pytest.mark.parametrize(("rules", "warning"), IN_VAIN.values(), ids=IN_VAIN)
def test_a_rule_that_cannot_take_effect_is_a_warning(rules: tuple[str, ...], warning: str) -> None:
    assert of(*rules) == [warning]


def test_a_deny_where_nothing_is_allowed_is_a_warning() -> None:
    flow = BASE_FLOW.replace("  - {id: out-public, allow: {labels: [public], to: [partner]}, consent: ask}\n", "")
    route = BASE_ROUTE.replace("out, ", "")
    found = of("{id: x, deny: {labels: [secret], to: [partner]}}", flow=flow, route=route)
    assert "rule 'x' denies in vain: no rule allows anything to reach 'out'." in found
    assert of("{id: x, deny: {labels: [secret], to: [partner]}}") == []


def test_an_allow_to_a_ring_where_nobody_is_is_a_warning() -> None:
    head = BASE.replace("  out: {ring: partner, provider: openai, model: m}\n", "")
    assert of(head=head, route=BASE_ROUTE.replace("out, ", "")) == [
        "rule 'out-public' allows nothing: no recipient and no tool is in 'partner'."
    ]
    tools = "tools: {search: {ring: partner}}\n"
    assert of(head=head + tools, route=BASE_ROUTE.replace("out, ", "")) == []


def overflowing(to: str, fallback: str) -> str:
    overflow = f"overflow: {{to: [{to}], when_utilisation_over: 0.8}}"
    return f"route: [{{id: all, prefer: [own], {overflow}, fallback: [{fallback}, mlx]}}]\n"


ROUTES = {
    "everything is denied": (
        ('{id: x, deny: {labels: "*", to: [own]}}',),
        BASE_ROUTE,
        "recipient 'own' is in a route, but flow denies everything that would reach it.",
    ),
    "a label that never gets there": (
        (),
        "route: [{id: w, when: {labels: [work]}, prefer: [out, own]}, {id: all, prefer: [own, rented, mlx]}]\n",
        "rule 'w' is for 'work', which flow never lets reach 'out'.",
    ),
    "overflow outward": (
        (),
        overflowing("out", "rented"),
        (
            "rule 'all' overflows outward, from 'house' to 'out': when 'own' is full, requests go on to ring 'partner' "
            "where flow allows it."
        ),
    ),
    "overflow to nobody": (
        ('{id: x, deny: {labels: "*", to: [rented]}}',),
        overflowing("rented", "out"),
        "rule 'all' overflows to 'rented', which flow lets nothing reach.",
    ),
    "overflow and fallback": (
        (),
        overflowing("rented", "rented"),
        (
            "rule 'all' names 'rented' in overflow: and in fallback:. Its first place counts, so it is used only when "
            "a preferred recipient is full or cannot be reached, and never as a fallback. Take it out of one of them."
        ),
    ),
}


@pytest.mark.parametrize(("rules", "route", "warning"), ROUTES.values(), ids=ROUTES)
def test_a_route_that_names_something_for_nothing_is_a_warning(
    rules: tuple[str, ...], route: str, warning: str
) -> None:
    assert warning in of(*rules, route=route)


def test_a_recipient_that_only_overflow_names_is_in_a_route() -> None:
    assert of(route=overflowing("rented", "out")) == []


DECLARED = {
    "a budget over nobody": (
        BASE.replace("  out: {ring: partner, provider: openai, model: m}\n", ""),
        BASE_FLOW.replace("  - {id: out-public, allow: {labels: [public], to: [partner]}, consent: ask}\n", ""),
        "name: law\nbudgets: [{id: b, of: partner, limit: 9 requests, per: day, when_spent: deny}]\n",
        "budget 'b' counts nothing: no recipient is in 'partner'.",
    ),
    "a budget over what is closed": (
        BASE,
        BASE_FLOW.replace("to: [house]", "to: [own]"),
        "name: law\nbudgets: [{id: b, of: rented, limit: 9 requests, per: day, when_spent: deny}]\n",
        "budget 'b' counts nothing: flow lets nothing reach 'rented'.",
    ),
    "a fact that nothing reads": (
        BASE + "facts: {user.age: {type: int}}\n",
        BASE_FLOW,
        "",
        "fact 'user.age' is declared, and no rule reads it.",
    ),
    "a label that nothing rules": (
        BASE,
        BASE_FLOW.replace('labels: "*"', "labels: [public, work, unclassified]"),
        "",
        "label 'secret' is in no rule under flow:, so a request that carries it reaches nobody.",
    ),
}


@pytest.mark.parametrize(("head", "flow", "more", "warning"), DECLARED.values(), ids=DECLARED)
def test_what_is_declared_in_vain_is_a_warning(head: str, flow: str, more: str, warning: str) -> None:
    route = BASE_ROUTE if "out:" in head else BASE_ROUTE.replace("out, ", "")
    assert warning in of(head=head, flow=flow, more=more, route=route)


def test_a_fact_that_an_invariant_reads_is_read() -> None:
    head = BASE + "facts: {user.staff: {type: bool}}\n"
    more = "invariants: [{never: {labels: [secret], to: [partner], when: {user.staff: true}}}]\n"
    assert of(head=head, more=more) == []


def test_a_policy_without_tests_and_invariants_gets_a_hint_and_no_warning() -> None:
    document = read_policy(BASE + BASE_FLOW + BASE_ROUTE).document
    assert [hint.message.split(":")[0] for hint in find_hints(document)] == ["no tests", "no invariants"]
    full = """invariants: [{never: {labels: [secret], to: [partner]}}]
tests: [{name: t, request: {labels: [secret]}, expect: {never: [partner]}}]
"""
    assert find_hints(read_policy(BASE + BASE_FLOW + BASE_ROUTE + full).document) == ()
    assert [hint.message.split(":")[0] for hint in find_hints(read_policy(HEAD + FLOW + ROUTE).document)] == [
        "no tests"
    ]


def test_warnings_have_places_and_keep_nothing_from_loading(tmp_path: Any) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(HEAD + FLOW + ROUTE)
    report = check_file(path)
    assert report.policy is not None
    assert [line.split(": ")[0] for line in report.warning_lines] == [f"{path}:4:3", f"{path}:5:22"]


@pytest.mark.parametrize(
    ("kinds", "installed", "hint"),
    [
        # Whoever took zh_person_name instead would find Chinese names only.
        (
            ["person_name"],
            {"zh_person_name"},
            " It comes with ringfence-detector-ner: pip install './plugins/ner[rampart]'.",
        ),
        (["nationality"], {"email"}, " It comes with ringfence-detector-presidio: pip install './plugins/presidio'."),
        (["email"], set[str](), " It comes with ringfence-detectors: pip install './plugins/detectors'."),
        (["emial"], {"email"}, " Did you mean 'email'?"),
        (["persn_name"], {"zh_person_name"}, " Did you mean 'person_name'?"),
        (
            ["emial", "location"],
            {"email"},
            (
                " Did you mean 'email' for 'emial'? 'location' comes with ringfence-detector-ner: "
                "pip install './plugins/ner[rampart]'."
            ),
        ),
        (["employee_number"], {"email", "jp_my_number"}, ""),
        (["person"], {"zh_person_name"}, ""),
        (["us_nhs"], {"uk_nhs"}, ""),
        (["credit_card_no"], {"credit_card"}, ""),
    ],
)
def test_what_to_do_about_a_kind_that_is_not_installed(kinds: list[str], installed: set[str], hint: str) -> None:
    from ringfence.policy.warnings.machine import ways_out

    assert ways_out(kinds, installed) == hint


@pytest.mark.parametrize("plugin", ["detectors", "ner", "presidio"])
def test_every_kind_of_our_plugins_is_known_and_what_brings_it_is_there(plugin: str) -> None:
    import tomllib

    from ringfence.policy.warnings.machine import bringing

    plugins = Path(__file__).parents[2] / "plugins"
    project = tomllib.loads((plugins / plugin / "pyproject.toml").read_text())["project"]
    brought = {kind: bringing(kind) for kind in project["entry-points"]["ringfence.detectors"]}
    assert all(brought.values())
    ours = [one for one in brought.values() if one is not None and one.package == project["name"]]
    assert ours
    assert all(f"'./plugins/{plugin}" in one.install for one in ours)


def test_check_names_the_package_before_any_other_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.policy.warnings import machine

    def installed(group: str) -> frozenset[str]:
        return frozenset({"mlx", "no-such-provider"} if group == "ringfence.providers" else {"zh_person_name"})

    monkeypatch.setattr(machine, "_installed", installed)
    (said,) = (
        one for one in warnings_of((HEAD + FLOW + ROUTE).replace("no_such_kind", "person_name")) if "detector" in one
    )
    assert said == (
        "no detector for 'person_name' is installed: every text carries 'unclassified'. "
        "It comes with ringfence-detector-ner: pip install './plugins/ner[rampart]'."
    )
