"""Every command and snippet of the README runs, as it stands there.

A fenced block's info string says what it is: `python` runs as a script; `yaml`, `toml` or `text` whose first line is
`# file: NAME` is written to that file; `console` lines that begin with `$ ` are commands, run in order in one folder
that holds the files. The two set-up commands, which make an environment, are run by `.ci/run`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = re.compile(r"<!-- command: \w+ -->.*?<!-- end -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    line: int
    kind: str
    text: str


def blocks() -> list[Block]:
    readme = SET_UP.sub(lambda found: "\n" * found.group().count("\n"), README)
    return [Block(readme.count("\n", 0, m.start()) + 1, m.group(1), m.group(2)) for m in BLOCK.finditer(readme)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader's folder holds: the clone's examples and providers, and the files the README tells to write."""
    place = tmp_path_factory.mktemp("readme")
    for name in ("examples", "providers"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for block in blocks():
        if named := re.match(r"# file: (\S+)\n", block.text):
            path = place / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    return place


def run(arguments: list[str] | str, folder: Path, *, shell: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {
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
    environment.pop("RINGFENCE_POLICY", None)
    return subprocess.run(
        arguments, cwd=folder, env=environment, shell=shell, capture_output=True, text=True, timeout=280, check=False
    )


def _id(block: Block) -> str:
    return f"line {block.line}"


@pytest.mark.model
@pytest.mark.parametrize("block", [b for b in blocks() if b.kind == "python"], ids=_id)
def test_a_python_snippet_of_the_readme_runs(block: Block, folder: Path) -> None:
    if re.match(r"# file: ", block.text):
        compile(block.text, f"README.md:{block.line}", "exec")
    else:
        done = run([sys.executable, "-W", "error", "-c", block.text], folder)
        assert done.returncode == 0, done.stderr


def commands() -> list[tuple[int, str, int]]:
    """Line, command, and the exit code that a comment `# exits N` at its end promises."""
    found: list[tuple[int, str, int]] = []
    for block in blocks():
        if block.kind != "console":
            continue
        for number, line in enumerate(block.text.splitlines()):
            if line.startswith("$ "):
                promised = re.search(r"# exits (\d+)$", line)
                found.append((block.line + number + 1, line[2:], int(promised.group(1)) if promised else 0))
    return found


@pytest.mark.model
@pytest.mark.parametrize(("line", "command", "code"), commands(), ids=lambda value: str(value)[:60])
def test_a_command_of_the_readme_does_what_it_says(line: int, command: str, code: int, folder: Path) -> None:
    done = run(command, folder, shell=True)
    assert done.returncode == code, f"README.md:{line}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("named", "file"),
    [
        (
            "my-provider/src/ringfence_echo/ringfence-provider.toml",
            "provider/src/ringfence_echo/ringfence-provider.toml",
        )
    ],
)
def test_a_file_that_the_readme_quotes_is_the_example(named: str, file: str, folder: Path) -> None:
    quoted = (folder / named).read_text(encoding="utf-8").partition("\n")[2]
    assert quoted == (ROOT / "examples" / file).read_text(encoding="utf-8")


def test_the_readme_has_the_two_set_up_commands() -> None:
    names = re.findall(r"<!-- command: (\w+) -->", README)
    assert names == ["ask", "test"]
