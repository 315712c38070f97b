"""The command line in processes of its own: what it prints, leaves on the disk and shows of itself in the system."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.canary.conftest import Recorder
from tests.canary.support import OPEN, PIXEL, SHUT, canaries, canary, found_in, policy, redacting

from ringfence.testing import PartnerServer, Scene

ALL = canaries()
TEXT = " and ".join(canary(kind, "user") for kind in ("email", "credit_card", "iban", "secret"))
_MAIN = "from ringfence.cli import main; main()"


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A user's own folders, and commands in them."""

    folder: Path
    policy: Path

    @property
    def environment(self) -> dict[str, str]:
        names = {"RINGFENCE_STATE_DIR": "state", "RINGFENCE_CACHE_DIR": "cache", "TMPDIR": "tmp", "HOME": "home"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RINGFENCE_", "XDG_"))}
        return {
            **kept,
            **{name: str(self.folder / at) for name, at in names.items()},
            "RINGFENCE_POLICY": str(self.policy),
            "CANARY_KEY": "sk-key-of-the-partner",
            "PYTHONWARNINGS": "always",
            "PYTHONASYNCIODEBUG": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
        }

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`ringfence ARGUMENTS`, with `stdin`."""
        command = [sys.executable, "-c", _MAIN, *map(str, arguments)]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=self.environment, cwd=self.folder, check=False
        )

    def kept(self) -> Iterator[tuple[str, bytes]]:
        """Every file, and its name."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.parent != self.folder:
                yield path.name, path.read_bytes() + os.fsencode(path.name)

    def leaks(self) -> list[str]:
        """Files that hold a canary."""
        return [name for name, data in self.kept() if found_in(data, ALL)]


@pytest.fixture
def shell(tmp_path: Path, wire: Recorder, partner_server: PartnerServer) -> Shell:
    partner_server.openai.play(Scene(text=("I see.",)))
    for name in ("state", "cache", "tmp", "home"):
        (tmp_path / name).mkdir(mode=0o700)
    path = tmp_path / "policy.yaml"
    path.write_text(policy(redacting("pseudonym"), wire.url))
    return Shell(folder=tmp_path, policy=path)


def _rewrite(shell: Shell, wire: Recorder, flow: str) -> None:
    shell.policy.write_text(policy(flow, wire.url))


def test_ask_shows_the_answer_and_nothing_of_the_question(shell: Shell, wire: Recorder) -> None:
    for options in ((), ("--json", "--no-stream")):
        done = shell.run("ask", "--consent", "out", *options, stdin=TEXT)
        assert done.returncode == 0, done.stderr
        assert "I see." in done.stdout
        assert found_in(done.stdout + done.stderr, ALL) == set()
    assert json.loads(done.stdout)["receipt"]["redactions"] == {"contact": 1, "credentials": 1, "financial": 2}
    assert wire.sent()
    assert found_in(wire.sent(), ALL) == set()
    assert shell.leaks() == []


def test_a_refused_question_is_shown_nowhere(shell: Shell, wire: Recorder) -> None:
    _rewrite(shell, wire, SHUT)
    denied = shell.run("ask", "--json", stdin=TEXT)
    _rewrite(shell, wire, OPEN)
    nobody = shell.run("ask", stdin=TEXT)
    misused = shell.run("ask", "--label", "helth", stdin=TEXT)
    for done, code in ((denied, 1), (nobody, 1), (misused, 2)):
        assert done.returncode == code
        assert found_in(done.stdout + done.stderr, ALL) == set()
    assert not wire.connections
    assert shell.leaks() == []


def test_attachments_are_shown_nowhere(shell: Shell, wire: Recorder) -> None:
    _rewrite(shell, wire, SHUT)
    notes = shell.folder / f"{canary('email', 'text_file_name')}.txt"
    notes.write_text(canary("iban", "text_file"))
    picture = shell.folder / "p.png"
    picture.write_bytes(PIXEL + canary("secret", "picture").encode())
    done = shell.run("ask", "--attach", notes, "--attach", picture, "What?")
    assert done.returncode == 1
    assert found_in(done.stdout + done.stderr, ALL) == set()
    assert not wire.connections
    assert shell.leaks() == []


def test_what_the_policy_commands_say_of_a_text_holds_none_of_it(shell: Shell) -> None:
    with shell.policy.open("a") as file:
        file.write(f'tests:\n  - name: one\n    request: {{text: "{TEXT}"}}\n    expect: {{plan: [near]}}\n')
    done = shell.run("policy", "explain", shell.policy, TEXT)
    assert (done.returncode, found_in(done.stdout + done.stderr, ALL)) == (0, set())
    for command in ("test", "check"):
        done = shell.run("policy", command, shell.policy)
        # The one test expects what is not so: a test that fails says most.
        assert done.returncode == (1 if command == "test" else 0), done.stdout + done.stderr
        assert found_in(done.stdout + done.stderr, ALL) == set()
    assert shell.leaks() == []


def test_the_record_of_all_that_holds_no_content(shell: Shell, wire: Recorder) -> None:
    shell.run("ask", "--consent", "out", stdin=TEXT)
    _rewrite(shell, wire, SHUT)
    shell.run("ask", stdin=TEXT)
    page = shell.folder / "home" / "page.html"
    for arguments in (
        ("audit", "export"),
        ("report", "--html", page),
        ("consent", "list", "--all"),
    ):
        done = shell.run(*arguments)
        assert found_in(done.stdout + done.stderr, ALL) == set(), arguments
    listed = shell.run("audit", "list", "--json")
    assert len(json.loads(listed.stdout)["records"]) == 2
    assert found_in(listed.stdout + listed.stderr, ALL) == set()
    assert page.is_file()
    assert shell.leaks() == []


def test_a_chat_at_a_terminal_keeps_nothing(shell: Shell, wire: Recorder) -> None:
    """Also while it runs: not in its command line, not in the environment of it or of what it starts."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", _MAIN, "chat"]
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=shell.environment,
        cwd=shell.folder,
        start_new_session=True,
        preexec_fn=_takes_the_terminal,  # noqa: PLW1509  (one thread here needs nothing of the child)
    )
    os.close(slave)
    try:
        _until(master, "> ")
        os.write(master, f"{TEXT}\n".encode())
        shown = _until(master, "[y/N")
        # The terminal echoes what was typed; the question after it shows what would be sent.
        question = shown[shown.index("needs your consent") :]
        assert "[EMAIL-1-" in question
        assert found_in(question, ALL) == set()
        assert [found_in(data, ALL) for data in _of_the_system(process.pid)] == [set(), set()]
        os.write(master, b"y\n")
        shown = _until(master, "partner ")
        assert "I see." in shown
        if not shown.endswith("> "):
            _until(master, "> ")
        os.write(master, b"\x04")
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert wire.sent()
    assert found_in(wire.sent(), ALL) == set()
    assert shell.leaks() == []


def _takes_the_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _until(master: int, mark: str) -> str:
    """What the terminal shows, up to `mark`."""
    shown, deadline_s = "", time.monotonic() + 30
    while mark not in shown:
        assert time.monotonic() < deadline_s, shown
        if select.select([master], [], [], 0.2)[0]:
            shown += os.read(master, 65_536).decode(errors="replace")
    return shown


def _of_the_system(pid: int) -> list[bytes]:
    """What the system shows of a process: its command line and its environment."""
    return [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
