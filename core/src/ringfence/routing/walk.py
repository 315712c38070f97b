"""Which recipient comes next: a pure walk over the steps of one decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.errors import ProviderError, RingfenceError, TimedOut

if TYPE_CHECKING:
    from ringfence.policy.decision import Step
    from ringfence.routing.limits import Retry


class Walk:
    """Goes through the steps of a plan; `step` is where it stands.

    INVARIANT: it only ever stands on a step of the plan. Before anything was sent, a recipient that cannot serve is
    passed over; after a failed send the walk goes on only under `fallback`.
    """

    def __init__(self, plan: tuple[Step, ...], retry: Retry) -> None:
        self._plan = plan
        self._retry = retry
        self._place = 0
        self._attempt = 1
        self._sent_before = False

    @property
    def step(self) -> Step:
        """The recipient to try now."""
        return self._plan[self._place]

    def after(self, error: RingfenceError, *, sent: bool) -> float | None:
        """Moves on after `error`: the seconds to wait before trying `step`, or `None` when nothing is left to try."""
        self._sent_before = self._sent_before or sent
        if isinstance(error, TimedOut) and error.limit == "total":
            return None
        self._attempt += 1
        if isinstance(error, ProviderError):
            wait_s = self._retry.wait_before(self._attempt, error)
            if wait_s is not None:
                return wait_s
        self._attempt = 1
        for place in range(self._place + 1, len(self._plan)):
            if not self._sent_before or self._plan[place].stage == "fallback":
                self._place = place
                return 0.0
        return None
