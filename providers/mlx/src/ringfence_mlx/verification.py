"""The hashes of a model are checked once for each worker that loads it, whoever asks and whoever gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from ringfence_mlx.supervisor import Supervisor


class Verification:
    """One check for each start of a worker, waited for by everybody who wants that worker. Used from one event loop."""

    def __init__(self, verify: Callable[[str], object], drop: Callable[[str], Awaitable[None]]) -> None:
        """`verify` blocks, and raises if the files of a model are wrong; `drop` ends the workers of a model."""
        self._verify = verify
        self._drop = drop
        self._checks: WeakKeyDictionary[Supervisor, asyncio.Task[None]] = WeakKeyDictionary()
        self._pending: set[asyncio.Task[None]] = set()

    def begin(self, model: str, supervisor: Supervisor) -> None:
        """Checks the files of a worker that is starting, unless that is under way."""
        check = self._checks.get(supervisor)
        if check is not None and not check.done():
            return
        check = asyncio.create_task(self._check(model), name="ringfence-mlx-verify")
        self._checks[supervisor] = check
        self._pending.add(check)
        check.add_done_callback(self._checked)

    async def passed(self, model: str, supervisor: Supervisor) -> None:
        """Returns once the files of the worker are right; raises what `verify` raised, the worker being dropped.

        A caller who gives up does not stop the check.
        """
        if supervisor not in self._checks:
            self.begin(model, supervisor)
        await asyncio.shield(self._checks[supervisor])

    async def _check(self, model: str) -> None:
        try:
            await asyncio.to_thread(self._verify, model)
        except Exception:
            # INVARIANT: no worker serves a model whose files are wrong, even if nobody waits for the check any more.
            await self._drop(model)
            raise

    def _checked(self, check: asyncio.Task[None]) -> None:
        self._pending.discard(check)
        if not check.cancelled():
            check.exception()  # whoever waits gets it; nobody may be left to


__all__ = ["Verification"]
