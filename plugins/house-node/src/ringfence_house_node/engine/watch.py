"""Whether the engine answers now. What is asked is one real token; nothing else proves anything.

`mlx_lm.server` says that it is healthy before its model is loaded, and a group of machines has one state: that of its
answers. So there is one loop for every kind of engine, and one state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ringfence.errors import BackendDied, ConnectFailed, RingfenceError, StreamBroken, TimedOut, Unavailable
from ringfence_house_node.engine.backoff import pause_s
from ringfence_house_node.engine.cause import RESTARTING, SILENT, Cause, cause_of, ended
from ringfence_house_node.engine.group import Group
from ringfence_house_node.service import Readiness

_log = logging.getLogger("ringfence_house_node")

_RETRY_S = 0.5
"""Between two tries of an engine that is not ready."""

_GRACE_S = 1.0
"""What is asked of an engine that lives comes within this; what takes longer is being started again."""

_COMING_S = 10.0
"""A command that listens to nobody yet is left alone for so long before that is said."""

_SETTLED_S = 60.0
"""What lived so long has not died again, but once."""

_DOUBTFUL = (BackendDied, ConnectFailed, StreamBroken, TimedOut, Unavailable)


@dataclass(slots=True)
class _Life:
    """One life of an engine, in seconds of the monotonic clock. `proven_at` is its first token, `alive_at` its last."""

    born_at: float = field(default_factory=time.monotonic)
    proven_at: float | None = None
    alive_at: float = 0.0


def _is_gone(error: RingfenceError) -> bool:
    """Whether nobody is there: its process died, or it took no connection."""
    return isinstance(error, BackendDied) or (isinstance(error, ConnectFailed) and error.phase == "connect")


class Watch:
    """Keeps one engine: proves it by `probe`, and starts `command`, if there is one, as often as it takes.

    `starts` says that `probe` itself starts an engine that does not live, and returns at once for one that does.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        command: Sequence[str] = (),
        starts: bool = False,
        start_timeout_s: float,
        probe_every_s: float,
        probe_timeout_s: float,
    ) -> None:
        self._probe = probe
        self._command = tuple(command)
        self._starts = starts
        self._start_timeout_s = start_timeout_s
        self._probe_every_s = probe_every_s
        self._probe_timeout_s = probe_timeout_s
        self._group: Group | None = None
        self._life = _Life()
        self._deaths = 0
        self._woken = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure = SILENT
        self._said: set[Cause] = set()
        self.readiness: Readiness = "starting"
        self.cause: Cause | None = None
        """Why it is not ready, where that is known."""

    async def start(self) -> None:
        """Begins; returns when a first try has succeeded or failed."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="ringfence-node-watch")
        await self._tried.wait()

    async def close(self) -> None:
        """Ends the engine's processes, all of them. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.readiness = "failed"
        group, self._group = self._group, None
        if group is not None:
            await group.end()

    def alive(self) -> None:
        """The engine showed a sign of life."""
        self._life.alive_at = time.monotonic()

    def failed(self, error: RingfenceError) -> None:
        """An answer failed. An engine that is gone is not ready from now on; one that may be is asked for a token."""
        # INVARIANT: no caller alone can make the node look dead: what a request can bring about, such as a connection
        # that is dropped before an answer, only brings the next token forward.
        if _is_gone(error):
            self._lost(cause_of(error, ours=self._starts))
        if isinstance(error, _DOUBTFUL):
            self._woken.set()

    # ------------------------------------------------------------ the loop

    async def _run(self) -> None:
        asked_for = False
        while True:
            if self._command and self._group is None:
                await self._begin()
            proven = (not asked_for and self._is_fresh()) or await self._proves()
            if proven:
                self._ready()
            else:
                await self._judge()
            asked_for = await self._pause(self._probe_every_s if proven else max(_RETRY_S, pause_s(self._deaths)))

    async def _begin(self) -> None:
        self._group = await Group.start(self._command)
        self._life = _Life()

    def _is_fresh(self) -> bool:
        """Whether the engine was proven in this life, and has shown a sign of life a moment ago."""
        life = self._life
        return self.readiness == "ready" and time.monotonic() - life.alive_at < self._probe_every_s

    async def _proves(self) -> bool:
        """Whether one real token comes. One that waits behind others that come is as good."""
        limit_s = self._start_timeout_s if self._starts else self._probe_timeout_s
        asking = asyncio.ensure_future(self._asked())
        ending = asyncio.ensure_future(self._group_end())
        self._failure = SILENT
        grace = asyncio.get_running_loop().call_later(_GRACE_S, self._lost, RESTARTING) if self._starts else None
        try:
            await asyncio.wait([asking, ending], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            return not ending.done() and (asking.result() if asking.done() else self._is_fresh())
        finally:
            if grace is not None:
                grace.cancel()
            asking.cancel()
            ending.cancel()
            await asyncio.wait([asking, ending])

    async def _asked(self) -> bool:
        try:
            await self._probe()
        except RingfenceError as error:
            self._failure = cause_of(error, ours=self._starts)
            return False
        self.alive()
        return True

    async def _group_end(self) -> None:
        if self._group is None:
            await asyncio.Event().wait()
        else:
            await self._group.wait()

    async def _judge(self) -> None:
        """What follows from an engine that gave no token: patience, or a new start."""
        life, group, cause = self._life, self._group, self._failure
        now = time.monotonic()
        silent = now - life.born_at > self._start_timeout_s
        if life.proven_at is not None:
            silent = now - life.alive_at > self._probe_timeout_s
        if group is not None and (silent or group.exit_code is not None):
            if group.exit_code is not None:
                cause = ended(group.exit_code, lived=life.proven_at is not None)
            self._lost(cause)
            await group.end()
            self._group = None
        if not (cause.word == "nothing_listens" and self._is_coming()):
            self._because(cause)
        if self._starts or self._group is not group:
            settled = life.proven_at is not None and now - life.proven_at > _SETTLED_S
            self._deaths = 1 if settled else self._deaths + 1
            silent = pause_s(self._deaths) > 0
        self.readiness = "failed" if silent else "starting"
        if self._group is None:
            self._tried.set()

    async def _pause(self, seconds: float) -> bool:
        """Waits so long, less if the group ends or a token is asked for; whether one is."""
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(self._group_end())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        asked_for = self._woken.is_set() or (self._group is not None and self._group.exit_code is not None)
        self._woken.clear()
        return asked_for

    # ------------------------------------------------------------ the state

    def _ready(self) -> None:
        if self._life.proven_at is None:
            self._life.proven_at = time.monotonic()
        self._deaths = 0 if time.monotonic() - self._life.proven_at > _SETTLED_S else self._deaths
        self.readiness, self.cause = "ready", None
        if self._said:
            self._said.clear()
            _log.info("the engine answers")
        self._tried.set()

    def _lost(self, cause: Cause) -> None:
        """What was proven is not any more."""
        if self.readiness == "ready":
            self.readiness = "starting"
            self._because(cause)

    def _because(self, cause: Cause) -> None:
        """Says a cause, once until the engine answers again."""
        self.cause = cause
        if cause not in self._said:
            self._said.add(cause)
            _log.warning("the engine is not ready: %s", cause)

    def _is_coming(self) -> bool:
        """Whether a command was started a moment ago, and may listen soon."""
        unproven = self._group is not None and self._life.proven_at is None
        return unproven and time.monotonic() - self._life.born_at < _COMING_S


__all__ = ["Watch"]
