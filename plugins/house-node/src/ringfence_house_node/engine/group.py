"""A command and all that it starts, as one: it lives or it does not. See `keeper` for what sees to that."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

_KEEPER = Path(__file__).with_name("keeper.py")
_LONGEST_END_S = 10.0
"""The keeper needs two seconds and what the system takes to end what was killed."""


class Group:
    """One running command. Used from one event loop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting = asyncio.create_task(process.wait(), name="ringfence-node-group")

    @classmethod
    async def start(cls, command: Sequence[str]) -> Group:
        """Starts `command`. One that cannot be started has ended, with exit code 127."""
        # INVARIANT 7: its output may hold what was asked, so there is nowhere that it goes.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_KEEPER),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(process)

    @property
    def exit_code(self) -> int | None:
        """How the command ended; `None` while it lives."""
        return self._process.returncode

    @property
    def pid(self) -> int:
        """Of the keeper, from which all of it descends."""
        return self._process.pid

    async def wait(self) -> None:
        """Returns when nothing of it is left."""
        await asyncio.shield(self._waiting)

    async def end(self) -> None:
        """Ends all of it; returns when nothing is left. Idempotent."""
        lifeline = self._process.stdin
        if lifeline is not None:
            lifeline.close()
        try:
            async with asyncio.timeout(_LONGEST_END_S):
                await self.wait()
        except TimeoutError:
            # What is left hangs in the system itself; its parent dies with the keeper.
            self._process.kill()
            await self.wait()


__all__ = ["Group"]
