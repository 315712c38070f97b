"""Consent on the command line: who is asked, what they see, and that nothing is sent without a yes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import pytest

from ringfence.cli.consent import span
from ringfence.cli.preview import escaped, first_of, quoted

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run

POLICY = """\
version: 1
name: careful
recipients:
  gpt: {ring: partner, provider: tiny, model: echo, url: "https://api.example.test/v1"}
  other: {ring: partner, provider: tiny, model: echo, url: "https://other.example.test/v1"}
  home: {ring: house, provider: tiny, model: echo}
labels:
  work: {declare: true}
  any: {}
unknown: any
flow:
  - id: home
    allow: {labels: [work], to: [home]}
  - id: out
    allow: {labels: [work, any], to: [partner]}
    consent: ask
consent:
  partner: {per: PER, lasts: LASTS, show: [SHOW]}
route:
  - id: only
    prefer: [gpt]
    fallback: FALLBACK
"""

NOBODY = "error: consent for recipient 'gpt' was refused\ntry: --consent gpt\n"


def _policy(
    machine: Machine,
    *,
    per: str = "recipient",
    lasts: str = "request",
    show: str = "recipient, labels, preview",
    fallback: str = "none",
) -> None:
    text = POLICY.replace("PER", per).replace("LASTS", lasts).replace("SHOW", show)
    machine.policy.write_text(text.replace("FALLBACK", fallback))


@pytest.fixture(autouse=True)
def careful(machine: Machine) -> None:
    _policy(machine)


# ------------------------------------------------------------------ without a terminal
def test_with_nobody_to_ask_the_answer_is_no_and_says_how(run: Run, machine: Machine) -> None:
    result = run("ask", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(NOBODY)
    assert machine.notes() == ["closed"]


def test_a_refusal_in_json_is_a_document(run: Run) -> None:
    result = run("ask", "--json", "hello")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == {
        "type": "ConsentRefused",
        "message": "consent for recipient 'gpt' was refused (try: --consent gpt)",
        "decision": None,
    }


def test_consent_may_be_given_beforehand(run: Run) -> None:
    result = run("ask", "--consent", "gpt", "hello")
    assert (result.exit_code, result.stdout) == (0, "you said: hello\n")
    assert re.search(r"partner · gpt/echo · .* s · consented · rule out", result.stderr)


def test_consent_for_another_recipient_is_none_for_this_one(run: Run) -> None:
    assert run("ask", "--consent", "other", "hello").stderr.startswith(NOBODY)


def test_consent_beforehand_never_covers_a_recipient_that_was_not_named(run: Run, machine: Machine) -> None:
    """A yes for a ring is for all on it."""
    _policy(machine, per="ring")
    assert run("ask", "--consent", "gpt", "hello").stderr.startswith(NOBODY)
    assert run("ask", "--consent", "gpt", "--consent", "other", "hello").exit_code == 0


def test_a_recipient_without_consent_is_passed_over_and_said(run: Run, machine: Machine) -> None:
    _policy(machine, fallback="[home]")
    result = run("ask", "--label", "work", "hello")
    assert (result.exit_code, result.stdout) == (0, "you said: hello\n")
    assert result.stderr.startswith("gpt had no consent; answered by home\nhouse · home/echo")


def test_consent_to_a_recipient_that_is_not_declared_is_wrong_usage(run: Run) -> None:
    for command in ("ask", "chat"):
        result = run(command, "--consent", "gtp", *(["x"] if command == "ask" else []))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "error: recipient 'gtp' is not declared in policy 'careful'\ntry: gpt\n"


def test_each_turn_of_a_chat_needs_its_consent(run: Run) -> None:
    assert run("chat", stdin="one\n").stderr.count("consent for recipient 'gpt' was refused") == 1
    assert run("chat", "--consent", "gpt", stdin="one\ntwo\n").stdout == "you said: one\nyou said: one | two\n"


# ------------------------------------------------------------------ at a terminal
class _Screen:
    """The other end of a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.seen = ""

    def until(self, wanted: str) -> str:
        """All that was shown, once `wanted` is among it; fails after 30 s."""
        end = time.monotonic() + 30
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self.seen += os.read(self._descriptor, 65536).decode(errors="replace").replace("\r\n", "\n")
        return self.seen

    def type(self, keys: str) -> None:
        """Types."""
        os.write(self._descriptor, keys.encode())


Start: TypeAlias = "Callable[..., tuple[subprocess.Popen[bytes], _Screen]]"


@pytest.fixture
def start(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a command whose stdin and stderr are a terminal; stdout is a pipe unless the test says otherwise."""
    monkeypatch.setenv("NO_COLOR", "1")
    primary, secondary = pty.openpty()

    def begin(*args: str, on_screen: bool = False, **settings: object) -> tuple[subprocess.Popen[bytes], _Screen]:
        given = {"stdin": secondary, "stderr": secondary, "start_new_session": True, **settings}
        if on_screen:
            given["stdout"] = secondary
        process = machine.start(*args, **given)
        os.close(secondary)
        return process, _Screen(primary)

    yield begin
    machine.end()
    os.close(primary)


def _stdout(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.read().decode()


@pytest.mark.parametrize("answer", ["y", "yes", "Y"])
def test_a_person_sees_where_it_goes_and_what_and_says_yes(start: Start, answer: str) -> None:
    process, screen = start("ask", "--label", "work", "hello there")
    shown = screen.until("send it? [y/N] ")
    for line in (
        "recipient 'gpt' needs your consent\n",
        "  where    partner · api.example.test\n",
        "  model    tiny/echo\n",
        "  task     open_question\n",
        "  labels   work\n",
        "exactly what would be sent:\n",
        "  │ hello there\n",
    ):
        assert line in shown
    screen.type(f"{answer}\n")
    assert "· consented ·" in screen.until("policy careful")
    assert (_stdout(process), process.wait(10)) == ("you said: hello there\n", 0)


def test_a_yes_that_is_stored_says_so_is_used_again_and_is_taken_back(start: Start, run: Run, machine: Machine) -> None:
    _policy(machine, lasts="30d")
    process, screen = start("ask", "hello")
    shown = screen.until("send it? [y/N] ")
    assert "  a yes counts for 30 days, for this task and these labels\n" in shown
    assert "  'ringfence consent revoke' takes it back\n" in shown
    screen.type("y\n")
    assert (_stdout(process), process.wait(10)) == ("you said: hello\n", 0)
    assert "· consented ·" in run("ask", "again").stderr
    assert "gpt" in run("consent", "list").stdout
    assert run("consent", "revoke", "--recipient", "gpt").stderr == "1 consent revoked\n"
    assert run("ask", "again").stderr.startswith(NOBODY)


@pytest.mark.parametrize(
    ("seconds", "said"), [(86_400, "1 day"), (7_200, "2 hours"), (90 * 60, "90 minutes"), (61, "61 seconds")]
)
def test_a_span_of_time_is_said_in_its_largest_unit(seconds: int, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize("answer", ["\n", "n\n", "v\n", "yy\n", "yes please\n", "\x04"])
def test_anything_but_yes_is_no(start: Start, machine: Machine, answer: str) -> None:
    process, screen = start("ask", "hello")
    screen.until("send it? [y/N] ")
    screen.type(answer)
    shown = screen.until("was refused")
    assert process.wait(10) == 1
    assert _stdout(process) == ""
    assert "--consent" not in shown
    assert machine.notes() == ["closed"]


def test_a_long_text_is_cut_and_shown_whole_on_demand(start: Start) -> None:
    process, screen = start("ask", "x" * 1990 + "the very last words")
    shown = screen.until("send it? [y/N/v] ")
    assert "… 9 more characters; v shows all" in shown
    assert "last words" not in shown.replace("\n  │ ", "")
    screen.type("v\n")
    shown = screen.until("send it? [y/N] ")
    assert "the very last words" in shown.replace("\n  │ ", "")
    screen.type("y\n")
    assert process.wait(20) == 0


def test_the_policy_says_whether_the_text_is_shown(start: Start, machine: Machine) -> None:
    _policy(machine, show="recipient")
    process, screen = start("ask", "my hidden words")
    shown = screen.until("send it? [y/N] ")
    assert "hidden" not in shown
    assert "exactly what" not in shown
    screen.type("n\n")
    assert process.wait(10) == 1


def test_a_text_cannot_drive_the_terminal_that_asks(start: Start) -> None:
    process, screen = start("ask", "\x1b[2J\u202eevil\nsend it? [y/N] ")
    shown = screen.until("\nsend it? [y/N] ")
    assert r"  │ \x1b[2J\u202eevil" in shown
    assert "\x1b[2J" not in shown
    screen.type("n\n")
    assert process.wait(10) == 1


def test_ctrl_c_at_the_question_is_no_answer_and_130(start: Start, machine: Machine) -> None:
    process, screen = start("ask", "hello")
    screen.until("send it? [y/N] ")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert "\ncancelled · " in screen.until("policy careful")
    assert _stdout(process) == ""
    assert machine.notes() == ["closed"]


def test_the_sign_of_waiting_makes_way_for_the_question_and_comes_back(start: Start) -> None:
    process, screen = start("ask", "hello", on_screen=True)
    shown = screen.until("send it? [y/N] ")
    assert "…\r \rrecipient 'gpt' needs your consent\n" in shown
    screen.type("y\n")
    assert "send it? [y/N] y\n…\r \ryou said: hello\n" in screen.until("policy careful")
    assert process.wait(10) == 0


def test_the_question_leaves_json_clean(start: Start) -> None:
    process, screen = start("ask", "--json", "--no-stream", "hello")
    screen.until("send it? [y/N] ")
    screen.type("y\n")
    document = json.loads(_stdout(process))
    assert (process.wait(10), document["text"], document["receipt"]["consented"]) == (0, "you said: hello", True)


def test_a_ring_is_asked_for_as_a_ring(start: Start, machine: Machine) -> None:
    _policy(machine, per="ring")
    process, screen = start("ask", "hello")
    assert "a yes counts for every recipient on ring partner" in screen.until("send it? [y/N] ")
    screen.type("n\n")
    assert process.wait(10) == 1


def test_nobody_is_asked_who_does_not_see_the_question(start: Start) -> None:
    process, _ = start("ask", "hello", stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.read().decode().startswith(NOBODY)
    assert process.wait(10) == 1


def test_a_line_typed_before_the_question_is_no_answer_to_it(start: Start) -> None:
    process, screen = start("chat", stdout=subprocess.PIPE)
    screen.until("> ")
    screen.type("hello\ny\ny\n")
    screen.until("send it? [y/N] ")
    screen.type("n\n")
    screen.until("was refused")
    screen.until("> ")
    screen.type("\x04")
    assert process.wait(10) == 0
    assert _stdout(process) == ""


def test_ctrl_c_at_the_question_of_a_chat_ends_the_turn_and_the_keys_are_the_chats_again(start: Start) -> None:
    process, screen = start("chat", stdout=subprocess.PIPE)
    screen.until("> ")
    screen.type("hello\n")
    screen.until("send it? [y/N] ")
    process.send_signal(signal.SIGINT)
    screen.until("cancelled · ")
    screen.type("/labels\n")
    screen.until("declared for the next turn: none")
    screen.type("\x04")
    assert process.wait(10) == 0


# Makes the terminal on stderr the controlling one, which is what /dev/tty is.
_ON_TTY = """\
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.close(os.open(os.ttyname(2), os.O_RDWR))
from ringfence.cli import main
main()
"""


def test_the_text_may_be_piped_in_and_the_person_still_be_asked(machine: Machine, start: Start) -> None:
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_TTY, "ask"],
        env={**machine.environment(), "NO_COLOR": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=secondary,
        start_new_session=True,
    )
    machine.processes.append(process)
    os.close(secondary)
    assert process.stdin is not None
    process.stdin.write(b"y\n")
    process.stdin.close()
    screen = _Screen(primary)
    screen.until("send it? [y/N] ")
    screen.type("y\n")
    assert (_stdout(process), process.wait(10)) == ("you said: y\n", 0)
    os.close(primary)


# ------------------------------------------------------------------ the preview
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ntwo", "plain\ntwo"),
        ("a\tb", "a    b"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("\x1b\x07\x9b", "\\x1b\\x07\\x9b"),
        ("\u202e\u200b\u2028", "\\u202e\\u200b\\u2028"),
        ("妈妈 é", "妈妈 é"),
        ("\ud800", "\\ud800"),
    ],
)
def test_every_character_of_a_preview_can_be_seen(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("text", "shown", "left"),
    [
        ("short", "short", 0),
        ("x" * 2000, "x" * 2000, 0),
        ("x" * 2001, "x" * 2000, 1),
        ("\n".join(["y"] * 30), "\n".join(["y"] * 30), 0),
        ("\n".join(["y"] * 31), "\n".join(["y"] * 30), 2),
    ],
)
def test_a_preview_is_bounded_and_counts_what_is_left(text: str, shown: str, left: int) -> None:
    assert first_of(text) == (shown, left)


def test_a_long_line_stays_behind_its_bar() -> None:
    lines = quoted("a" * 300 + "\n" + "妈" * 100 + "\n", 80).split("\n")
    assert all(line.startswith("  │ ") for line in lines)
    assert max(len(line) + sum(not one.isascii() for one in line[4:]) for line in lines) <= 80
    assert "".join(line[4:] for line in lines) == "a" * 300 + "妈" * 100
