"""A detector that is broken is named by every command that looks at detectors; what it was shown is not repeated."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ringfence.cli.trial import tried
from ringfence.lock.lock import VARIABLE

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

CANARY = "canary-7f3a"
POINTS = """
[ringfence.detectors]
raising = detectors_under_test:RAISING
nonsense = detectors_under_test:NONSENSE
unloadable = detectors_under_test_that_raise:ANY
"""
SOURCE = """
class Raising:
    def detect(self, text):
        raise ValueError(text)
class Nonsense:
    def detect(self, text):
        return [text]
RAISING, NONSENSE = Raising(), Nonsense()
"""
POLICY = """\
version: 1
name: small
recipients:
  mlx: {ring: device, provider: mlx, model: m}
labels: {mine: {detect: [KINDS]}, unclassified: {}, public: {}}
unknown: unclassified
clean: public
flow:
  - {id: any, allow: {labels: "*", to: [device]}}
route:
  - {id: all, prefer: [mlx]}
tests:
  - {name: one, request: {text: canary-7f3a}, expect: {outcome: allow}}
"""
HOW = {
    "raising": "failed (ValueError)",
    "nonsense": "failed (MalformedHit)",
    "unloadable": "cannot be loaded (RuntimeError)",
    "no_such_kind": "is not installed",
}


@pytest.fixture(autouse=True)
def plugin(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "detectors"
    info = site / "detectors_under_test-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: detectors-under-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    (site / "detectors_under_test.py").write_text(SOURCE)
    (site / "detectors_under_test_that_raise.py").write_text(
        f"open('{tmp_path}/imported', 'w').close()\nraise RuntimeError('{CANARY}')"
    )
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return site


def policy_of(machine: Machine, *kinds: str) -> str:
    machine.policy.write_text(POLICY.replace("KINDS", ", ".join(kinds)))
    return str(machine.policy)


@pytest.mark.parametrize("kind", HOW)
def test_explain_names_a_detector_that_did_not_scan_and_never_the_text(run: Run, machine: Machine, kind: str) -> None:
    path = policy_of(machine, "email", kind)
    result = run("policy", "explain", path, CANARY)
    assert f"detector '{kind}' {HOW[kind]}: the text carries 'unclassified'\n" in result.stderr
    assert "'email'" not in result.stderr
    shown = json.loads(run("policy", "explain", path, CANARY, "--json").stdout)
    how, _, error = HOW[kind].partition(" (")
    assert shown["failed_detectors"] == [{"kind": kind, "how": how, "error": error.rstrip(")") or None}]
    assert CANARY not in result.output + json.dumps(shown)


def test_explain_says_nothing_of_detectors_that_work_or_were_not_asked(run: Run, machine: Machine) -> None:
    shown = json.loads(run("policy", "explain", policy_of(machine, "email"), "hello", "--json").stdout)
    assert "failed_detectors" not in shown
    shown = json.loads(run("policy", "explain", policy_of(machine, "raising"), "--label", "mine", "--json").stdout)
    assert "failed_detectors" not in shown


@pytest.mark.parametrize("kind", ["raising", "nonsense", "unloadable"])
def test_a_test_says_how_a_detector_failed_and_not_that_it_is_missing(run: Run, machine: Machine, kind: str) -> None:
    result = run("policy", "test", policy_of(machine, "email", kind), "--json")
    assert result.exit_code == 1
    (one,) = json.loads(result.stdout)["tests"]
    assert one["problems"] == [f"the detector for '{kind}' {HOW[kind]}, so the text carries 'unclassified' as well."]


def warned(run: Run, path: str) -> list[str]:
    found: list[dict[str, Any]] = json.loads(run("policy", "check", path, "--json").stdout)["warnings"]
    return [one["message"] for one in found if "detector" in one["message"]]


def test_check_warns_of_a_detector_that_is_installed_and_does_not_load(run: Run, machine: Machine) -> None:
    path = policy_of(machine, "email", "unloadable")
    (message,) = warned(run, path)
    assert message.startswith(
        "the detector for 'unloadable' is installed and cannot be loaded (RuntimeError): every text carries"
    )
    result = run("policy", "check", path)
    assert result.exit_code == 0
    assert message in result.stderr
    assert CANARY not in result.output
    assert run("policy", "check", path, "--strict").exit_code == 1
    assert warned(run, policy_of(machine, "email")) == []


def test_check_imports_nothing_that_the_lock_does_not_approve(
    run: Run, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "no.lock"))
    (message,) = warned(run, policy_of(machine, "unloadable"))
    assert "cannot be loaded (PluginLocked)" in message
    assert not (tmp_path / "imported").exists()


def test_doctor_tries_each_detector_and_names_those_that_fail(run: Run, machine: Machine) -> None:
    policy_of(machine, "email", "person", "emial")
    found = {one["subject"]: one for one in json.loads(run("doctor", "--json").stdout)["findings"]}
    unknown = "what it should scan is labelled as unknown"
    for kind in ("raising", "nonsense"):
        one = found[f"detector {kind}"]
        assert (one["level"], one["detail"]) == ("fault", f"it {HOW[kind]} on a short sample; {unknown}")
    assert found["detector unloadable"]["detail"] == f"it cannot be loaded (RuntimeError); {unknown}"
    assert "detectors-under-test" not in found["detectors"]["detail"]
    assert found["detector emial"]["way_out"] == "write 'email' in the policy"
    assert found["detector person"]["way_out"] == "install the plugin that brings it"


HANGING = """
import os, re, time
class Waits:
    def detect(self, text):
        time.sleep(60)
class Backtracks:  # holds the interpreter: no thread beside it gets a turn
    def detect(self, text):
        re.match(r"(a|a)*$", 60 * "a" + "!")
        return []
class Dies:
    def detect(self, text):
        os.abort()
class Leaves:
    def detect(self, text):
        print(text)
        raise SystemExit(text)
class Works:
    def detect(self, text):
        print(text)
        return []
A, B, C, D, E = Waits(), Backtracks(), Dies(), Leaves(), Works()
"""
HANGING_POINTS = "[ringfence.detectors]\n" + "".join(
    f"a_{name} = detectors_under_test:{name.upper()}\n" for name in "abcde"
)


def test_a_detector_that_hangs_or_ends_its_process_costs_no_other_its_trial(
    run: Run, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.cli.checks_detectors.tried", tried)
    monkeypatch.setattr("ringfence.cli.trial.PATIENCE_S", 3.0)
    # Those that ship are tried elsewhere.
    monkeypatch.setattr(
        "ringfence.cli.checks_detectors.installed",
        lambda: {f"a_{name}": {"detectors-under-test"} for name in "abcde"},
    )
    (plugin / "detectors_under_test-1.dist-info" / "entry_points.txt").write_text(HANGING_POINTS)
    (plugin / "detectors_under_test.py").write_text(HANGING)
    result = run("doctor", "--json")
    found = {one["subject"]: one for one in json.loads(result.stdout)["findings"]}
    for kind in ("a_a", "a_b"):
        one = found[f"detector {kind}"]
        assert one["level"] == "fault"
        assert one["detail"].startswith("it did not come back from a short sample within 3 s")
        assert one["way_out"].startswith("upgrade or remove detectors-under-test, or take 'a_")
    assert "it ended its process on a short sample (SIGABRT)" in found["detector a_c"]["detail"]
    assert found["detector a_d"]["detail"].startswith("it failed (SystemExit) on a short sample")
    assert found["detectors"]["detail"] == "detectors-under-test: a_e"
    assert "Anna" not in result.output
