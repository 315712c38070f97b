"""`ringfence chat`: turns, and what a line that begins with `/` does."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run


def test_a_turn_remembers_those_before(run: Run) -> None:
    result = run("chat", stdin="one\ntwo\n")
    assert (result.exit_code, result.stdout) == (0, "you said: one\nyou said: one | two\n")
    assert result.stderr.count("house · echo/echo") == 2


def test_reset_forgets(run: Run) -> None:
    assert run("chat", stdin="one\n/reset\ntwo\n").stdout == "you said: one\nyou said: two\n"


def test_quit_ends_before_the_rest(run: Run) -> None:
    assert run("chat", stdin="one\n/quit\ntwo\n").stdout == "you said: one\n"


def test_a_refused_turn_fails_and_the_rest_goes_on(run: Run) -> None:
    result = run("chat", stdin="one\n/label health\ntwo\n/label health\nthree\n")
    assert result.exit_code == 1
    assert result.stdout == "you said: one\nyou said: one | three\n"
    assert "error: policy 'small' allows no recipient" in result.stderr


def test_labels_are_shown_and_declared(run: Run) -> None:
    result = run("chat", "--label", "work", stdin="one\n/labels\n")
    assert "the conversation carries: work\n" in result.stderr
    assert "declared for the next turn: work\n" in result.stderr


def test_an_unknown_label_or_command_is_refused(run: Run) -> None:
    result = run("chat", stdin="/label hralth\n/nope\n/label\n")
    assert result.exit_code == 1
    assert "error: label 'hralth' is not declared in policy 'small'\ntry: health\n" in result.stderr
    assert "error: there is no command '/nope'\ntry: /help, or //nope to send it as text\n" in result.stderr
    assert "error: /label takes the name of a label\n" in result.stderr


def test_help_lists_the_commands(run: Run) -> None:
    said = run("chat", stdin="/help\n").stderr
    assert all(f"\n{command}" in f"\n{said}" for command in ("/labels", "/label", "/reset", "/save", "/load", "/quit"))


def test_a_conversation_is_saved_for_its_owner_and_loaded(run: Run, machine: Machine) -> None:
    path = machine.folder / "talk.json"
    run("chat", "--label", "work", stdin=f"one\n/save {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    result = run("chat", stdin=f"/load {path}\n/labels\ntwo\n")
    assert result.stdout == "you said: one | two\n"
    assert "the conversation carries: work\n" in result.stderr


def test_saving_overwrites_nothing(run: Run, machine: Machine) -> None:
    path = machine.folder / "talk.json"
    path.write_text("mine")
    result = run("chat", stdin=f"one\n/save {path}\n")
    assert result.exit_code == 1
    assert path.read_text() == "mine"


def test_what_is_no_saved_conversation_is_refused(run: Run, machine: Machine) -> None:
    path = machine.folder / "talk.json"
    path.write_text("[]")
    result = run("chat", stdin=f"/load {path}\n/load\n/load {machine.folder / 'nowhere'}\n/save {machine.folder}/a/b\n")
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 4


def test_nothing_is_stored_unasked(run: Run, machine: Machine) -> None:
    run("chat", "--no-audit", stdin="a secret\n")
    kept = [path for path in machine.folder.rglob("*") if path.is_file() and machine.site not in path.parents]
    assert not any("a secret" in path.read_text() for path in kept)


def test_json_ends_each_turn_with_the_answer(run: Run) -> None:
    result = run("chat", "--json", stdin="one\n/label health\ntwo\n")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["text"] for line in lines if line.get("type") == "response"] == ["you said: one"]
    assert lines[-1]["error"]["type"] == "Denied"


def test_a_line_that_is_no_text_is_wrong_usage(run: Run) -> None:
    result = run("chat", stdin=b"one\n\xff\n")
    assert (result.exit_code, result.stdout) == (2, "you said: one\n")
