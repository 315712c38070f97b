"""The layers of an administrator on the command line: what an app would decide under them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.root import root
from ringfence.policy import load_policy

POLICY = """\
version: 1
name: open
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  out: {ring: partner, provider: openai, model: gpt-5.2}
labels: {public: {declare: true}, work: {declare: true}, unclassified: {}}
unknown: unclassified
flow:
  - {id: device-any, allow: {labels: "*", to: [device]}}
  - {id: out-some, allow: {labels: [public, work], to: [partner]}, consent: ask}
route:
  - {id: all, prefer: [out, mlx]}
tests:
  - {name: goes out, request: {text: Hello., labels: [public]}, expect: {plan: [out, mlx], consent: [out]}}
"""
NO_PARTNER = '{"Type": "com.apple.configuration.external-intelligence.settings", "Payload": {"Enabled": false}}'
NO_WORK = """\
version: 1
name: department
flow: [{id: no-work, deny: {labels: [work], to: [partner]}}]
"""

Run: TypeAlias = Callable[..., Result]


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "managed.json"
    path.write_text(NO_PARTNER)
    return str(path)


@pytest.fixture(params=["option", "environment"])
def under(request: pytest.FixtureRequest, profile: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command under the profile, named in one way or the other."""

    def invoke(*arguments: str) -> Result:
        if request.param == "option":
            return run(*arguments, "--layer", profile)
        with monkeypatch.context() as environment:
            environment.setenv("RINGFENCE_LAYERS", profile)
            return run(*arguments)

    return invoke


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, list(arguments), input="Hello.\n")


def test_check_shows_where_labels_go_under_a_profile(policy: str, profile: str, under: Run) -> None:
    without = json.loads(run("policy", "check", policy, "--json").stdout)
    assert (without["labels"]["public"], without["layers"]) == ({"mlx": "always", "out": "ask"}, [])
    found = under("policy", "check", policy, "--json")
    assert json.loads(found.stdout)["labels"]["public"] == {"mlx": "always"}
    assert json.loads(found.stdout)["layers"] == [profile]
    assert found.exit_code == 0
    assert f"under layer '{profile}'" in found.stderr


def test_explain_decides_as_an_app_does_under_a_profile(policy: str, profile: str, under: Run) -> None:
    assert json.loads(run("policy", "explain", policy, "--label", "public", "--json").stdout)["outcome"] == "ask"
    found = json.loads(under("policy", "explain", policy, "--label", "public", "--json").stdout)
    assert [step["recipient"] for step in found["plan"]] == ["mlx"]
    assert found["recipients"]["out"]["rules"] == ["managed/external-intelligence-off"]
    assert found["policy"]["digest"] == load_policy(policy, layers=[profile]).digest


def test_the_tests_of_a_file_are_run_under_a_profile(policy: str, under: Run) -> None:
    assert run("policy", "test", policy).exit_code == 0
    found = under("policy", "test", policy)
    assert found.exit_code == 1
    assert "managed/external-intelligence-off" in found.stdout


def test_a_graph_is_drawn_under_a_profile(policy: str, under: Run) -> None:
    assert "out" in json.loads(run("policy", "graph", policy, "--json").stdout)["labels"]["public"]
    assert "out" not in json.loads(under("policy", "graph", policy, "--json").stdout)["labels"]["public"]


def test_a_proof_is_of_the_policy_under_a_profile(policy: str, under: Run) -> None:
    never = POLICY + "invariants: [{never: {labels: [public], to: [partner]}}]\n"
    Path(policy).write_text(never)
    assert run("policy", "prove", policy).exit_code == 1
    assert under("policy", "prove", policy).exit_code == 0


@pytest.mark.parametrize("command", [("ask",), ("chat",)], ids=" ".join)
def test_a_request_is_decided_under_a_profile(command: tuple[str, ...], policy: str, under: Run) -> None:
    Path(policy).write_text(POLICY.replace("prefer: [out, mlx]", "prefer: [out]"))
    result = under(*command, "--policy", policy, "--label", "public", "--no-audit", "--json", "--consent", "out")
    assert "managed/external-intelligence-off" in result.output


def test_layers_add_up(policy: str, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    department = tmp_path / "department.yaml"
    department.write_text(NO_WORK)
    monkeypatch.setenv("RINGFENCE_LAYERS", profile)
    found = run("policy", "check", policy, "--json", "--layer", str(department))
    assert json.loads(found.stdout)["layers"] == [str(department), profile]
    ids = {rule.id for rule in load_policy(policy, layers=[department, profile]).document.flow}
    assert {"department/no-work", "managed/external-intelligence-off"} <= ids


@pytest.mark.parametrize("command", ["check", "explain", "test", "graph", "prove"])
def test_a_layer_that_is_not_there_is_wrong_usage(policy: str, command: str, tmp_path: Path) -> None:
    found = run("policy", command, policy, "--layer", str(tmp_path / "gone.json"))
    assert found.exit_code == 2
    assert "gone.json" in found.stderr


def test_a_layer_is_told_of_as_it_is_written(policy: str, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(profile).parent)
    found = run("policy", "check", policy, "--layer", "managed.json")
    assert (found.exit_code, found.stderr.splitlines()[0]) == (0, "under layer 'managed.json'")


@pytest.mark.parametrize("command", ["check", "explain", "test", "graph", "prove"])
def test_a_layer_in_the_place_of_the_policy_is_said_to_be_one(policy: str, command: str, tmp_path: Path) -> None:
    layer = tmp_path / "department.yaml"
    layer.write_text(NO_WORK)
    found = run("policy", command, str(layer))
    assert found.exit_code == 1
    says = "this file has rules and no recipients:, so it looks like a layer. Check it over a policy: "
    assert f"{layer}:1:1: {says}ringfence policy check POLICY --layer {layer}\n" in found.output
    assert "is missing" not in found.output
    assert run("policy", command, policy, "--layer", str(layer)).exit_code == 0


@pytest.mark.parametrize("name", ["managed.mobileconfig", "managed.plist", "managed.json"])
def test_a_profile_in_the_place_of_the_policy_is_said_to_be_one(name: str, tmp_path: Path) -> None:
    profile = tmp_path / name
    profile.write_text(NO_PARTNER)
    found = run("policy", "check", str(profile))
    assert found.exit_code == 1
    assert "this is a device profile, which is a layer. Put it over a policy with --layer.\n" in found.stdout
    assert len(found.stdout.splitlines()) == 1


def test_a_policy_in_the_place_of_a_layer_is_one_fault(policy: str, tmp_path: Path) -> None:
    whole = tmp_path / "hospital.yaml"
    whole.write_text(POLICY)
    found = run("policy", "check", policy, "--layer", str(whole))
    assert found.exit_code == 1
    says = "'hospital.yaml' is a whole policy. A layer has rules and no declarations."
    assert found.stdout == f"{whole}:1:1: {says}\n"


@pytest.mark.parametrize("command", ["check", "explain", "test", "graph", "prove"])
def test_a_layer_with_faults_is_a_fault_of_the_policy(policy: str, command: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\nflwo: []\n")
    found = run("policy", command, policy, "--layer", str(broken))
    assert found.exit_code == 1
    assert f"{broken}:2:1: unknown key 'flwo'" in found.output


@pytest.mark.parametrize("command", ["check", "explain", "test", "graph", "prove"])
def test_the_environment_names_layers_by_their_full_paths(
    policy: str, profile: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGFENCE_LAYERS", os.pathsep.join((profile, "managed.json")))
    found = run("policy", command, policy)
    assert found.exit_code != 0
    assert "RINGFENCE_LAYERS is not an absolute path" in found.output
