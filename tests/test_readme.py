"""Every command and snippet of the README runs, as it stands there.

`python` blocks run as scripts, in one process as `tests.one_process` says; the rest is as `tests.markdown` says. The
two set-up commands, which make an environment, are run by `.ci/run`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.markdown import ROOT, Block, Command, Server, blocks, commands, copy_clone, environment, run, start, write
from tests.one_process import Done, run_together

README = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = re.compile(r"<!-- command: \w+ -->.*?<!-- end -->", re.DOTALL)
PORT = "8443"
BLOCKS = blocks(SET_UP.sub(lambda found: "\n" * found.group().count("\n"), README))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, port: str) -> Path:
    """What a reader's folder holds: the clone's examples and members, and the files the README tells to write."""
    place = tmp_path_factory.mktemp("readme")
    copy_clone(place, "examples", "providers", "plugins")
    for block in BLOCKS:
        if named := block.named():
            write(place / named, block.text.replace(PORT, port))
    return place


@pytest.fixture(scope="module")
def port() -> str:
    """Takes the place of the README's port: somebody else on this machine may have that one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    """The servers that the README starts; they drain and end without a fault when it is done with."""
    started: list[Server] = []
    yield started
    assert [server.stop() for server in started] == [0] * len(started)


def _id(block: Block) -> str:
    return f"line {block.line}"


PYTHON = [block for block in BLOCKS if block.kind == "python"]


@pytest.fixture(scope="module")
def done(folder: Path) -> dict[int, Done]:
    """What each script did, by its line."""
    scripts = [block for block in PYTHON if not block.named()]
    found = run_together([("-c", block.text) for block in scripts], folder, environment(folder))
    return {block.line: one for block, one in zip(scripts, found, strict=True)}


@pytest.mark.model
@pytest.mark.parametrize("block", PYTHON, ids=_id)
def test_a_python_snippet_of_the_readme_runs(block: Block, done: dict[int, Done]) -> None:
    if block.named():
        compile(block.text, f"README.md:{block.line}", "exec")
    else:
        assert done[block.line].code == 0, done[block.line].stderr


@pytest.mark.model
@pytest.mark.parametrize("promised", commands(BLOCKS), ids=lambda one: f"{one.line}-{one.command[:50]}")
def test_a_command_of_the_readme_does_what_it_says(
    promised: Command, folder: Path, servers: list[Server], port: str
) -> None:
    command = promised.command.replace(PORT, port)
    if command.endswith(" &"):
        servers.append(server := start(command, folder))
        assert server.up(promised.shows.replace(PORT, port)), f"README.md:{promised.line}: {server.text()}"
        return
    done = run(command, folder, shell=True)
    assert done.returncode == promised.code, f"README.md:{promised.line}: {done.stdout}{done.stderr}"


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
