"""Two legs of one request at once: the first to give an event answers, the other is cancelled.

    first leg ──── sent ─── silent for `after` ──────────────┬─► first event: it answers
                                    └─ another leg ──────────┘   the other is cancelled, here and at its recipient

INVARIANT: each leg is a whole send of its own: decided by flow, prepared for its recipient, granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from ringfence.policy.decision import Step
    from ringfence.response import Event
    from ringfence.routing.leg import Leg
    from ringfence.routing.record import Record
    from ringfence.routing.walk import Walk


class Begins(Protocol):
    """Makes a leg of the request. One that is a `hedge` asks nobody for consent, and has time limits of its own."""

    def __call__(self, step: Step, *, race: Race, hedge: bool = False) -> Leg:
        """The leg to the recipient of `step`."""
        ...


class Race:
    """The leg that a walk stands on and, `after_s` after it was sent, one at a time of those that may hedge it.

    `won` is called with the leg that answers, before its first event is worked on.
    """

    def __init__(
        self,
        walk: Walk,
        record: Record,
        begin: Begins,
        *,
        after_s: float,
        won: Callable[[Leg], None],
    ) -> None:
        self._after_s = after_s
        self._begin = begin
        self._won = won
        self._walk = walk
        self._record = record
        self.first = begin(walk.step, race=self)
        """The leg that is sent at once."""
        self._beside: Leg | None = None
        self._sent = asyncio.Event()
        self._winner: asyncio.Future[Leg] = asyncio.get_running_loop().create_future()
        self._legs: list[Leg] = [self.first]

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events of the leg that answers. Closing it cancels every leg.

        Raises:
            RingfenceError: the failure of the first leg where no other answers; else that of the one that answered.
        """
        self._relays = first, other = _Relay(self.first.events()), _Relay(self._others())
        # The first last: where tasks begin to run as they are made, it may have won when it is made.
        other.begin()
        first.begin()
        try:
            await asyncio.wait((self._winner, first.task), return_when=asyncio.FIRST_COMPLETED)
            if not self._winner.done() and self._beside is not None:
                await asyncio.wait((self._winner, other.task), return_when=asyncio.FIRST_COMPLETED)
            answering = other if self._winner.done() and self._winner.result() is not self.first else first
            while (event := await answering.next()) is not None:
                yield event
        finally:
            await self._end()

    async def _others(self) -> AsyncGenerator[Event, None]:
        """The events of the first leg beside the first that is sent and does not fail before them."""
        await self._sent.wait()
        await asyncio.sleep(self._after_s)
        while self._wanted() and (step := self._walk.take_hedge()) is not None:
            leg = self._beside = self._begin(step, race=self, hedge=True)
            self._legs.append(leg)
            try:
                async with aclosing(leg.events()) as events:
                    async for event in events:
                        yield event
            except RingfenceError:
                if self._winner.done():
                    raise
            else:
                return
            finally:
                self._beside = None
                if leg.send.sent:
                    self._walk.leave_out(step)

    def _wanted(self) -> bool:
        """Where the first has failed the walk goes on, and past the total limit nobody is sent to any more."""
        return not self._relays[0].task.done() and not self.first.watchdog.ends_within(0.0)

    def granted(self, leg: Leg) -> None:
        """The time begins to run when the first leg is sent."""
        if leg is self.first:
            self._sent.set()

    async def began(self, leg: Leg) -> None:
        """INVARIANT: one leg alone answers. The other is cancelled before anything of this one is worked on."""
        if self._winner.done():
            return  # its events are read by nobody
        self._winner.set_result(leg)
        self._won(leg)
        beaten = self._beside if leg is self.first else self.first
        self._relays[leg is self.first].stop()
        if beaten is not None:
            beaten.send.beaten = True
        await leg.until_alone()

    async def _end(self) -> None:
        """Waits until nothing of any leg is under way. Cancelling this cancels what is left of them once more."""
        tasks = [relay.task for relay in self._relays]
        for relay in self._relays:
            relay.stop()
        again: asyncio.CancelledError | None = None
        while left := [task for task in tasks if not task.done()]:
            try:
                await asyncio.wait(left)
            except asyncio.CancelledError as error:
                again = error
                for task in left:
                    task.cancel()
        for task in tasks:
            # Looked at, so that nobody calls it an exception that was never retrieved.
            _ = task.cancelled() or task.exception()
        if self._winner.done():
            self._record.put_last(self._winner.result().send)
        for leg in self._legs:
            leg.watchdog.stop()
            await leg.send.until_prepared()
        if again is not None:
            raise again


class _Relay:
    """Events drawn in a task of their own, each when it is asked for: what a provider opens there it closes there."""

    task: asyncio.Task[None]
    """Once it has begun."""

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self._events = events
        self._event: Event | None = None
        self._given = False
        self._came = asyncio.Event()
        self._wanted = asyncio.Event()
        self._stopped = False

    def begin(self) -> None:
        """Makes the task."""
        self.task = asyncio.create_task(self._draw())
        self.task.add_done_callback(lambda _: self._came.set())

    async def _draw(self) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                self._event = event
                self._came.set()
                await self._wanted.wait()
                self._wanted.clear()

    async def next(self) -> Event | None:
        """The next event; `None` after the last. Raises what drawing it raised."""
        if self._given:
            self._wanted.set()
        await self._came.wait()
        self._came.clear()
        event, self._event = self._event, None
        if event is None:
            self.task.result()
        self._given = True
        return event

    def stop(self) -> None:
        """Cancels the work, once."""
        if not self._stopped:
            self._stopped = True
            self.task.cancel()


__all__ = ["Race"]
