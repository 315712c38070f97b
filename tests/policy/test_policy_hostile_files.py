"""Whatever a file holds, it gives a policy or faults with places in it, and nothing else."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ringfence.errors import PolicyInvalid
from ringfence.policy import Facts, Policy, read_policy

TEAM = (Path(__file__).parents[2] / "examples" / "policies" / "team.yaml").read_text(encoding="utf-8")
# Every section of the language; what names another file cannot be read without one.
_EXAMPLE = Path(__file__).parents[2] / "examples" / "policies" / "acme-assistant.yaml"
_WITHOUT_FILES = re.sub(r" trust: \S+,", "", _EXAMPLE.read_text(encoding="utf-8"))
TIME = 'time: {days: [mon, fri], from: "08:00", to: "18:00", zone: Europe/Zurich}'
CEL = ', not: {cel: "input_tokens > 9"}' if find_spec("cel_expr_python") else ""
MORE = f"  - id: office\n    allow: {{labels: [public], to: [house]}}\n    when: {{{TIME}{CEL}}}\n"
EXAMPLE = _WITHOUT_FILES.replace("  - id: partner-public\n", f"{MORE}  - id: partner-public\n")
PIECES = st.one_of(
    st.sampled_from(
        [*TEAM.splitlines(), *EXAMPLE.splitlines(), *re.findall(r"[\w.*-]+|[^\w\s]", TEAM + EXAMPLE)],
    ),
    st.sampled_from(
        ["*", "&a", "*a", "!!set", "? ", "- ", ": ", "{", "}", "[", "]", "|", ">", "\t", "'", '"', "%YAML"]
    ),
    st.sampled_from(
        ['"\\U99999999"', '"\\ud800"', '"\\x00"', "~", ".nan", "-.inf", "1e999", "0x10", "2026-01-01", "<<"]
    ),
    st.text(max_size=8),
)
FAULT = re.compile(r"policy\.(?:yaml|toml):(?:(\d+)(?::(\d+))?: )?.+")


@st.composite
def changed(draw: st.DrawFn) -> str:
    """The example with a few pieces put in, or lines taken out, moved or doubled."""
    lines = draw(st.sampled_from([TEAM, EXAMPLE])).splitlines()
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(lines) - 1))
        line = lines[index]
        match draw(st.sampled_from(["insert", "replace", "drop", "double", "indent"])):
            case "insert":
                column = draw(st.integers(0, len(line)))
                lines[index] = line[:column] + draw(PIECES) + line[column:]
            case "replace":
                lines[index] = draw(PIECES)
            case "double":
                lines.insert(index, line)
            case "indent":
                lines[index] = " " + line
            case _:
                lines[index] = ""
    return "\n".join(lines)


def faults_or_policy(text: str, source: str) -> tuple[str, ...] | Policy:
    try:
        return read_policy(text, source=source)
    except PolicyInvalid as error:
        return error.faults


def check_faults(text: str, source: str) -> None:
    found = faults_or_policy(text, source)
    if isinstance(found, Policy):
        check_no_partner(found)
        return
    places = [FAULT.fullmatch(fault) for fault in found]
    assert places
    assert all(places)
    lines = [int(place[1]) for place in places if place is not None and place[1]]
    assert lines == sorted(lines)
    assert all(1 <= line <= text.count("\n") + 2 for line in lines)


def check_no_partner(policy: Policy) -> None:
    """INVARIANT: no policy that loads lets anything reach a partner without asking."""
    for label in policy.labels:
        for age in ("adult", "minor"):
            facts = {"user.age_band": age, "user.on_call": True, "user.clearance": 3}
            decision = policy.decide(Facts(task="rewrite", labels=frozenset({label}), input_tokens=1, values=facts))
            assert all(step.ring != "partner" or "consent" in step.obligations for step in decision.plan)


hostile = settings(suppress_health_check=[HealthCheck.too_slow])


@hostile
@given(changed())
@example(TEAM.replace("name: team", 'name: "\\U99999999"'))
@example(TEAM.replace("name: team", 'name: "\\ud800"'))
@example(TEAM.replace("to: [partner]", "to: [*]"))
@example("%YAML 9.9\n---\n" + TEAM)
def test_a_changed_policy_gives_a_policy_or_faults_in_order(text: str) -> None:
    check_faults(text, "policy.yaml")


def test_the_policies_that_are_changed_load_as_they_are() -> None:
    for text in (TEAM, EXAMPLE):
        assert isinstance(faults_or_policy(text, "policy.yaml"), Policy)


@hostile
@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map("\n".join)))
def test_any_text_as_yaml_gives_faults(text: str) -> None:
    check_faults(text, "policy.yaml")


@hostile
@given(st.one_of(st.text(), st.lists(PIECES).map(" = ".join), st.lists(PIECES).map("\n".join)))
@example("[a]\n[a.b]\n[[a.b]]")
@example('flow = [{id = "x"}]\n[[flow]]')
@example("a = 1979-05-27T07:32:00Z\nb.c = 1\nb.d = [1, {e = 2}]")
def test_any_text_as_toml_gives_faults(text: str) -> None:
    check_faults(text, "policy.toml")
