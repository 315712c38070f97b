"""Which recipient comes next: a pure walk over the steps of one decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ringfence.errors import ConnectFailed, Overloaded, ProviderError, RingfenceError, TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence.policy.decision import Stage, Step
    from ringfence.routing.limits import Retry

    Utilisation: TypeAlias = Callable[[str], float | None]
    """The last utilisation (0 … 1) that a recipient reported; `None` where it is not known."""

_EVERY_STAGE: Final[frozenset[Stage]] = frozenset({"prefer", "overflow", "fallback"})
_AFTER_FULL: Final[frozenset[Stage]] = frozenset({"overflow", "fallback"})
_AFTER_FAILED: Final[frozenset[Stage]] = frozenset({"fallback"})


class Walk:
    """Goes through the steps of a plan, each at most once; `step` is where it stands.

    INVARIANT: it only ever stands on a step of the plan. Before anything was sent, a recipient that cannot serve is
    passed over; after a failed send the walk goes on only under `fallback`, or to the overflow of one that is full.

    An overflow step is taken only where a preferred recipient calls for it: it was over the figure when the walk began,
    it answered that it is full, or it could not be reached; or the plan holds no preferred one. A recipient over the
    figure comes after all that is preferred and not, and before `fallback`.

    Beside a step that is preferred or overflow others can be sent to, each once: those of the plan that are left and
    have `hedge_after_s`. A step of stage `hedge` is never stood on.
    """

    def __init__(self, plan: tuple[Step, ...], retry: Retry, utilisation: Utilisation | None = None) -> None:
        preferred = [step.recipient for step in plan if step.stage == "prefer"]
        over = [step.overflow.over for step in plan if step.overflow is not None]
        busy: set[str] = set()
        if over and utilisation is not None:
            busy = {name for name in preferred if (utilisation(name) or 0.0) > over[0]}
        self._retry = retry
        self._calls_for_overflow = bool(busy) or not preferred
        self._left = list(plan)
        if busy:
            self._left.sort(key=lambda step: _rank(step, busy))  # stable: else in the order of the plan
        self._open = _EVERY_STAGE
        self._attempt = 1
        self._sent = False
        """Whether an attempt at `step` was sent."""
        self._hedged: set[str] = set()
        first = self._next()
        assert first is not None  # noqa: S101  (a plan is not empty, and its overflow waits only for a preferred one)
        self.step = first
        """The recipient to try now."""

    def after(self, error: RingfenceError, *, sent: bool) -> float | None:
        """Moves on after `error`: the seconds to wait before trying `step`, or `None` when nothing is left to try."""
        self._sent = self._sent or sent
        if isinstance(error, TimedOut) and error.limit == "total":
            return None
        self._attempt += 1
        if isinstance(error, ProviderError) and not self._makes_way(error):
            wait_s = self._retry.wait_before(self._attempt, error)
            if wait_s is not None:
                return wait_s
        self._leave(full=_is_full(error))
        self._attempt, self._sent = 1, False
        step = self._next()
        if step is None:
            return None
        self.step = step
        return 0.0

    @property
    def untried(self) -> tuple[str, ...]:
        """Who of the plan would have been tried, had nothing been sent that failed: nobody under `fallback`."""
        closed = (step for step in self._left if step.stage in _EVERY_STAGE - self._open)
        return tuple(step.recipient for step in closed if step.stage != "overflow" or self._calls_for_overflow)

    @property
    def hedge_after_s(self) -> int | None:
        """How long nothing may come from `step` before another is sent to as well; `None` where there is no other."""
        if self.step.stage == "fallback":
            return None
        # Asked for each step of every request, most of which have no hedge.
        for step in self._left:
            if step.hedge_after_s is not None and self._may_hedge(step):
                return step.hedge_after_s
        return None

    def take_hedge(self) -> Step | None:
        """The next step to send to beside `step`, each at most once; `None` when there is no other."""
        step = next(filter(self._may_hedge, self._left), None)
        if step is not None:
            self._hedged.add(step.recipient)
        return step

    def leave_out(self, step: Step) -> None:
        """Never stands on `step`, which was sent to beside another."""
        self._left.remove(step)

    def _may_hedge(self, step: Step) -> bool:
        return step.hedge_after_s is not None and step.recipient not in self._hedged

    def _makes_way(self, error: ProviderError) -> bool:
        """Whether a recipient is not asked again, since another is there for that.

        Its overflow is, where it is full; anybody that is left, where it was looked for and found out of reach (an
        `Overloaded` that is a `ConnectFailed`).
        """
        if not isinstance(error, Overloaded) or not _is_full(error) or self.step.stage == "fallback":
            return False
        stages = {step.stage for step in self._left} & self._open_after(full=True)
        return bool(stages) if isinstance(error, ConnectFailed) else "overflow" in stages

    def _leave(self, *, full: bool) -> None:
        if full and self.step.stage == "prefer":
            self._calls_for_overflow = True
        self._open = self._open_after(full=full)

    def _open_after(self, *, full: bool) -> frozenset[Stage]:
        # INVARIANT: what failed after it was sent opens nothing that was closed before.
        return self._open & (_AFTER_FULL if full else _AFTER_FAILED) if self._sent else self._open

    def _next(self) -> Step | None:
        """Takes the first step that is left and may be tried now."""
        for place, step in enumerate(self._left):
            if step.stage in self._open and (step.stage != "overflow" or self._calls_for_overflow):
                return self._left.pop(place)
        return None


def _rank(step: Step, busy: set[str]) -> int:
    if step.stage == "fallback":
        return 2
    return 1 if step.recipient in busy else 0


def _is_full(error: RingfenceError) -> bool:
    """Whether the recipient answered that it is full, before an answer began, or could not be reached."""
    if not isinstance(error, ProviderError) or error.phase == "mid_stream":
        return False
    return isinstance(error, Overloaded | ConnectFailed) or (
        isinstance(error, Unavailable) and error.reason == "unreachable"
    )
