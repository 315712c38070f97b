"""What only a real process shows: pipes, signals, terminals."""

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
from typing import IO, TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Machine


_LIMIT_S = 30.0


class _Reader:
    """Reads a descriptor piece by piece; what comes after a piece waits for the next."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def until(self, wanted: bytes) -> bytes:
        """What comes, up to and with `wanted`."""
        end = time.monotonic() + _LIMIT_S
        while wanted not in self._rest:
            assert time.monotonic() < end, self._rest
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self._rest += os.read(self._descriptor, 65536)
        piece, found, self._rest = self._rest.partition(wanted)
        return piece + found

    def type(self, keys: bytes) -> None:
        """Types at the terminal that is read."""
        os.write(self._descriptor, keys)

    def rest(self) -> bytes:
        """What is left, to the end."""
        pieces = [self._rest]
        while piece := os.read(self._descriptor, 65536):
            pieces.append(piece)
        return b"".join(pieces)


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


Terminal: TypeAlias = "Callable[..., tuple[subprocess.Popen[bytes], _Reader]]"


def test_a_pipe_that_closes_ends_quietly_and_cancels(machine: Machine) -> None:
    process = machine.start("ask", "--to", "slow", "count")
    assert _open(process.stdout).read(4) == b"1\n2\n"
    _open(process.stdout).close()
    assert process.wait(10) == 141
    assert _open(process.stderr).read() == b""
    assert machine.notes() == ["cancelled", "closed"]


def test_a_pipe_that_closes_ends_help_quietly(machine: Machine) -> None:
    process = machine.start("policy", "schema")
    _open(process.stdout).close()
    assert process.wait(10) == 141
    assert b"Traceback" not in _open(process.stderr).read()


def test_ctrl_c_keeps_what_was_printed_and_cancels(machine: Machine) -> None:
    process = machine.start("ask", "--to", "slow", "count")
    _Reader(_open(process.stdout).fileno()).until(b"5\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert _open(process.stderr).read().decode().startswith("cancelled · ")
    assert machine.notes() == ["cancelled", "closed"]
    records = (machine.state / "audit").rglob("*.jsonl")
    assert '"outcome":"cancelled"' in "".join(path.read_text() for path in records).replace(" ", "")


def test_a_termination_cancels_as_well(machine: Machine) -> None:
    process = machine.start("ask", "--to", "slow", "count")
    _Reader(_open(process.stdout).fileno()).until(b"5\n")
    process.terminate()
    assert process.wait(10) == 143
    assert machine.notes() == ["cancelled", "closed"]


def test_ctrl_c_leaves_json_clean(machine: Machine) -> None:
    process = machine.start("ask", "--json", "--to", "slow", "count")
    out = _Reader(_open(process.stdout).fileno())
    before = out.until(b'"text": "5')
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    lines = (before + out.rest()).decode().splitlines()
    assert {json.loads(line)["type"] for line in lines} == {"text_start", "text_delta"}
    assert _open(process.stderr).read() == b""


def test_a_second_ctrl_c_ends_at_once(machine: Machine) -> None:
    (machine.site / "ringfence_tiny" / "__init__.py").write_text(
        (machine.site / "ringfence_tiny" / "__init__.py")
        .read_text()
        .replace('self.note("closed")', 'self.note("closing"); await asyncio.sleep(60)')
    )
    process = machine.start("ask", "--to", "slow", "count")
    _Reader(_open(process.stdout).fileno()).until(b"5\n")
    process.send_signal(signal.SIGINT)
    end = time.monotonic() + 10
    while "closing" not in machine.notes():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130


def test_ctrl_c_in_a_download_keeps_what_came(machine: Machine) -> None:
    process = machine.start("ask", "--to", "stuck", "hello")
    err = _Reader(_open(process.stderr).fileno())
    said = err.until(b"downloading 0 %\n")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    said += err.rest()
    assert b"what came is kept, and goes on with: ringfence models pull --provider tiny stuck" in said
    assert b"Traceback" not in said
    assert (machine.cache / "tiny" / "some.part").read_text() == "kept"


def test_text_comes_before_stdin(machine: Machine) -> None:
    process = machine.start("ask", "Summarize this.", stdin=subprocess.PIPE)
    out, _ = process.communicate(b"A long story.\n", timeout=20)
    assert out.decode() == "you said: Summarize this.\n\nA long story.\n"


def test_json_is_whole_in_any_encoding(machine: Machine) -> None:
    environment = {**machine.environment(), "PYTHONIOENCODING": "latin-1"}
    process = machine.start("ask", "--json", "--no-stream", "caf\u00e9 \u5988 \U0001f370", env=environment)
    out, _ = process.communicate(timeout=20)
    assert json.loads(out)["text"] == "you said: caf\u00e9 \u5988 \U0001f370"


def test_a_silent_pipe_beside_a_text_does_not_hold_the_answer(machine: Machine) -> None:
    process = machine.start("ask", "hello", stdin=subprocess.PIPE)
    assert _open(process.stdout).read() == b"you said: hello\n"
    assert process.wait(10) == 0
    assert b"nothing came on stdin in 3 s, so it was not read" in _open(process.stderr).read()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_a_failure(machine: Machine) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        process = machine.start("ask", "hello", stdout=full)
    assert process.wait(20) == 1
    said = _open(process.stderr).read().decode()
    assert said.startswith("error: cannot write to standard output: no space left on device")
    assert "Traceback" not in said


def test_a_stdout_that_is_closed_hurts_nothing(machine: Machine) -> None:
    command = [sys.executable, "-c", "from ringfence.cli import main; main()", "ask", "hello"]
    found = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command],
        env=machine.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert found.returncode == 0
    assert found.stderr.startswith(b"house")


def test_chat_takes_a_turn_a_line(machine: Machine) -> None:
    process = machine.start("chat", "--to", "echo", stdin=subprocess.PIPE)
    out, said = process.communicate(b"one\n\n//two\n/labels\nthree\n", timeout=20)
    assert process.returncode == 0
    assert out.decode().splitlines() == ["you said: one", "you said: one | /two", "you said: one | /two | three"]
    assert "the conversation carries: unclassified" in said.decode()
    assert ">" not in out.decode()


@pytest.fixture
def terminal(machine: Machine) -> Iterator[Terminal]:
    """Starts a command on a terminal of its own; gives the process and the terminal's other end."""
    primary, secondary = pty.openpty()

    def start(*args: str) -> tuple[subprocess.Popen[bytes], _Reader]:
        process = machine.start(*args, stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True)
        os.close(secondary)
        return process, _Reader(primary)

    yield start
    machine.end()
    os.close(primary)


@pytest.fixture
def recorded(machine: Machine, terminal: Terminal) -> Terminal:
    """As `terminal`, where something was asked before."""
    machine.start("ask", "x").communicate(timeout=20)
    return terminal


def test_nothing_a_model_writes_drives_the_terminal(terminal: Terminal) -> None:
    process, screen = terminal("ask", "--to", "escapes", "x")
    shown = screen.until(b"policy small")
    assert "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}\r\n".encode() in shown
    assert process.wait(10) == 0


def test_nothing_to_ask_on_a_terminal_is_wrong_usage(terminal: Terminal) -> None:
    process, screen = terminal("ask")
    assert b"nothing to ask" in screen.until(b"try:")
    assert process.wait(10) == 2


@pytest.mark.parametrize(
    ("command", "last", "names"),
    [
        ("audit list", b"work-stays-in-house", "time outcome ring recipient task labels tokens rules"),
        ("providers", b"'ringfence doctor'", "provider version state lock recipients what can hosts"),
    ],
)
def test_a_narrow_terminal_gets_a_line_for_each_fact(
    recorded: Terminal, monkeypatch: pytest.MonkeyPatch, command: str, last: bytes, names: str
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    _, screen = recorded(*command.split())
    shown = screen.until(last).decode()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert set(names.split()) <= {line.partition(" ")[0] for line in lines}
    assert max(len(line) for line in lines if "doctor" not in line) <= 60


def test_no_colour_where_it_is_not_wanted(terminal: Terminal) -> None:
    _, screen = terminal("--no-color", "ask", "x")
    shown = screen.until(b"policy small")
    assert b"\x1b" not in shown


def test_colour_on_a_terminal(terminal: Terminal) -> None:
    _, screen = terminal("ask", "x")
    assert b"\x1b[2mhouse" in screen.until(b"policy small")


@pytest.mark.parametrize(("answer", "kept", "code"), [(b"y\n", b"picture 0", 0), (b"\n", b"mine", 2)])
def test_a_person_is_asked_before_a_file_is_overwritten(
    machine: Machine, terminal: Terminal, answer: bytes, kept: bytes, code: int
) -> None:
    picture = machine.folder / "fox.png"
    picture.write_bytes(b"mine")
    process, screen = terminal("ask", "--task", "image", "--to", "draws", "--out", str(picture), "a fox")
    screen.until(b"exists; overwrite it? [y/N]: ")
    screen.type(answer)
    screen.until(b"policy small" if code == 0 else b"exists already")
    assert process.wait(10) == code
    assert picture.read_bytes() == kept


def test_ctrl_c_in_a_chat_cancels_the_answer_and_ctrl_d_ends(terminal: Terminal) -> None:
    process, screen = terminal("chat", "--to", "slow")
    screen.until(b"> ")
    screen.type(b"count\n")
    screen.until(b"\n5")
    process.send_signal(signal.SIGINT)
    screen.until(b"> ")
    time.sleep(0.3)  # readline shows its prompt a moment before it listens; no person is that fast
    process.send_signal(signal.SIGINT)
    screen.until(b"(Ctrl-D ends)")
    screen.until(b"> ")
    screen.type(b"\x04")
    assert process.wait(10) == 0
