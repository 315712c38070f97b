"""`ringfence policy` on the command line: what stands on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.root import root
from ringfence.policy import Facts, json_schema, load_policy

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
TEAM, HOME, RINGS = (str(EXAMPLES / f"{name}.yaml") for name in ("team", "home", "three-rings"))
FAULTY = """version: 1
name: acme
bugdets: []
flow: []
"""
FAULT_LINES = (
    "1:1: key 'recipients' is missing.",
    "1:1: key 'labels' is missing.",
    "1:1: key 'unknown' is missing.",
    "1:1: key 'route' is missing.",
    "3:1: unknown key 'bugdets'. Did you mean 'budgets'?",
)


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(root, ["policy", *arguments], input=stdin)


def document(result: Result) -> Any:
    """The one JSON document that stdout must be."""
    return json.loads(result.stdout)


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(FAULTY)
    return str(path)


# ---------------------------------------------------------------- check


def test_check_of_a_good_file_shows_where_each_label_may_go() -> None:
    result = run("check", TEAM)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "policy 'team' has no faults: 3 recipients, 6 labels, 5 flow rules, 3 routes"
    reach = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[2:]}
    assert reach == {
        "public": "mlx, own-dc",
        "contact": "mlx, own-dc*",
        "financial": "mlx",
        "health": "mlx, own-dc*",
        "work": "mlx, own-dc",
        "unclassified": "mlx",
    }


def test_check_prints_warnings_apart_from_the_result() -> None:
    result = run("check", TEAM)
    missing = "provider 'house' needs directory: and trust:, so 'own-dc' is unavailable."
    assert f"{TEAM}:8:3: warning: {missing}" in result.stderr
    assert "warning" not in result.stdout


def test_check_prints_every_fault_on_a_line_of_its_own(faulty: str) -> None:
    result = run("check", faulty)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [f"{faulty}:{line}" for line in FAULT_LINES]


def test_check_as_json(faulty: str) -> None:
    result = run("check", faulty, "--json")
    found = document(result)
    assert result.exit_code == 1
    assert result.stderr == ""
    assert (found["ok"], found["policy"], found["warnings"]) == (False, None, [])
    assert found["faults"][-1] == {
        "line": 3,
        "column": 1,
        "message": "unknown key 'bugdets'. Did you mean 'budgets'?",
    }


def test_check_of_a_good_file_as_json() -> None:
    result = run("check", TEAM, "--json")
    found = document(result)
    assert result.exit_code == 0
    assert found["policy"] == {"name": "team", "digest": load_policy(TEAM).digest}
    assert found["labels"]["contact"] == {"mlx": "always", "own-dc": "sometimes"}


def test_check_shows_where_a_person_is_asked_first() -> None:
    result = run("check", RINGS)
    reach = {line.split()[0]: " ".join(line.split()[1:]) for line in result.stdout.splitlines()[2:]}
    assert reach["public"] == "mlx, own, openai?, gemini?"
    assert reach["contact"] == "mlx, own"
    assert "? only after a person consents\n" in result.stderr
    assert "* under a condition" not in result.stderr
    assert document(run("check", RINGS, "--json"))["labels"]["public"]["openai"] == "ask"


@pytest.mark.parametrize("name", ["three-rings", "compatible"])
def test_the_examples_beyond_the_device_have_no_warning(name: str) -> None:
    assert document(run("check", str(EXAMPLES / f"{name}.yaml"), "--json"))["warnings"] == []


@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_missing_file_is_wrong_usage(command: str, tmp_path: Path) -> None:
    path = str(tmp_path / "none.yaml")
    result = run(command, path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"policy file '{path}' does not exist" in result.stderr


@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_directory_is_wrong_usage(command: str, tmp_path: Path) -> None:
    result = run(command, str(tmp_path), "--json")
    assert result.exit_code == 2
    assert document(result)["error"]["type"] == "PolicyNotReadable"


# ---------------------------------------------------------------- explain


def test_explain_as_json_is_the_decision() -> None:
    result = run(
        *("explain", TEAM, "--task", "article_summary", "--label", "health", "--input-tokens", "2000"),
        *("--fact", "user.age_band=adult", "--fact", "user.on_call=true", "--fact", "user.clearance=2", "--json"),
    )
    facts = Facts(
        task="article_summary",
        labels=frozenset({"health"}),
        input_tokens=2000,
        values={"user.age_band": "adult", "user.on_call": True, "user.clearance": 2},
    )
    assert result.exit_code == 0
    assert document(result) == load_policy(TEAM).decide(facts).as_dict()
    assert document(result)["plan"] == [
        {"recipient": "own-dc", "ring": "house", "obligations": ["attest"]},
        {"recipient": "mlx", "ring": "device", "obligations": []},
    ]


def test_explain_shows_every_recipient_and_why() -> None:
    result = run("explain", TEAM, "--label", "health")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert {"outcome allow", "plan 1. mlx", "route otherwise"} <= set(lines)
    assert "openai partner deny rule 'partner-never' denies 'health': No contract covers it" in lines
    assert "rule 'house-not-for-minors' denies 'health' (user.age_band is not known, so it counts)" in result.stdout
    assert "rule 'house-health-on-call' does not count: user.clearance and user.on_call are not known" in result.stdout


def test_explain_says_where_only_a_development_authority_vouches(tmp_path: Path) -> None:
    """Such a recipient proves nothing of its machines, and nobody should take it for one that does."""
    (tmp_path / "root.json").write_text("{}")
    file = tmp_path / "policy.yaml"
    file.write_text(
        "version: 1\nlabels: {unclassified: {}}\nunknown: unclassified\nrecipients:\n"
        "  lab: {ring: house, provider: house, model: m, directory: 'http://127.0.0.1:1',"
        " trust: root.json, min_tier: software-dev}\n  own: {ring: house, provider: house, model: m,"
        " directory: 'https://house.example.com', trust: root.json}\nflow:\n"
        "  - {id: all, allow: {labels: '*', to: [house]}}\nroute:\n  - {id: all, prefer: [lab, own]}\n"
    )
    shown = run("explain", str(file), "--label", "unclassified")
    assert [line.split()[0] for line in shown.stdout.splitlines() if "house DEVELOPMENT" in line] == ["lab"]
    assert document(run("explain", str(file), "--label", "unclassified", "--json"))["development"] == ["lab"]
    assert "'lab' is DEVELOPMENT" in run("check", str(file)).stderr


def test_check_says_what_keeps_a_house_from_ever_being_used(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text("{}")
    house = "ring: house, provider: house, model: m, directory: 'https://a.example', trust: root.json"
    file = tmp_path / "policy.yaml"
    file.write_text(
        "version: 1\nlabels: {unclassified: {}}\nunknown: unclassified\nrecipients:\n"
        "  plain: {ring: house, provider: openai, model: m, url: 'https://a.example/v1'}\n"
        f"  slip: {{{house}, min_tier: aple-mda}}\n"
        f"  both: {{{house}, url: 'https://a.example/v1'}}\n"
        "flow:\n  - {id: all, allow: {labels: '*', to: [house]}, require: {attested: true}}\n"
        "route:\n  - {id: all, prefer: [plain, slip, both]}\n"
    )
    said = run("check", str(file)).stderr
    assert "every rule that allows 'plain' wants it attested, which provider 'openai' cannot do" in said
    assert "min_tier 'aple-mda' is none of 'apple-mda' and 'software-dev', so 'slip' is unavailable" in said
    assert "provider 'house' takes no url:, so 'both' is unavailable" in said


def test_explain_shows_where_consent_is_needed() -> None:
    result = run("explain", RINGS, "How tall is Mount Fuji?")
    lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert {"outcome ask", "plan 1. openai consent", "2. gemini consent", "3. mlx fallback"} <= lines
    found = document(run("explain", RINGS, "How tall is Mount Fuji?", "--json"))
    assert found["outcome"] == "ask"
    assert [(step["recipient"], step["obligations"]) for step in found["plan"]] == [
        ("openai", ["consent"]),
        ("gemini", ["consent"]),
        ("mlx", []),
    ]


def test_explain_asks_for_nothing_where_a_partner_may_not_be_reached() -> None:
    found = document(run("explain", RINGS, "write to ann@example.org", "--json"))
    assert (found["outcome"], [step["recipient"] for step in found["plan"]]) == ("allow", ["mlx"])


def test_explain_of_a_denied_request_could_decide() -> None:
    result = run("explain", HOME, "--label", "credentials", "--json")
    assert result.exit_code == 0
    assert document(result)["outcome"] == "deny"
    assert document(result)["recipients"]["mlx"]["rules"] == ["no-secrets"]


def test_explain_finds_the_labels_of_a_text() -> None:
    result = run("explain", HOME, "write to ann@example.org", "--json")
    assert document(result)["labels"] == ["contact"]


def test_explain_reads_the_text_from_stdin() -> None:
    result = run("explain", HOME, "-", "--json", stdin=b"write to ann@example.org")
    assert document(result)["labels"] == ["contact"]


def test_a_declared_label_never_removes_a_hit() -> None:
    result = run("explain", HOME, "write to ann@example.org", "--label", "public", "--json")
    assert document(result)["labels"] == ["contact", "public"]


def test_without_text_and_label_the_labels_are_unknown() -> None:
    result = run("explain", HOME, "--json")
    assert document(result)["labels"] == ["unclassified"]
    assert "no TEXT and no --label: decided for label 'unclassified'" in result.stderr


def test_the_text_is_counted_as_the_core_counts_it() -> None:
    """1,501 tokens: the route over 1,500 is taken; one byte less, and it is not."""
    for size, route in ((4501, "minutes"), (4500, "otherwise")):
        result = run("explain", HOME, "-", "--task", "meeting_minutes", "--json", stdin=b"a" * size)
        assert document(result)["route"] == route


def test_an_unknown_task_is_decided_as_other_and_said() -> None:
    result = run("explain", HOME, "--task", "proofred", "--label", "public", "--json")
    assert result.exit_code == 0
    assert document(result)["task"] == "proofred"
    assert "it is matched as 'other'. Did you mean 'proofread'?" in result.stderr


def test_to_filters_the_plan() -> None:
    result = run("explain", TEAM, "--label", "public", "--to", "own-dc", "--json")
    assert [step["recipient"] for step in document(result)["plan"]] == ["own-dc"]


def test_modality_decides_a_route() -> None:
    result = run("explain", TEAM, "--label", "public", "--modality", "image", "--json")
    assert document(result)["route"] == "heavy-to-house"


MISUSE = {
    "label": (["--label", "helth"], "label 'helth' is not declared in policy 'team'", "health"),
    "recipient": (["--to", "own-cd"], "recipient 'own-cd' is not declared in policy 'team'", "own-dc"),
    "fact": (["--fact", "user.age=adult"], "fact 'user.age' is not declared in policy 'team'", "user.age_band"),
    "fact value": (
        ["--fact", "user.age_band=old"],
        "'old' is not a value of fact 'user.age_band'",
        "adult or minor",
    ),
    "fact bool": (["--fact", "user.on_call=yes"], "'yes' is not a value of fact 'user.on_call'", "true or false"),
    "fact int": (
        ["--fact", "user.clearance=9"],
        "'9' is not a value of fact 'user.clearance'",
        "at least 0 and at most 3",
    ),
    "fact form": (["--fact", "adult"], "--fact takes NAME=VALUE, not 'adult'", "user.age_band=adult"),
    "both sizes": (
        ["text", "--input-tokens", "3"],
        "--input-tokens is for a request without TEXT",
        "leave one of them out",
    ),
}


@pytest.mark.parametrize(("arguments", "message", "way_out"), MISUSE.values(), ids=MISUSE)
def test_what_the_policy_does_not_declare_is_wrong_usage(arguments: list[str], message: str, way_out: str) -> None:
    result = run("explain", TEAM, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert way_out in result.stderr
    as_json = run("explain", TEAM, *arguments, "--json")
    assert as_json.exit_code == 2
    assert message in document(as_json)["error"]["message"]


def test_binary_on_stdin_is_wrong_usage() -> None:
    result = run("explain", HOME, "-", stdin=b"\xff\xfe\x00")
    assert result.exit_code == 2
    assert "standard input is not UTF-8 text" in result.stderr


def test_an_unknown_modality_is_wrong_usage() -> None:
    assert run("explain", HOME, "--modality", "smell").exit_code == 2


def test_explain_of_a_file_with_faults(faulty: str) -> None:
    result = run("explain", faulty)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert all(f"{faulty}:{line}" in result.stderr for line in FAULT_LINES)
    as_json = run("explain", faulty, "--json")
    assert as_json.exit_code == 1
    assert document(as_json)["error"]["type"] == "PolicyInvalid"
    assert document(as_json)["error"]["message"].splitlines()[1:] == [f"{faulty}:{line}" for line in FAULT_LINES]


# ---------------------------------------------------------------- schema


def test_schema_prints_the_schema_and_how_to_use_it() -> None:
    for arguments in ([], ["--json"]):
        result = run("schema", *arguments)
        assert result.exit_code == 0
        assert document(result) == json_schema()
        assert "# yaml-language-server: $schema=./ringfence.policy.schema.json" in result.stderr


# ---------------------------------------------------------------- terminal and process

PROGRAM = ("-c", "from ringfence.cli.root import root; root()", "policy")


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """What a terminal would show."""
    primary, secondary = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with os.fdopen(primary, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, *PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=secondary,
            stderr=subprocess.DEVNULL,
            env={**variables, "TERM": "xterm-256color", "COLUMNS": "120", **environment},
        )
        os.close(secondary)
        shown = b""
        try:
            while chunk := screen.read(65536):
                shown += chunk
        except OSError:
            pass  # Linux reports the other side's close as an error.
        process.wait()
    return shown.decode()


def test_a_terminal_gets_colour_unless_it_says_no() -> None:
    assert "\x1b[" in in_a_terminal("explain", TEAM, "--label", "health")
    # NO_COLOR takes colour away and leaves bold.
    assert "\x1b[3" not in in_a_terminal("explain", TEAM, "--label", "health", NO_COLOR="1")


def test_a_pipe_gets_no_colour() -> None:
    done = subprocess.run([sys.executable, *PROGRAM, "check", TEAM], capture_output=True, check=True)
    assert b"\x1b" not in done.stdout


def test_explain_imports_no_provider_and_no_network() -> None:
    code = (
        "import sys\nfrom ringfence.cli.policy import policy\n"
        f"policy(['explain', {TEAM!r}, '--label', 'health', '--json'], standalone_mode=False)\n"
        "found = [name for name in sys.modules if name.split('.')[0] in ('ringfence_mlx', 'mlx', 'ssl')]\n"
        "print(found, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"
