"""The runs under way: closing the provider ends them, wherever they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from ringfence.errors import Closed

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")


def closed_error() -> Closed:
    """The provider is closed, or was never opened."""
    return Closed("the provider openai is closed", way_out="open it, or a new assistant")


class Running:
    """One run. `wait` costs a few attribute writes; it ends as `asyncio.timeout` does, by a cancellation taken back."""

    __slots__ = ("_ended", "_runs", "_task", "response")

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._task: asyncio.Task[object] | None = None
        self._ended = False
        self.response: httpx2.Response | None = None
        """Closed with the run."""

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of `work`.

        Raises:
            Closed: the provider was closed meanwhile.
        """
        task = self._task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            # INVARIANT: a cancellation by anybody else stays one.
            if self._ended and task is not None and task.uncancel() == 0:
                raise closed_error() from None
            raise
        finally:
            self._task = None

    def check(self) -> None:
        """Does nothing while the provider is open.

        Raises:
            Closed: it is not.
        """
        if self._ended:
            raise closed_error()

    def end(self) -> None:
        """Ends the wait under way, and every later one."""
        if not self._ended:
            self._ended = True
            if self._task is not None:
                self._task.cancel()

    async def aclose(self) -> None:
        """Hangs up: the backend sees it at once."""
        self._runs.forget(self)
        response, self.response = self.response, None
        if response is not None:
            await response.aclose()


class Runs:
    """Every run of one provider."""

    def __init__(self) -> None:
        self._runs: set[Running] = set()

    def begin(self) -> Running:
        """A run begins; its owner closes it."""
        running = Running(self)
        self._runs.add(running)
        return running

    def forget(self, running: Running) -> None:
        """A run is over."""
        self._runs.discard(running)

    async def close(self) -> None:
        """Ends every run; returns when all have hung up, those that nobody draws from included."""
        ending = tuple(self._runs)
        for running in ending:
            running.end()
        # One turn of the loop, in which those that waited hang up by themselves.
        await asyncio.sleep(0)
        for running in ending:
            await running.aclose()


__all__ = ["Running", "Runs", "closed_error"]
