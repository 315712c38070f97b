"""`ringfence policy test`, `graph`, `check` and `explain`: what stands on stdout, what on stderr, the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.root import root

POLICY = """version: 1
name: small
recipients:
  mlx: {ring: device, provider: mlx, model: m}
  own: {ring: house, provider: openai, model: m, url: "https://own.example/v1"}
  rented: {ring: house, provider: openai, model: m, url: "https://rented.example/v1", capacity: rented}
  out: {ring: partner, provider: openai, model: gpt-5.2}
facts:
  user.age: {type: enum, values: [adult, minor]}
  device.managed: {type: bool}
labels: {public: {}, contact: {detect: [email]}, work: {declare: true}, unclassified: {}}
unknown: unclassified
clean: public
tools: {web_search: {ring: partner}, create_event: {ring: device}}
flow:
  - {id: device-any, allow: {labels: "*", to: [device]}}
  - {id: house-most, allow: {labels: [public, contact, work], to: [house]}}
  - {id: out-public, allow: {labels: [public], to: [partner]}, consent: ask}
  - {id: out-contact, allow: {labels: [contact], to: [partner]}, redact: pseudonym, consent: ask}
  - {id: out-minors, deny: {labels: "*", to: [partner]}, when: {user.age: [minor]}}
  - {id: unmanaged, deny: {labels: [work], to: [house]}, when: {not: {device.managed: true}}}
  - {id: at-night, deny: {labels: [work], to: [rented]}, when: {time: {from: "22:00", to: "06:00"}}}
route:
  - {id: long, when: {input_tokens: {over: 1500}}, prefer: [own], overflow: {to: [rented], when_utilisation_over: 0.85}}
  - {id: rest, prefer: [own, out], fallback: [mlx]}
invariants:
  - never: {labels: [work], to: [partner]}
"""
PASSES = "  - {name: mail goes no further, request: {text: write to ann@example.org}, expect: {labels: [contact]}}\n"
FAILS = "  - {name: nobody else, request: {labels: [public], user: {age: adult}}, expect: {plan: [mlx]}}\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["policy", *arguments])


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(*tests: str, policy: str = POLICY) -> str:
        path = tmp_path / "policy.yaml"
        path.write_text(policy + ("tests:\n" + "".join(tests) if tests else ""))
        return str(path)

    return write


def words(shown: str) -> list[str]:
    return [" ".join(line.split()) for line in shown.splitlines()]


# ---------------------------------------------------------------- test


def test_tests_that_pass_are_listed_with_what_they_cover(write: Any) -> None:
    result = run("test", write(PASSES))
    assert result.exit_code == 0
    shown = words(result.stdout)
    assert shown[0] == "✓ 1 mail goes no further"
    assert {"device-any allow 1", "out-minors deny 1", "rest route 1", "long route no test"} <= set(shown)
    assert shown[-1] == "1 test passed; 4 of 9 rules covered (44 %)"
    assert result.stderr == ""


def test_a_test_that_fails_says_what_was_expected_what_came_and_why(write: Any) -> None:
    result = run("test", write(PASSES, FAILS))
    assert result.exit_code == 1
    shown = words(result.stdout)
    assert shown[1:8] == [
        "✗ 2 nobody else",
        "line 30",
        "expected plan: mlx",
        "came own, out, mlx",
        "why own: allowed by rule 'house-most'",
        "why out: allowed by rule 'out-public' if a person consents",
        "",
    ]
    assert shown[-1] == "1 test passed, 1 failed; 5 of 9 rules covered (55 %)"


@pytest.mark.parametrize(("percent", "code"), [("44", 0), ("44.4", 0), ("44.5", 1), ("100", 1)])
def test_too_few_rules_covered_is_a_failure(write: Any, percent: str, code: int) -> None:
    result = run("test", write(PASSES), "--min-coverage", percent)
    assert result.exit_code == code
    assert ("less than" in result.stderr) == bool(code)


@pytest.mark.parametrize("percent", ["100%", "101", "-1", "nan", "most"])
def test_a_coverage_that_is_no_percentage_is_wrong_usage(write: Any, percent: str) -> None:
    result = run("test", write(PASSES), "--min-coverage", percent)
    assert result.exit_code == 2
    assert "write a number from 0 to 100, such as 90\n" in result.stderr


def test_a_file_without_tests_has_not_passed(write: Any) -> None:
    result = run("test", write())
    assert result.exit_code == 1
    assert "policy 'small' has no tests, so nothing was tried" in result.stderr


def test_the_tests_as_json(write: Any) -> None:
    result = run("test", write(PASSES, FAILS), "--json", "--min-coverage", "10")
    found = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (1, "")
    assert (found["ok"], found["enough"], found["coverage"]["covered"]) == (False, True, 5)
    first, second = found["tests"]
    assert (first["passed"], first["mismatches"], first["decision"]["labels"]) == (True, [], ["contact"])
    assert second["mismatches"][0]["expect"] == "plan"
    assert "ann@example.org" not in result.stdout


def test_a_detector_that_is_missing_fails_the_test_and_says_so(write: Any) -> None:
    result = run("test", write(PASSES, policy=POLICY.replace("[email]", "[email, no_such_kind]")))
    assert result.exit_code == 1
    assert "no detector for 'no_such_kind' is installed" in result.stdout


@pytest.mark.parametrize("command", ["test", "graph", "check", "explain"])
def test_a_file_that_is_missing_or_faulty(command: str, tmp_path: Path) -> None:
    assert run(command, str(tmp_path / "none.yaml")).exit_code == 2
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("version: 1\n")
    result = run(command, str(faulty))
    assert result.exit_code == 1
    assert "key 'recipients' is missing." in result.stdout + result.stderr


# ---------------------------------------------------------------- graph


def test_the_picture_goes_to_stdout_or_into_a_file(write: Any, tmp_path: Path) -> None:
    path = write()
    result = run("graph", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert ET.fromstring(result.stdout).tag.endswith("svg")
    target = tmp_path / "policy.svg"
    saved = run("graph", path, "--output", str(target))
    assert (saved.exit_code, saved.stdout) == (0, "")
    assert target.read_text() == result.stdout


def test_the_picture_never_takes_the_place_of_the_policy(write: Any, tmp_path: Path) -> None:
    path = write()
    for output in (path, str(tmp_path), str(tmp_path / "none" / "x.svg")):
        result = run("graph", path, "--output", output)
        assert result.exit_code == 2
        assert "try: " in result.stderr or "cannot be written" in result.stderr
    assert Path(path).read_text() == POLICY


def test_the_picture_is_an_svg_by_name_too(write: Any, tmp_path: Path) -> None:
    result = run("graph", write(), "--output", str(tmp_path / "bank.png"))
    assert (result.exit_code, result.stderr) == (2, "error: the picture is an SVG\ntry: name it bank.svg\n")
    assert not (tmp_path / "bank.png").exists()


def test_the_picture_as_json(write: Any) -> None:
    found = json.loads(run("graph", write(), "--json").stdout)
    assert found["labels"]["contact"]["out"] == {
        "reaches": "sometimes",
        "consent": "always",
        "redacted": "always",
        "redact": ["pseudonym"],
    }
    assert run("graph", write(), "--json", "--output", "x.svg").exit_code == 2


# ---------------------------------------------------------------- check


def test_check_marks_conditions_consent_and_redaction(write: Any) -> None:
    result = run("check", write(PASSES))
    assert {
        "public mlx, own, rented, out*?",
        "contact mlx, own, rented, out*? (pseudonym)",
        "work mlx, own*, rented*",
    } <= set(words(result.stdout))
    assert [line[0] for line in result.stderr.splitlines()[:3]] == ["*", "?", "("]


def test_check_names_the_invariants_that_were_proved(write: Any) -> None:
    result = run("check", write(PASSES))
    assert result.exit_code == 0
    assert words(result.stdout)[-2:] == ["proved for every request", "✓ never work to partner"]
    assert "the proof covers the rules, not the detectors" in result.stderr
    assert json.loads(run("check", write(PASSES), "--json").stdout)["invariants"] == ["never work to partner"]


def test_an_invariant_is_shown_with_its_condition(write: Any) -> None:
    moment = '{days: [mon, tue, wed, thu, fri], from: "07:00", to: "20:00", zone: Europe/Zurich}'
    policy = POLICY.replace('from: "22:00", to: "06:00"', 'from: "22:00", to: "06:00", zone: Europe/Zurich')
    asked = f"{policy}  - never: {{labels: [work], to: [partner], when: {{time: {moment}}}}}\n"
    said = "✓ never work to partner, when mon–fri 07:00–20:00 Europe/Zurich"
    assert said in words(run("check", write(policy=asked)).stdout)
    assert said in words(run("prove", write(policy=asked)).stdout)


def test_an_invariant_that_does_not_hold_is_a_fault_and_nothing_is_said_to_be_proved(write: Any) -> None:
    result = run(
        "check", write(policy=POLICY.replace("labels: [work], to: [partner]", "labels: [public], to: [house]"))
    )
    assert result.exit_code == 1
    assert "does not hold" in result.stdout
    assert "proved" not in result.stdout


def test_a_warning_fails_only_where_check_is_strict(write: Any) -> None:
    path = write(PASSES, policy=POLICY.replace("  user.age:", "  user.unread: {type: bool}\n  user.age:"))
    assert run("check", path).exit_code == 0
    result = run("check", path, "--strict")
    assert result.exit_code == 1
    assert "fact 'user.unread' is declared, and no rule reads it." in result.stderr
    assert "1 warning; the file loads" in result.stderr


def test_a_hint_is_no_warning(write: Any) -> None:
    result = run("check", write(), "--strict")
    assert result.exit_code == 0
    assert "hint: no tests: " in result.stderr
    assert json.loads(run("check", write(), "--json").stdout)["warnings"] == []
    hints = json.loads(run("check", write(), "--json").stdout)["hints"]
    assert [hint.partition(":")[0] for hint in hints] == [
        "nothing detects 'work'",
        (
            "the condition on time in line 22 is in UTC, since it names no zone. "
            "Write the zone of your clocks, such as zone"
        ),
        "no tests",
    ]


# ---------------------------------------------------------------- explain


def explained(path: str, *arguments: str) -> Any:
    result = run("explain", path, *arguments, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_explain_says_how_a_label_is_redacted_and_where_a_step_overflows(write: Any) -> None:
    shown = words(run("explain", write(), "--label", "contact", "--fact", "user.age=adult").stdout)
    assert "2. out redact (contact: pseudonym), consent" in shown
    long = run("explain", write(), "--label", "public", "--input-tokens", "1501").stdout
    assert words(long)[5:7] == ["plan 1. own", "2. rented overflow of own beyond 85%"]


def test_explain_of_a_tool(write: Any) -> None:
    arguments = ("--label", "contact", "--fact", "user.age=adult", "--tool", "web_search", "--tool", "create_event")
    found = explained(write(), *arguments)["tools"]
    assert found["web_search"]["verdict"] == "ask"
    assert found["web_search"]["redact"] == {"contact": "pseudonym"}
    assert (found["create_event"]["ring"], found["create_event"]["verdict"]) == ("device", "allow")
    denied = explained(
        write(), "--label", "work", "--label", "public", "--fact", "user.age=adult", "--tool", "web_search"
    )
    assert denied["tools"]["web_search"] == {
        "ring": "partner",
        "verdict": "deny",
        "redact": {},
        "reason": "no rule allows label 'work'",
    }
    assert "tools" not in explained(write(), "--label", "work")


TOOL_RULES = {
    "a deny": (
        "{id: no-work, deny: {labels: [work], to: [partner]}, reason: Our secret.}",
        "partner",
        "rule 'no-work' denies 'work': Our secret; no rule allows label 'work'",
    ),
    "a requirement": (
        "{id: bank, allow: {labels: [work], to: [partner]}, require: {attested: true, region: [eu, ch]}, consent: ask}",
        "partner",
        "no rule allows label 'work'; rule 'bank' requires attestation and region ch or eu, which no tool can show",
    ),
    "a fact that is not known": (
        "{id: grown, allow: {labels: [work], to: [partner]}, when: {device.managed: true}, consent: ask}",
        "partner",
        "no rule allows label 'work'; rule 'grown' does not count: device.managed is not known",
    ),
    "the name of a recipient": (
        "{id: out, allow: {labels: [work], to: [out]}, consent: ask}",
        "partner",
        "no rule allows label 'work'",
    ),
}


@pytest.mark.parametrize(("rule", "ring", "reason"), TOOL_RULES.values(), ids=TOOL_RULES)
def test_explain_names_the_rules_that_keep_a_tool_from_being_used(
    write: Any, rule: str, ring: str, reason: str
) -> None:
    policy = POLICY.replace("route:\n", f"  - {rule}\nroute:\n").partition("invariants:")[0]
    arguments = ("--label", "work", "--label", "public", "--fact", "user.age=adult", "--tool", "web_search")
    found = explained(write(policy=policy), *arguments)["tools"]["web_search"]
    assert (found["ring"], found["verdict"], found["reason"]) == (ring, "deny", reason)
    lines = words(run("explain", write(policy=policy), *arguments).stdout)
    assert all(any(line.endswith(sentence) for line in lines) for sentence in reason.split("; "))


def test_explain_of_a_tool_that_the_policy_does_not_declare(write: Any) -> None:
    result = run("explain", write(), "--label", "public", "--tool", "web_serch")
    assert result.exit_code == 0
    assert "tool 'web_serch' is not declared in the policy. Did you mean 'web_search'?" in result.stderr
    assert "web_serch – not ruled" in " ".join(result.stdout.split())
    assert explained(write(), "--label", "public", "--tool", "web_serch")["tools"]["web_serch"]["verdict"] is None


def test_explain_at_a_moment(write: Any) -> None:
    rented = [
        explained(write(), "--label", "work", "--fact", "device.managed=true", "--time", f"2026-11-23T{hour}:00")[
            "recipients"
        ]["rented"]["verdict"]
        for hour in ("12", "23")
    ]
    assert rented == ["allow", "deny"]
    assert "no --time: decided for now, " in run("explain", write(), "--label", "work").stderr
    assert run("explain", write(), "--label", "work", "--time", "noon").exit_code == 2


def test_explain_takes_facts_of_the_device(write: Any) -> None:
    managed = [
        explained(write(), "--label", "work", "--time", "2026-11-23T12:00", *facts)["recipients"]["own"]["verdict"]
        for facts in ((), ("--fact", "device.managed=false"), ("--fact", "device.managed=true"))
    ]
    assert managed == ["deny", "deny", "allow"]


def test_a_text_before_the_file_is_wrong_usage_and_is_not_repeated(write: Any) -> None:
    result = run("explain", "How high is Mount Olympus?", write())
    assert result.exit_code == 2
    assert "FILE comes first, then TEXT" in result.stderr
    assert "Olympus" not in result.stderr


def test_a_ring_is_no_recipient(write: Any) -> None:
    result = run("explain", write(), "--label", "public", "--to", "house")
    assert (result.exit_code, result.stderr) == (2, "error: 'house' is a ring\ntry: name a recipient: own, rented\n")


@pytest.mark.parametrize(
    ("given", "meant"), [("age", "user.age"), ("managed", "device.managed"), ("user.ag", "user.age")]
)
def test_a_fact_is_found_without_what_its_name_begins_with(write: Any, given: str, meant: str) -> None:
    result = run("explain", write(), "--label", "public", "--fact", f"{given}=1")
    assert result.exit_code == 2
    assert f"fact '{given}' is not declared in policy 'small'. Did you mean '{meant}'?" in result.stderr


def test_an_empty_text_is_wrong_usage(write: Any) -> None:
    result = run("explain", write(), " ")
    assert result.exit_code == 2
    assert "TEXT is empty" in result.stderr


# ---------------------------------------------------------------- as a process


def test_the_tests_run_as_a_process_of_their_own(write: Any) -> None:
    program = ("-c", "from ringfence.cli.root import root; root()", "policy", "test", write(PASSES, FAILS))
    done = subprocess.run([sys.executable, *program], capture_output=True, check=False)
    assert done.returncode == 1
    assert "✗ 2 nobody else" in done.stdout.decode()
    assert b"\x1b" not in done.stdout


def test_the_commands_are_imported_one_at_a_time() -> None:
    code = (
        "import sys\nfrom ringfence.cli.policy import policy\n"
        "found = [n for n in sys.modules if n.startswith(('ringfence.review', 'ringfence.cli.policy.', 'rich'))]\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
