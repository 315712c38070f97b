"""Decision diagrams over variables with many values: a set of requests as one number, equal sets as equal numbers.

A node asks for one variable, whose values are numbered from 0, and has a child for each run of them. Variables are
asked in one order, a node whose children are all the same does not exist, and neither do two equal nodes: so a set is
empty exactly where it is `NOTHING`, and everything exactly where it is `EVERYTHING`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

Set: TypeAlias = int
"""A set of requests: the number of its topmost node."""

NOTHING: Final[Set] = 0
EVERYTHING: Final[Set] = 1

_BOTTOM: Final = 1 << 30


class TooHard(Exception):
    """The diagrams grew over their limit."""


class Diagrams:
    """The nodes of one proof. `sizes` are how many values each variable has, in the order in which they are asked.

    `limit` bounds the work: every run of every node that is looked at counts as one step. A bound on work bounds memory
    as well, for no step makes more than one run.

    Raises:
        TooHard: any operation, once the limit is reached.
    """

    def __init__(self, sizes: Sequence[int], *, limit: int) -> None:
        self._sizes = tuple(sizes)
        self._limit = limit
        self.steps = 0
        self._asked: list[int] = [_BOTTOM, _BOTTOM]
        self._ends: list[tuple[int, ...]] = [(), ()]
        self._children: list[tuple[Set, ...]] = [(), ()]
        self._unique: dict[tuple[int, tuple[int, ...], tuple[Set, ...]], Set] = {}
        self._joined: dict[tuple[Set, Set, Set], Set] = {}
        self._without: dict[Set, Set] = {NOTHING: EVERYTHING, EVERYTHING: NOTHING}
        self._united: dict[tuple[Set, ...], Set] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def look(self, rules: int) -> None:
        """Counts a look at `rules`, several of which are as much work as one run. Raises: TooHard."""
        self._count(1 + rules // 4)

    def within(self, variable: int, start: int, end: int) -> Set:
        """The requests whose value of `variable` is one of `start` … `end` - 1."""
        size = self._sizes[variable]
        start, end = max(start, 0), min(end, size)
        if start >= end:
            return NOTHING
        before, after = [(start, NOTHING)] if start else [], [(size, NOTHING)] if end < size else []
        return self._node(variable, [*before, (end, EVERYTHING), *after])

    def among(self, variable: int, values: Iterable[int]) -> Set:
        """The requests whose value of `variable` is one of `values`."""
        chosen = set(values)
        return self._node(variable, [(value + 1, Set(value in chosen)) for value in range(self._sizes[variable])])

    def both(self, *sets: Set) -> Set:
        """What lies in all of `sets`."""
        found = EVERYTHING
        for one in sets:
            found = self._join(NOTHING, found, one)
        return found

    def either(self, left: Set, right: Set) -> Set:
        """What lies in one of the two."""
        return self._join(EVERYTHING, left, right)

    def union(self, sets: Iterable[Set]) -> Set:
        """What lies in any of `sets`. Those that ask alike are united first, so that what lies between stays small."""
        alike = tuple(sorted(set(sets), key=lambda one: (self._asked[one], self._ends[one], one)))
        found = self._united.get(alike)
        if found is None:
            left = list(alike) or [NOTHING]
            while len(left) > 1:
                left = [self.either(one, other) for one, other in zip(left[::2], [*left[1::2], NOTHING], strict=False)]
            found = self._united[alike] = left[0]
        return found

    def outside(self, one: Set) -> Set:
        """What does not lie in `one`."""
        found = self._without.get(one)
        if found is None:
            children = self._children[one]
            runs = [(end, self.outside(child)) for end, child in zip(self._ends[one], children, strict=True)]
            found = self._without[one] = self._node(self._asked[one], runs)
            self._without[found] = one
        return found

    def cheapest(self, one: Set, costs: Sequence[Sequence[int]]) -> tuple[int, dict[int, int]]:
        """A member of `one`, which is not empty, as the values that lead to it, and the sum of their costs: the least.

        `costs` has a number for each value of each variable; a variable that is not asked costs nothing.
        """
        known: dict[Set, tuple[int, dict[int, int]] | None] = {NOTHING: None, EVERYTHING: (0, {})}
        found = self._cheapest(one, costs, known)
        assert found is not None  # noqa: S101  (only NOTHING has no member)
        return found

    def _cheapest(
        self, one: Set, costs: Sequence[Sequence[int]], known: dict[Set, tuple[int, dict[int, int]] | None]
    ) -> tuple[int, dict[int, int]] | None:
        if one in known:
            return known[one]
        variable, start = self._asked[one], 0
        best: tuple[int, dict[int, int]] | None = None
        for end, child in zip(self._ends[one], self._children[one], strict=True):
            below = self._cheapest(child, costs, known)
            if below is not None:
                value = min(range(start, end), key=costs[variable].__getitem__)
                cost = below[0] + costs[variable][value]
                if best is None or cost < best[0]:
                    best = cost, {**below[1], variable: value}
            start = end
        known[one] = best
        return best

    def _join(self, absorbing: Set, left: Set, right: Set) -> Set:
        """The intersection, where `absorbing` is `NOTHING`, or the union, where it is `EVERYTHING`."""
        if absorbing in (left, right):
            return absorbing
        if left == right or right == 1 - absorbing:
            return left
        if left == 1 - absorbing:
            return right
        key = (absorbing, left, right) if left < right else (absorbing, right, left)
        found = self._joined.get(key)
        if found is None:
            found = self._joined[key] = self._join_runs(absorbing, left, right)
        return found

    def _join_runs(self, absorbing: Set, left: Set, right: Set) -> Set:
        if self._asked[left] > self._asked[right]:
            left, right = right, left
        variable, runs = self._asked[left], list[tuple[int, Set]]()
        ends, children = self._ends[left], self._children[left]
        if self._asked[right] > variable:
            for end, child in zip(ends, children, strict=True):
                runs.append((end, self._join(absorbing, child, right)))
            return self._node(variable, runs)
        others, theirs = self._ends[right], self._children[right]
        here = there = end = 0
        while end < self._sizes[variable]:
            end = min(ends[here], others[there])
            runs.append((end, self._join(absorbing, children[here], theirs[there])))
            here += ends[here] == end
            there += others[there] == end
        return self._node(variable, runs)

    def _count(self, steps: int) -> None:
        # INVARIANT: a proof ends, whatever a file holds.
        self.steps += steps
        if self.steps > self._limit:
            raise TooHard

    def _node(self, variable: int, runs: Sequence[tuple[int, Set]]) -> Set:
        """The node with these runs, each its end and its child; those beside each other with one child are one."""
        self._count(len(runs))
        kept = [run for run, after in pairwise(runs) if run[1] != after[1]]
        if not kept:
            return runs[-1][1]
        kept.append(runs[-1])
        key = (variable, tuple(end for end, _ in kept), tuple(child for _, child in kept))
        found = self._unique.get(key)
        if found is None:
            found = self._unique[key] = len(self._asked)
            self._asked.append(key[0])
            self._ends.append(key[1])
            self._children.append(key[2])
        return found
