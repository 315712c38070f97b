"""Time limits and retries of one request: plain data, and the watchdog that enforces the limits on a stream."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from ringfence.errors import InvalidRequest, Phase, ProtocolViolated, ProviderError, TimedOut, TimeLimit
from ringfence.grant import Grant

T = TypeVar("T")


_MOST_DOUBLINGS = 32


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits in seconds; `None` means no limit. `connect_s` includes loading a model on the device.

    `connect_s` and `first_event_s` count from the send, `between_events_s` from the last event to the next.
    `total_s` covers every attempt of a request together, retries and fallbacks included.
    """

    connect_s: float | None = 120.0
    first_event_s: float | None = 600.0
    between_events_s: float | None = 120.0
    total_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise InvalidRequest(f"timeout {name} must be more than 0 seconds", way_out="None for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often one recipient is asked again after a retryable error, before the plan goes on.

    `attempts` counts the first send too. Waits grow from `wait_s` by doubling up to `max_wait_s`, with full jitter; a
    recipient's own `Retry-After` is honoured exactly, and one longer than `max_wait_s` ends the retries.
    """

    attempts: int = 3
    wait_s: float = 0.5
    max_wait_s: float = 20.0

    def __post_init__(self) -> None:
        attempts: object = self.attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise InvalidRequest("retry needs a whole number of attempts, 1 or more", way_out="Retry(attempts=1)")
        if not all(_is_number(wait_s) and wait_s >= 0 for wait_s in (self.wait_s, self.max_wait_s)):
            raise InvalidRequest("retry needs waits of 0 seconds or more", way_out="Retry(wait_s=0.5)")

    def wait_before(self, attempt: int, error: ProviderError) -> float | None:
        """Seconds to wait before the attempt of that number (2 for the first retry); `None` to give up."""
        if not error.retryable or attempt > self.attempts:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.max_wait_s else None
        # Jitter spreads callers that failed together; it needs no secrecy.
        return random.uniform(0, min(self.max_wait_s, self.wait_s * 2 ** min(attempt - 2, _MOST_DOUBLINGS)))  # noqa: S311


class Watchdog:
    """Ends a wait that takes too long, with one timer for a whole request.

    It costs a few attribute writes an event: the timer is not moved but, firing early, set again. It works as
    `asyncio.timeout` does: it cancels the waiting task and turns that cancellation into `TimedOut`.
    """

    __slots__ = (
        "_between_at",
        "_fired",
        "_handle",
        "_loop",
        "_sent_at",
        "_task",
        "_timeouts",
        "_timer_at",
        "_total_at",
        "grant",
        "started",
    )

    def __init__(self, timeouts: Timeouts, *, total_at: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        if total_at is None and timeouts.total_s is not None:
            total_at = self._loop.time() + timeouts.total_s
        self._total_at = total_at
        self._between_at: float | None = None
        self._sent_at = 0.0
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._fired: TimeLimit | None = None
        self.grant: Grant | None = None
        """Of the send under way; its `connected` ends the `connect` limit."""
        self.started = False
        """Whether an event has come."""

    def beside(self) -> Watchdog:
        """One for another send of the same request, under way at the same time: the total limit is theirs together."""
        return Watchdog(self._timeouts, total_at=self._total_at)

    def start(self) -> None:
        """Begins a send: `connect` and `first_event` run."""
        self.grant = None
        self.started = False
        self._between_at = None
        self._sent_at = self._loop.time()
        self._set_timer()

    @contextmanager
    def paused(self) -> Generator[None]:
        """A wait for a person: no limit runs, and the total limit is moved by as long as it took."""
        began = self._loop.time()
        self._task = None
        try:
            yield
        finally:
            if self._total_at is not None:
                self._total_at += self._loop.time() - began
            self.start()

    def ends_within(self, wait_s: float) -> bool:
        """Whether the total limit passes before `wait_s` seconds have."""
        return self._total_at is not None and self._loop.time() + wait_s >= self._total_at

    def stop(self) -> None:
        """Disarms for good."""
        self._task = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle, self._timer_at = None, math.inf

    def _running(self) -> tuple[float, TimeLimit] | None:
        """The limit that passes next, and when on the loop's clock; `None` if none runs."""
        limits: list[tuple[float, TimeLimit]] = []
        if self._total_at is not None:
            limits.append((self._total_at, "total"))
        if self.started:
            if self._between_at is not None:
                limits.append((self._between_at, "between_events"))
        else:
            if self._timeouts.first_event_s is not None:
                limits.append((self._sent_at + self._timeouts.first_event_s, "first_event"))
            connected = self.grant is not None and self.grant.connected
            if self._timeouts.connect_s is not None and not connected:
                limits.append((self._sent_at + self._timeouts.connect_s, "connect"))
        return min(limits, default=None)

    def _set_timer(self) -> None:
        running = self._running()
        # A timer that stands earlier is left alone: it will find nothing due, and set itself again.
        if running is None or running[0] >= self._timer_at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._arm(running[0])

    def _arm(self, at: float) -> None:
        self._timer_at = at
        self._handle = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._handle, self._timer_at = None, math.inf
        if self._task is None:
            return  # the app is busy with the last event; the next wait sets the timer
        running = self._running()
        if running is None:
            return
        at, limit = running
        if self._loop.time() < at:
            self._arm(at)
            return
        self._fired = limit
        self._task.cancel()

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of `work`.

        Raises:
            TimedOut: it did not come in time.
            ProtocolViolated: `work` cancelled itself.
            CancelledError: the app cancelled, whatever `work` made of that.
        """
        task = self._task = asyncio.current_task(self._loop)
        cancelling = 0 if task is None else task.cancelling()
        self._fired = None
        try:
            result = await work
        except BaseException as error:
            self._task = None
            self._cancelled(task, cancelling, error)
            raise
        self._task = None
        if task is not None and task.cancelling() > cancelling:
            self._cancelled(task, cancelling, None)
        return result

    def _cancelled(self, task: asyncio.Task[object] | None, before: int, failure: BaseException | None) -> None:
        """Raises what a cancellation means; nothing if there was none.

        INVARIANT: a cancellation by the app or by a time limit is never swallowed by a provider, nor invented by one.
        """
        if task is None:
            return
        if self._fired is not None and task.uncancel() <= before:
            raise self._timed_out(self._fired)
        if task.cancelling() > before:
            raise asyncio.CancelledError
        if isinstance(failure, asyncio.CancelledError) and not task.cancelling():
            raise ProtocolViolated("the provider cancelled its own work", phase=self.phase)

    def next(self, events: AsyncGenerator[T, None]) -> Awaitable[T]:
        """The next event of `events`. Raises what `wait` raises, and `StopAsyncIteration` after the last.

        Set `started` when it has come: one more coroutine for every event, only to do that, would cost more than this.
        """
        if self.started and self._timeouts.between_events_s is not None:
            self._between_at = self._loop.time() + self._timeouts.between_events_s
            if self._between_at < self._timer_at:
                self._set_timer()
        elif self._handle is None:
            self._set_timer()
        return self.wait(events.__anext__())

    @property
    def phase(self) -> Phase:
        """How far the send is."""
        return "mid_stream" if self.started else "before_first_event"

    def _timed_out(self, limit: TimeLimit) -> TimedOut:
        what = {
            "connect": "the recipient took too long to take the request",
            "first_event": "no first event in time",
            "between_events": "the stream stalled",
            "total": "the request took longer than its total limit",
        }[limit]
        phase = "connect" if limit == "connect" else self.phase
        return TimedOut(what, limit=limit, phase=phase, way_out=f"a larger Timeouts({limit}_s=…)")
