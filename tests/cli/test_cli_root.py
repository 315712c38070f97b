"""The command itself: help, versions, exit codes, completion."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from ringfence import __version__
from ringfence.cli.root import Root

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run


COMMANDS = ("ask", "chat", "policy", "providers", "models", "doctor", "audit", "completion")


def test_help_lists_every_command(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: ringfence {name}")
    assert "\\b" not in result.stdout


def test_help_imports_no_command_and_nothing_heavy() -> None:
    """Of all that a request needs, `--help` loads nothing; it looks which plugins bring commands."""
    code = (
        "import sys\n"
        "from ringfence.cli.root import root\n"
        "try: root.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(found.stderr.split())
    unwanted = {"asyncio", "rich", "ringfence.assistant", "ringfence.routing", "ruamel", "ringfence_house"}
    assert "ringfence.cli.root" in loaded
    assert not unwanted & loaded
    assert not {f"ringfence.cli.{name}" for name in COMMANDS} & loaded


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"ringfence {__version__}\n"


def test_no_command_is_wrong_usage_and_shows_help(run: Run) -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


def test_an_unknown_command_names_the_nearest(run: Run) -> None:
    result = run("provider")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no such command 'provider'")
    assert "providers" in result.stderr


def test_an_unknown_option_is_wrong_usage(run: Run) -> None:
    result = run("ask", "--polcy", "x", "hi")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no such option '--polcy'")
    assert result.stderr.endswith("try: ringfence ask --help\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_the_shell(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_RINGFENCE_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ringfence mo", {"models"}),
        ("ringfence models p", {"pull"}),
        ("ringfence ask --label h", {"health"}),
        ("ringfence ask --to ec", {"echo"}),
        ("ringfence ask --task article", {"article_summary"}),
    ],
)
def test_completion_completes_names(run: Run, monkeypatch: pytest.MonkeyPatch, words: str, expected: set[str]) -> None:
    monkeypatch.setenv("_RINGFENCE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    result = run()
    assert {line.partition(",")[2] for line in result.stdout.split()} == expected


def test_a_faulty_policy_file_is_refused_with_every_fault(run: Run, machine: Machine) -> None:
    machine.policy.write_text("version: 1\nname: x\nlables: {}\nflw: []\n")
    result = run("ask", "hi")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{machine.policy}:3:1: " in result.stderr
    assert f"{machine.policy}:4:1: " in result.stderr


def test_a_faulty_policy_file_is_refused_in_json(run: Run, machine: Machine) -> None:
    machine.policy.write_text("version: 1\nlables: {}\n")
    result = run("ask", "hi", "--json")
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, result.stderr) == (1, "")
    assert (error["type"], error["decision"]) == ("PolicyInvalid", None)
    assert f"{machine.policy}:2:1: " in error["message"]


@pytest.mark.parametrize("command", ["ask", "chat", "providers"])
def test_a_missing_policy_file_is_wrong_usage(run: Run, command: str) -> None:
    result = run(command, "--policy", "nowhere.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: policy file 'nowhere.yaml' does not exist\ntry: check the path\n"


def test_a_policy_in_the_working_directory_is_not_taken(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RINGFENCE_POLICY")
    monkeypatch.chdir(machine.folder)
    (machine.folder / "ringfence.policy.yaml").write_text(machine.policy.read_text())
    assert json.loads(run("providers", "--json").stdout)["policy"] == "built-in"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ask", "hi", "--qqqqqq", "--json"), "no such option '--qqqqqq' (try: ringfence ask --help)"),
        (("ask", "--json", "--max-tokens", "many"), "'many' is not a valid integer"),
        (("policy", "check", "--json"), "missing argument"),
    ],
)
def test_wrong_usage_is_a_document_where_json_is_asked_for(run: Run, args: tuple[str, ...], message: str) -> None:
    result = run(*args)
    error = json.loads(result.stdout)["error"]
    assert (result.exit_code, result.stderr) == (2, "")
    assert (error["type"], error["decision"]) == ("InvalidRequest", None)
    assert message in error["message"]


def test_json_after_two_dashes_is_text(run: Run) -> None:
    result = run("ask", "--qqqqqq", "--", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no such option '--qqqqqq'\n")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "keys/gone"), "cannot use 'keys/gone': no such file"),
        (OSError(28, "No space left on device"), "cannot write to standard output: no space left on device"),
    ],
    ids=["of a file", "of stdout"],
)
def test_a_fault_of_a_file_is_not_called_one_of_stdout(
    capsys: pytest.CaptureFixture[str], fault: OSError, said: str
) -> None:
    @click.command(cls=Root, lazy={}, invoke_without_command=True)
    def failing() -> None:
        raise fault

    with pytest.raises(SystemExit) as ended:
        failing.main([])
    assert ended.value.code == 1
    assert f"error: {said}" in capsys.readouterr().err
