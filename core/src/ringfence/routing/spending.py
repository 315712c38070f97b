"""What one send takes of the budgets over its recipient: reserved before it, settled after it.

INVARIANT: a budget only refuses. What is not known, at a price or after a send, counts as the most that it can be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ringfence.errors import (
    AuthenticationFailed,
    BudgetSpent,
    ConnectFailed,
    ContextLengthExceeded,
    GateError,
    RateLimited,
    RequestRejected,
    StoreError,
)
from ringfence.privacy.database import Busy
from ringfence.response import Usage
from ringfence.routing.budget import Cost, Reservation, budgets_over, known_tokens, most_usage

if TYPE_CHECKING:
    from ringfence.policy import Policy
    from ringfence.policy.document import Budget
    from ringfence.policy.prices import Price
    from ringfence.provider import Plan
    from ringfence.recipient import Recipient
    from ringfence.routing.ledger import Ledger

_log = logging.getLogger("ringfence")

_FREE = (AuthenticationFailed, ConnectFailed, ContextLengthExceeded, RateLimited, RequestRejected)
"""The recipient did nothing: it was not reached, or refused at once."""

_NOTHING_TAKEN = Cost(usd=0.0, tokens=0)
"""Of a send that was no more than a request."""


class Spending:
    """The room that one send has in budgets. `price` is what tokens cost at its recipient."""

    __slots__ = ("_ledger", "_most", "_price", "_why", "reservation")

    def __init__(self, ledger: Ledger, price: Callable[[Usage], Price]) -> None:
        self._ledger = ledger
        self._price = price
        self._why: str | None = None
        self._most = Usage()
        self.reservation: Reservation | None = None
        """What is reserved and not settled yet."""

    async def reserve(self, policy: Policy, recipient: Recipient, plan: Plan[object], *, answers: bool) -> None:
        """Reserves the most that the send of `plan` can cost. `answers` is false where only tokens are counted.

        Raises:
            BudgetSpent: a budget has not that much left.
            GateError: the price is not known, or what was spent cannot be looked up.
        """
        over = budgets_over(policy.document.budgets, recipient)
        if not over:
            return
        in_money = any(budget.unit == "USD" for budget in over)
        cost = await self._most_cost(plan, in_money=in_money) if answers else _NOTHING_TAKEN
        if cost.usd is None and in_money:
            raise GateError(
                f"a budget in USD is over recipient '{recipient.name}', and the price of this request is not known"
                f"{'' if self._why is None else f': {self._why}'}",
                way_out="a budget in tokens or requests",
            )
        try:
            self.reservation = await self._reserve(policy, recipient, over, cost)
        except BudgetSpent:
            raise
        except StoreError as error:
            # INVARIANT: nothing is sent under a budget that cannot be kept.
            raise GateError(
                f"recipient '{recipient.name}' has a budget: {error.message}", way_out=error.way_out
            ) from None

    async def _most_cost(self, plan: Plan[object], *, in_money: bool) -> Cost:
        ignored = any(one.setting == "max_output_tokens" for one in plan.adjustments)
        self._most = most_usage(plan.request, plan.card, ignored=ignored)
        # In a thread: a provider may load its table of prices when it is first asked.
        price = await asyncio.to_thread(self._price, self._most) if in_money else None
        self._why = None if price is None else price.why
        return Cost(usd=None if price is None else price.usd, tokens=known_tokens(self._most, self._most))

    async def _reserve(self, policy: Policy, recipient: Recipient, over: tuple[Budget, ...], cost: Cost) -> Reservation:
        ledger, name = self._ledger, recipient.name
        try:
            return ledger.reserve(policy.name, over, name, cost, wait=False)
        except Busy:
            waiting = asyncio.ensure_future(asyncio.to_thread(ledger.reserve, policy.name, over, name, cost))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            # Once begun in the thread it is done, whoever cancels; nobody is left to use it.
            loop = asyncio.get_running_loop()
            waiting.add_done_callback(lambda done: loop.run_in_executor(None, _give_back, ledger, done))
            raise

    async def settle(self, usage: Usage, *, sent: bool, complete: bool, failure: BaseException | None) -> None:
        """Puts what the send did cost in the place of what was reserved.

        `complete`: the answer came to its end, so that `usage` is that of all of it. Where it did not, what was
        reserved counts as spent, unless the recipient refused at once. What cannot be written stays reserved.
        """
        reservation, self.reservation = self.reservation, None
        if reservation is None:
            return
        cost = self._cost(usage, sent=sent, complete=complete, failure=failure)
        try:
            await _without_blocking(self._ledger, reservation, cost)
        except StoreError as error:
            _log.warning("what was reserved for %s stays counted: %s", reservation.recipient, error)

    def _cost(self, usage: Usage, *, sent: bool, complete: bool, failure: BaseException | None) -> Cost | None:
        if not sent:
            return None
        if isinstance(failure, _FREE) and failure.phase != "mid_stream":
            return _NOTHING_TAKEN
        if self._most.input_tokens is None:
            return _NOTHING_TAKEN  # tokens were counted, and nothing else
        tokens = known_tokens(usage, self._most) if complete else None
        return Cost(usd=None if tokens is None else self._price(usage).usd, tokens=tokens)


async def _without_blocking(ledger: Ledger, reservation: Reservation, cost: Cost | None) -> None:
    """Settles, in a thread where it would have to wait. Once begun there it is done, whoever cancels."""
    try:
        ledger.settle(reservation, cost, wait=False)
    except Busy:
        await asyncio.shield(asyncio.to_thread(ledger.settle, reservation, cost))


def _give_back(ledger: Ledger, done: asyncio.Future[Reservation]) -> None:
    if done.cancelled() or done.exception() is not None:
        return
    try:
        ledger.settle(done.result(), None)
    except StoreError as error:
        _log.warning("what was reserved for %s stays counted: %s", done.result().recipient, error)


__all__ = ["Spending"]
