"""What every request of one assistant shares, and the newest policy that each begins under."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from ringfence.receipt import Receipt
from ringfence.routing.limits import Retry, Timeouts

if TYPE_CHECKING:
    from ringfence.errors import PolicyError
    from ringfence.policy import Policy
    from ringfence.policy.reload import PolicySource
    from ringfence.privacy.consents import ConsentDesk
    from ringfence.privacy.gate import Gate
    from ringfence.routing.ledger import Ledger
    from ringfence.routing.providers import Providers


CHECK_EVERY_S: Final = 1.0
"""How often the files of a policy are looked at, at most, and only where a request begins."""


class Audit(Protocol):
    """Where receipts go. Without `wait` both raise `Busy` where they would have to wait, and have done nothing."""

    def open(self, *, wait: bool = True) -> None:
        """Makes sure that a record can be written, or raises `AuditError`."""
        ...

    def append(self, receipt: Receipt, /, *, wait: bool = True) -> None:
        """Writes one record, or raises `AuditError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What every request of one assistant shares.

    `newest` gives the runtime under the newest version of the policy, for a request that begins; with `None` this one
    is to be used as it is.
    """

    gate: Gate
    providers: Providers
    audit: Audit | None
    timeouts: Timeouts
    retry: Retry
    under_way: UnderWay
    consents: ConsentDesk
    ledger: Callable[[], Ledger]
    """What was spent of budgets, made on first use."""
    newest: Callable[[], Awaitable[Runtime]] | None = None

    async def begin(self) -> Runtime:
        """What a request uses from its beginning to its end, whatever becomes of the policy meanwhile."""
        return self if self.newest is None else await self.newest()


class InForce:
    """The runtime of one assistant under the newest version of its policy; on one event loop.

    INVARIANT: gate and policy are swapped in one assignment, and a request holds the runtime that it began with.
    """

    def __init__(
        self, source: PolicySource, runtime: Runtime, gate_for: Callable[[Policy], Gate], *, follow: bool
    ) -> None:
        self._source = source
        self._gate_for = gate_for
        self._follow = follow
        self._checked_s = time.monotonic()
        self._loading: asyncio.Task[PolicyError | None] | None = None
        self._put(runtime)

    @property
    def runtime(self) -> Runtime:
        """For a request that has not begun."""
        return self._now[0]

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._now[1].gate.policy

    async def reload(self) -> None:
        """Loads the policy now.

        Raises:
            PolicyError: what its files say now cannot be used; the version before stays in force.
        """
        while self._loading is not None:
            # It may have begun before the change that the caller means.
            await asyncio.shield(self._loading)
        error = await self._load()
        if error is not None:
            raise error

    async def _newest(self) -> Runtime:
        """The runtime under the newest version, which is loaded first.

        A request never begins under a version that is known to be old.
        """
        if self._loading is None:
            now_s = time.monotonic()
            if now_s - self._checked_s < CHECK_EVERY_S:
                return self._now[1]
            self._checked_s = now_s
            if not self._source.changed():
                return self._now[1]
        await self._load()
        return self._now[1]

    async def _load(self) -> PolicyError | None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._renew())
        # A request that is cancelled takes the new version from no other one.
        return await asyncio.shield(self._loading)

    async def _renew(self) -> PolicyError | None:
        try:
            error = await asyncio.to_thread(self._source.renew)
            policy = self._source.policy
            if policy is not self.policy:
                self._put(replace(self._now[1], gate=self._gate_for(policy)))
            return error
        finally:
            self._loading = None

    def _put(self, runtime: Runtime) -> None:
        fixed = replace(runtime, newest=None)
        self._now = (replace(fixed, newest=self._newest) if self._follow else fixed, fixed)

    async def close(self) -> None:
        """Waits for a version that is being loaded."""
        if self._loading is not None:
            await asyncio.shield(self._loading)


class UnderWay:
    """How many requests have begun and not ended, so that what they need is closed after the last."""

    def __init__(self) -> None:
        self._count = 0
        self._then: Callable[[], None] | None = None

    def begin(self) -> None:
        """One more."""
        self._count += 1

    def end(self) -> None:
        """One less."""
        self._count -= 1
        self._call_if_idle()

    def when_idle(self, then: Callable[[], None]) -> None:
        """Calls `then` once, as soon as nothing is under way."""
        self._then = then
        self._call_if_idle()

    def _call_if_idle(self) -> None:
        if self._count == 0 and self._then is not None:
            then, self._then = self._then, None
            then()
