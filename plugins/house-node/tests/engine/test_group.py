"""A command and all that it starts live and end together."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from ringfence_house_node.engine.group import Group

# ruff: noqa: ASYNC220
_SLEEPS = "import time; time.sleep(600)"
_NODE = """
import asyncio, sys
from ringfence_house_node.engine.group import Group

async def main():
    await Group.start(sys.argv[1:])
    print("started", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_ending_it_leaves_nothing_not_even_what_began_a_session_of_its_own(
    fake: Any, until: Any, lives: Any
) -> None:
    group = await Group.start(fake.command)
    await until(lambda: len(fake.pids) == 2)
    assert all(map(lives, fake.pids))
    await group.end()
    assert not any(map(lives, (*fake.pids, group.pid)))
    await group.end()


async def test_one_that_ends_takes_all_with_it_and_its_exit_code_is_known(fake: Any, until: Any, lives: Any) -> None:
    group = await Group.start(fake.command)
    await until(lambda: len(fake.pids) == 2)
    # Its rank has a session of its own, and nobody is left who knows it but the keeper.
    os.kill(fake.pids[0], signal.SIGKILL)
    await asyncio.wait_for(group.wait(), 30)
    assert group.exit_code == 128 + signal.SIGKILL
    assert not any(map(lives, fake.pids))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ((sys.executable, "-S", "-c", "raise SystemExit(7)"), 7),
        ((sys.executable, "-S", "-c", "import os; os.abort()"), 128 + signal.SIGABRT),
        (("/no/such/command",), 127),
    ],
)
async def test_the_exit_code_is_that_of_the_command(command: tuple[str, ...], code: int) -> None:
    group = await Group.start(command)
    await asyncio.wait_for(group.wait(), 30)
    assert group.exit_code == code


async def test_one_that_takes_no_notice_is_killed(tmp_path: Any, until: Any) -> None:
    ready = tmp_path / "ready"
    stubborn = f"import signal; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w'); {_SLEEPS}"
    group = await Group.start((sys.executable, "-S", "-c", stubborn))
    await until(ready.exists)
    await group.end()
    assert group.exit_code == 128 + signal.SIGKILL


async def test_what_it_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    group = await Group.start((sys.executable, "-S", "-c", "import os; os.write(1, b'canary'); os.write(2, b'canary')"))
    await asyncio.wait_for(group.wait(), 30)
    assert group.exit_code == 0
    assert "canary" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_node_that_is_killed_leaves_nothing(fake: Any, until: Any, lives: Any, number: int) -> None:
    node = subprocess.Popen([sys.executable, "-c", _NODE, *fake.command], stdout=subprocess.PIPE)
    try:
        await until(lambda: len(fake.pids) == 2)
        os.kill(node.pid, number)
        await until(lambda: not any(map(lives, fake.pids)))
    finally:
        node.kill()
        node.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no system call ties a child to its parent")
async def test_a_keeper_that_is_killed_takes_the_command_with_it(fake: Any, until: Any, lives: Any) -> None:
    group = await Group.start(fake.command)
    await until(lambda: len(fake.pids) == 2)
    os.kill(group.pid, signal.SIGKILL)
    await until(lambda: not lives(fake.pids[0]))
    # Its ranks were started by it and not by the keeper: what is left of a group without both is its own to end.
    os.kill(fake.pids[1], signal.SIGKILL)
    await group.wait()
