"""The verified nodes of one recipient: looked at again in the background, and never asked past their expiry."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ringfence.errors import describe
from ringfence_house.client.looking import Found, LookFailed, still_allowed
from ringfence_house.client.standing import Standing
from ringfence_house.errors import closed_error

if TYPE_CHECKING:
    from ringfence.errors import Closed, ProviderError
    from ringfence_house.attestation.node import VerifiedNode

_EARLIEST, _LATEST = 0.5, 0.8
"""Between these shares of what is left of the shortest life, the house is looked at again."""

_LEAST_S: Final = 1.0
"""Between the beginnings of two looks, whoever wants them: what is in between cannot make a storm of them."""

_LOOK_S: Final = 60.0
"""How long a look may take, all its files together."""

_AT_ONCE: Final = 3
"""So many machines that did not answer are enough to find out with at once; the next one is asked after a wait."""

_MOST_S: Final = 60.0
"""The longest wait after looks that failed."""

_MOST_KNOWN_S: Final = 10.0
"""After a look that reached nobody this is known for `_LEAST_S`, or for twice what the look took, up to so long."""

_SLACK_S: Final = 0.01


class _Valid(NamedTuple):
    """Nodes that may all be asked until the one or the other clock says that the first of their proofs has ended."""

    nodes: tuple[VerifiedNode, ...]
    expires_at: float
    deadline_s: float


_Proof: TypeAlias = tuple[str, float]
"""The digest of a node's evidence, and when what stands behind it expires."""


def _proof_of(node: VerifiedNode) -> _Proof:
    return node.digest, node.expires_at


class Nodes:
    """Who can be asked now. One task looks, begun by the first request and ended by `close`; there is never a second.

    `clock` gives Unix time, which is what expiry is told in; `monotonic_s` durations. A proof ends on whichever of the
    two comes to its end first: Unix time can be set back, and the other stands still while a machine sleeps.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Found]],
        *,
        min_nodes: int,
        monotonic_s: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._look = look
        self._min_nodes = min_nodes
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._found: Found | None = None
        self._deadlines: dict[_Proof, float] = {}
        """Until when each proof holds on `monotonic_s`."""
        self._valid: _Valid | None = None
        """Who was valid when it was asked last, to be asked again without going through all of them."""
        self._failure: LookFailed | None = None
        self._failures = 0
        self._known_until_s = -math.inf
        """Until when nobody waits for a look, since the last one reached nobody."""
        self._task: asyncio.Task[None] | None = None
        self._looking = False
        self._began_s = -math.inf
        """When the last look began."""
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False
        self.standing = Standing(monotonic_s)

    # ------------------------------------------------------------ who there is

    @property
    def valid(self) -> tuple[VerifiedNode, ...]:
        """The nodes verified and not expired; none if they are of fewer machines than there have to be.

        INVARIANT: past its expiry no node is ever asked, whether or not a look succeeded since, and whatever was done
        to the clock since.
        """
        known = self._valid
        # INVARIANT: nobody is remembered who would not be found: none of their proofs has ended on either clock.
        if known is not None and self._clock() < known.expires_at and self._monotonic_s() < known.deadline_s:
            return known.nodes
        self._valid = None
        if self._found is None:
            return ()
        nodes = tuple(node for node in self._found.nodes if self._left_s(node) > 0)
        if len({node.serial for node in nodes}) < self._min_nodes:
            return ()
        self._valid = _Valid(
            nodes=nodes,
            expires_at=min(node.expires_at for node in nodes),
            deadline_s=min(self._deadlines[_proof_of(node)] for node in nodes),
        )
        return nodes

    @property
    def refused(self) -> int:
        """How many nodes did not prove enough, when they were looked at last."""
        return 0 if self._found is None else self._found.refused

    @property
    def failure(self) -> LookFailed | None:
        """Why nobody can be asked now; `None` if somebody can, or if nobody was looked for yet."""
        return None if self.valid else self._failure

    async def ready(self) -> tuple[VerifiedNode, ...]:
        """The valid nodes, one at least; looked for if there is none, unless nobody was reached a moment ago.

        Raises:
            HouseUnreachable: nobody answers there; it says when the next look may begin.
            ProviderError: there is none.
            Closed: the provider was closed.
        """
        if self._closed:
            raise closed_error()
        if nodes := self.valid:
            return nodes
        if self._known_left_s is None:
            await self._looked()
        if nodes := self.valid:
            return nodes
        failure = self._failure or LookFailed("the proof of the house's nodes has expired")
        raise failure.error(retry_after_s=self._known_left_s)

    @property
    def _known_left_s(self) -> float | None:
        """For how long it is still known that nobody answers; `None` if it is not."""
        left_s = self._known_until_s - self._monotonic_s()
        # Whoever waited for its end may be back a little early, and must not be told again.
        return left_s if left_s > _SLACK_S else None

    async def pick(self) -> VerifiedNode:
        """A node to send to now.

        Raises:
            ProviderError: there is none.
            Closed: the provider was closed.
        """
        nodes = await self.ready()
        if not (known := self.standing.with_keys(nodes)):
            # Every node lost its key: the directory may know the new ones.
            await self._looked()
            nodes = await self.ready()
            known = self.standing.with_keys(nodes)
        return self.standing.draw(known or nodes)

    def holds(self, node: VerifiedNode) -> bool:
        """Whether `node`, which was picked a while ago, could be picked now."""
        return node in self.valid

    def another(self, node: VerifiedNode) -> bool:
        """Whether another machine can be asked, and nothing speaks against it."""
        return any(one.serial != node.serial for one in self.standing.at_hand(self.valid))

    @property
    def retry_after_s(self) -> float | None:
        """When the next node can be asked: at once until three machines are put aside, then as the core waits (`None`).

        So a request with many attempts makes no storm of them where nobody answers, or where somebody says so.
        """
        nodes = self.valid
        at_hand = {node.serial for node in self.standing.at_hand(nodes)}
        return 0.0 if len({node.serial for node in nodes} - at_hand) < _AT_ONCE else None

    def lost_key(self, node: VerifiedNode) -> None:
        """Drops a node that does not know its key any more, and has the house looked at for its new one."""
        self.standing.lose_key(node)
        self._wanted.set()

    # ------------------------------------------------------------ looking

    async def _looked(self) -> None:
        """Returns when a look is over: the one under way, else a new one."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done():
            # INVARIANT: nothing of the request that comes first, its grant least of all, is kept by the task.
            self._task = loop.create_task(self._keep(), context=Context())
            self._task.add_done_callback(self._stopped, context=Context())
        elif not self._looking:
            self._wanted.set()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    async def _keep(self) -> None:
        self._looking = True
        while True:
            await asyncio.sleep(max(0.0, self._began_s + _LEAST_S - self._monotonic_s()))
            self._began_s = self._monotonic_s()
            self._looking = True
            self._wanted.clear()
            await self._look_once()
            self._looking = False
            self._wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wanted.wait()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """Somebody ended the task: who waits is told, and the next who wants a look begins a new one."""
        if task is self._task:
            self._task, self._looking = None, False
            self._wake(LookFailed("the look at the house was stopped", unreachable=True, way_out="ask again").error)

    async def _look_once(self) -> None:
        # Both are read before: a clock that is moved during the look, or the time it takes, prolongs nothing.
        began, began_s = self._clock(), self._monotonic_s()
        try:
            async with asyncio.timeout(_LOOK_S):
                found = await self._look()
        except LookFailed as failure:
            self._fail(failure, took_s=self._monotonic_s() - began_s)
        except TimeoutError:
            self._fail(LookFailed("the house took too long to show its nodes", unreachable=True), took_s=_LOOK_S)
        except Exception as error:  # noqa: BLE001  (whatever it is, nobody else would look again)
            self._fail(LookFailed(f"the house cannot be looked at: {describe(error)}"))
        else:
            self._found, self._valid, self._failure, self._failures = found, None, None, 0
            self._deadlines = self._deadlines_of(found.nodes, began, began_s)
            self.standing.renew(found.nodes)

    def _deadlines_of(self, nodes: Iterable[VerifiedNode], began: float, began_s: float) -> dict[_Proof, float]:
        """A proof that was there before keeps its deadline: it ends no later for being found again."""
        deadlines: dict[_Proof, float] = {}
        for node in nodes:
            proof, deadline_s = _proof_of(node), began_s + node.expires_at - began
            deadlines[proof] = min(deadline_s, self._deadlines.get(proof, deadline_s))
        return deadlines

    def _left_s(self, node: VerifiedNode) -> float:
        """How long `node` may be asked; what is not positive is over."""
        deadline_s = self._deadlines.get(_proof_of(node), -math.inf)
        return min(node.expires_at - self._clock(), deadline_s - self._monotonic_s())

    def _fail(self, failure: LookFailed, *, took_s: float = 0.0) -> None:
        """Goes on with the nodes there are, less those that a newer word of the repository takes away."""
        self._failure = failure
        self._failures += 1
        known_s = max(_LEAST_S, min(2 * took_s, _MOST_KNOWN_S))
        self._known_until_s = self._monotonic_s() + known_s if failure.unreachable else -math.inf
        if self._found is not None and failure.reference is not None:
            now, reference = self._clock(), failure.reference
            kept = tuple(node for node in self._found.nodes if still_allowed(node, reference, now))
            self._found, self._valid = replace(self._found, nodes=kept), None

    def _pause_s(self) -> float:
        jitter = random.uniform(_EARLIEST, _LATEST)  # noqa: S311  (it spreads clients, and keeps no secret)
        if self._failure is not None or self._found is None:
            return min(_MOST_S, 2.0 ** min(self._failures, 10)) * jitter
        left_s = min(map(self._left_s, self._found.nodes), default=0.0)
        return max(left_s * jitter, 0.0)

    def _wake(self, failure: Callable[[], Closed | ProviderError] | None = None) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one.done():
                continue
            if failure is None:
                one.set_result(None)
            else:
                one.set_exception(failure())

    async def close(self) -> None:
        """Looks no more; who waits gets `Closed`. Idempotent."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._wake(closed_error)


__all__ = ["Nodes"]
