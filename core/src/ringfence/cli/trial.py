"""Every detector tried on a short sample, in a process that is ended where one of them does not come back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

from ringfence.cli.trial_child import START
from ringfence.privacy.detection import Failure

PATIENCE_S = 30.0
"""For one detector to be loaded and to scan the sample."""

SAMPLE = "Write to Anna Muster, anna@example.test, +41 44 668 18 00."
"""What every detector is tried on: short, and about nobody."""


@dataclass(frozen=True, slots=True)
class Hung:
    """It did not come back within `after_s`."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Died:
    """It ended the process; `how` is the name of a signal, or an exit code."""

    how: str


async def tried(kinds: Sequence[str]) -> dict[str, Failure | Hung | Died]:
    """The kinds that gave no valid answer, each with why. One that hangs or dies costs no other its trial.

    INVARIANT: it takes no longer than `PATIENCE_S` for each kind, and leaves no process behind.
    """
    broken: dict[str, Failure | Hung | Died] = {}
    left = list(kinds)
    while left:
        async with aclosing(_answers(tuple(left))) as answers:
            async for kind, answer in answers:
                left.remove(kind)
                if answer is not None:
                    broken[kind] = answer
    return broken


async def _answers(kinds: Sequence[str]) -> AsyncGenerator[tuple[str, Failure | Hung | Died | None]]:
    """What one process says of each kind, in order: up to the first that hangs or dies."""
    async with _child(kinds) as child:
        assert child.stdout is not None  # noqa: S101  (it was asked for)
        for kind in kinds:
            answer = await _answer(child, child.stdout)
            yield kind, answer
            if isinstance(answer, Hung | Died):
                return


async def _answer(child: asyncio.subprocess.Process, said: asyncio.StreamReader) -> Failure | Hung | Died | None:
    """What became of the next kind; `None` if it works."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = await said.readline()
            if not line:
                return Died(_ended(await child.wait()))
    except TimeoutError:
        return Hung(PATIENCE_S)
    answer = json.loads(line)
    return Failure(answer["how"], answer["error"]) if answer["how"] else None


@asynccontextmanager
async def _child(kinds: Sequence[str]) -> AsyncGenerator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        START,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # Ctrl-C is for the parent, which ends this one.
        start_new_session=True,
    )
    try:
        assert child.stdin is not None  # noqa: S101  (it was asked for)
        task = {"path": sys.path, "kinds": list(kinds), "sample": SAMPLE, "patience_s": PATIENCE_S}
        child.stdin.write(json.dumps(task).encode() + b"\n")
        with suppress(ConnectionError):
            await child.stdin.drain()
        yield child
    finally:
        # The whole session: a detector may have started processes of its own.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


__all__ = ["PATIENCE_S", "SAMPLE", "Died", "Hung", "tried"]
