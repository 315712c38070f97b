"""What a document in Markdown tells a reader to write and to run: its fenced blocks, in one folder.

A block whose first line is `# file: NAME` is written to that file. In a `console` block the lines that begin with `$ `
are commands, run in order; a comment `# exits N` at the end of one promises its exit code, otherwise it is 0. One that
ends with ` &` is a server: it is up when it has printed what the document shows under it, `…` standing for anything.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMISED = re.compile(r"# exits (\d+)$")


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is that of its fence; `kind` is the word behind it."""

    line: int
    kind: str
    text: str

    def named(self, what: str = "file") -> str | None:
        """The NAME in `# file: NAME`, or another such word, on the first line."""
        found = re.match(rf"# {what}: (\S+)\n", self.text)
        return found.group(1) if found else None


@dataclass(frozen=True)
class Command:
    """One command; `shows` is what the document prints under it, "" where it prints nothing."""

    line: int
    command: str
    code: int
    shows: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks in their order."""
    return [Block(text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2)) for m in _BLOCK.finditer(text)]


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a `console` block."""
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        command = lines[start][2:]
        promised = _PROMISED.search(command)
        yield Command(
            block.line + start + 1,
            command,
            int(promised.group(1)) if promised else 0,
            "\n".join(lines[start + 1 : end]),
        )


def commands(of: Iterable[Block]) -> list[Command]:
    """The commands of all `console` blocks."""
    return [command for block in of if block.kind == "console" for command in commands_of(block)]


def as_shown(shown: str, printed: str) -> bool:
    """Whether `printed` is what the document shows, `…` standing for anything."""
    parts = shown.split("…")
    return re.fullmatch(".*".join(map(re.escape, parts)), printed.rstrip("\n"), re.DOTALL) is not None


def copy_clone(place: Path, *names: str) -> None:
    """Puts folders of the clone where the reader stands."""
    for name in names:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))


def write(path: Path, text: str) -> None:
    """Writes a file that a document tells to write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def environment(folder: Path) -> dict[str, str]:
    """That of a reader who works in `folder`."""
    found = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RINGFENCE_STATE_DIR": str(folder / "state"),
        "RINGFENCE_CONFIG_DIR": str(folder / "config"),
        "COLUMNS": "120",
        "PYTHONPATH": str(folder / "site"),
        # What a reader installs goes into a folder of its own, built with what is here.
        "PIP_TARGET": str(folder / "site"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the wrong way round: 0 means no isolation
        "PIP_QUIET": "1",
    }
    for name in ("RINGFENCE_POLICY", "RINGFENCE_LAYERS"):
        found.pop(name, None)
    return found


@dataclass(frozen=True)
class Server:
    """A process that goes on, and the file of what it prints."""

    process: subprocess.Popen[bytes]
    printed: Path

    def up(self, shows: str, within_s: float = 240.0) -> bool:
        """Whether it printed the last line of `shows` in time, before it ended."""
        wanted = re.escape(shows.strip().splitlines()[-1]).replace("…", ".*")
        ends = time.monotonic() + within_s
        while time.monotonic() < ends and self.process.poll() is None:
            if re.search(wanted, self.text()):
                return True
            time.sleep(0.1)
        return False

    def text(self) -> str:
        """What it printed until now."""
        return self.printed.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Ends it as a service manager would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()


def start(command: str, folder: Path) -> Server:
    """Starts a command that ends with ` &`."""
    printed = folder / "server.log"
    with printed.open("wb") as out:
        # exec: a signal is for the server and not for a shell before it.
        process = subprocess.Popen(
            f"exec {command.removesuffix(' &')}",
            cwd=folder,
            env=environment(folder),
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    return Server(process, printed)


def run(
    arguments: list[str] | str, folder: Path, *, shell: bool = False, together: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs a command as the reader would in `folder`; `together` puts what goes to stderr among what goes to stdout."""
    return subprocess.run(
        arguments,
        cwd=folder,
        env=environment(folder),
        shell=shell,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if together else subprocess.PIPE,
        text=True,
        timeout=280,
        check=False,
    )
