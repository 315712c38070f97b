"""Time limits and retries of one request: plain data, and the watchdog that enforces the limits on a stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TypeVar

from ringfence.errors import InvalidRequest, Phase, ProviderError, TimedOut, TimeLimit
from ringfence.grant import Grant

T = TypeVar("T")


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
            if value is not None and not value > 0:
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
        if self.attempts < 1 or self.wait_s < 0 or self.max_wait_s < 0:
            raise InvalidRequest("retry needs attempts ≥ 1 and waits ≥ 0")

    def wait_before(self, attempt: int, error: ProviderError) -> float | None:
        """Seconds to wait before the attempt of that number (2 for the first retry); `None` to give up."""
        if not error.retryable or attempt > self.attempts:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.max_wait_s else None
        # Jitter spreads callers that failed together; it needs no secrecy.
        return random.uniform(0, min(self.max_wait_s, self.wait_s * 2 ** (attempt - 2)))  # noqa: S311


class Watchdog:
    """Ends a wait that takes too long, with one timer for a whole stream.

    Arming it costs a few attribute writes an event: the timer is not moved but, firing early, set again. It works
    as `asyncio.timeout` does: it cancels the waiting task and turns that cancellation into `TimedOut`.
    """

    __slots__ = (
        "_deadline",
        "_fired",
        "_grant",
        "_handle",
        "_limit",
        "_loop",
        "_sent_at",
        "_task",
        "_timeouts",
        "_total_at",
        "started",
    )

    def __init__(self, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._total_at = None if timeouts.total_s is None else self._loop.time() + timeouts.total_s
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._grant: Grant | None = None
        self._fired = False
        self._limit: TimeLimit = "connect"
        self._deadline: float | None = None
        self._sent_at = 0.0
        self.started = False
        """Whether an event has come."""

    def start(self, grant: Grant) -> None:
        """Begins a send: the `connect` limit runs until the provider says it is connected."""
        self._grant = grant
        self.started = False
        self._sent_at = self._loop.time()
        self._set("connect", self._timeouts.connect_s)

    def ends_within(self, wait_s: float) -> bool:
        """Whether the total limit passes before `wait_s` seconds have."""
        return self._total_at is not None and self._loop.time() + wait_s >= self._total_at

    def stop(self) -> None:
        """Disarms for good."""
        self._task = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _set(self, limit: TimeLimit, limit_s: float | None, since: float | None = None) -> None:
        at = None if limit_s is None else (self._loop.time() if since is None else since) + limit_s
        if self._total_at is not None and (at is None or self._total_at < at):
            limit, at = "total", self._total_at
        self._limit, self._deadline = limit, at
        # The pending timer may stand later than the new deadline; only then is it worth moving.
        if at is not None and (self._handle is None or self._handle.when() > at):
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._handle = None
        deadline = self._deadline
        if deadline is None or self._task is None:
            # Nobody waits: the app is busy with the last event. The next wait arms again.
            return
        if self._limit == "connect" and self._grant is not None and self._grant.connected:
            self._set("first_event", self._timeouts.first_event_s, self._sent_at)
            return
        if self._loop.time() < deadline:
            self._handle = self._loop.call_at(deadline, self._on_timer)
            return
        self._fired = True
        self._task.cancel()

    async def next(self, events: AsyncGenerator[T, None]) -> T | None:
        """The next event of `events`, or `None` after the last.

        Raises:
            TimedOut: none came in time.
        """
        task = self._task = asyncio.current_task()
        cancelling = task.cancelling() if task is not None else 0
        if self.started:
            self._set("between_events", self._timeouts.between_events_s)
        try:
            event = await events.__anext__()
        except StopAsyncIteration:
            return None
        except asyncio.CancelledError:
            if self._fired and task is not None and task.uncancel() <= cancelling:
                raise self._timed_out() from None
            raise
        finally:
            self._task = None
        self.started = True
        return event

    def _timed_out(self) -> TimedOut:
        what = {
            "connect": "the recipient took too long to take the request",
            "first_event": "no first event in time",
            "between_events": "the stream stalled",
            "total": "the request took longer than its total limit",
        }[self._limit]
        phase: Phase = "mid_stream" if self.started else "connect" if self._limit == "connect" else "before_first_event"
        return TimedOut(what, limit=self._limit, phase=phase, way_out=f"a larger Timeouts({self._limit}_s=…)")
