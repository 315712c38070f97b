"""What a request can be, as variables with finitely many values: whatever lies between two bounds of the files is one.

Several files share one set of variables, so that the same request can be put to each of them. A value here is a value
that a request can have: where a rule tells two apart, both are there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, TypeAlias

from ringfence.policy.conditions import (
    Condition,
    FactIn,
    FactRange,
    FactValue,
    LabelIn,
    Matcher,
    ModalityIn,
    Range,
    TimeIn,
    TokensIn,
    matchers,
)
from ringfence.policy.document import Document
from ringfence.policy.keys import BUILT_IN_TASKS, MODALITIES, OTHER_TASK
from ringfence.policy.times import MINUTES_OF_A_DAY

Kind: TypeAlias = Literal["task", "modality", "fact", "tokens", "day", "minute", "label"]
Key: TypeAlias = tuple[Kind, str]
Value: TypeAlias = FactValue | frozenset[str] | None
"""`None` is a fact that is absent, or a moment that is not known."""

_ORDER: Final[tuple[Kind, ...]] = ("task", "modality", "day", "fact", "tokens", "minute", "label")
"""In which order diagrams ask: what many rules split first."""
USUAL_TASK: Final = "open_question"

_NOT_KNOWN_COST, _UNKNOWN_TASK_COST, _LABEL_COST = 20, 30, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One thing that a rule can ask of a request: its values, and how unusual each is.

    `blocks` are the runs of numbers among the values, each ascending: the first index, and the numbers.
    """

    key: Key
    values: tuple[Value, ...]
    costs: tuple[int, ...]
    blocks: tuple[tuple[int, tuple[float, ...]], ...] = ()

    def runs(self, bounds: Range) -> Iterable[tuple[int, int]]:
        """The indexes of the numbers in `bounds`, as first and one past the last. No value straddles a bound."""
        for first, numbers in self.blocks:
            start = 0 if bounds.over is None else bisect_right(numbers, bounds.over)
            end = len(numbers) if bounds.max is None else bisect_right(numbers, bounds.max)
            yield first + start, first + end


def variables_of(documents: Sequence[Document], conditions: Sequence[Condition]) -> tuple[Variable, ...]:
    """The variables that `conditions` read, in the order in which diagrams ask for them."""
    found: dict[Matcher, None] = dict.fromkeys(one for condition in conditions for one in matchers(condition))
    made = [_task(documents), *_modality(found), *_tokens(found), *_time(found), *_labels(found)]
    ranges: dict[str, list[Range]] = {one.name: [] for one in found if isinstance(one, FactIn | FactRange)}
    for one in found:
        if isinstance(one, FactRange):
            ranges[one.name].append(one.range)
    made += [_fact(name, documents, bounds) for name, bounds in ranges.items()]
    return tuple(sorted(made, key=lambda one: (_ORDER.index(one.key[0]), len(one.values), one.key[1])))


def knows_task(document: Document, task: str) -> bool:
    """Whether `task` is one of every policy's or one of the file's own."""
    return task in BUILT_IN_TASKS or task in document.tasks


def _task(documents: Sequence[Document]) -> Variable:
    known = dict.fromkeys((USUAL_TASK, *BUILT_IN_TASKS, *(task for one in documents for task in one.tasks)))
    unknown = OTHER_TASK
    while unknown in known:
        unknown += "_"
    costs = [0, *(2 for _ in list(known)[1:]), _UNKNOWN_TASK_COST]
    return Variable(key=("task", ""), values=(*known, unknown), costs=tuple(costs))


def _modality(found: Iterable[Matcher]) -> Iterable[Variable]:
    if not any(isinstance(one, ModalityIn) for one in found):
        return
    sets = [frozenset[str](some) for size in range(len(MODALITIES) + 1) for some in combinations(MODALITIES, size)]
    text_alone = frozenset({"text"})
    # A text alone is usual; a request may have none at all, such as one without parts whose answer is numbers.
    costs = (0 if one == text_alone else 1 + 2 * len(one) - ("text" in one) if one else _NOT_KNOWN_COST for one in sets)
    yield Variable(key=("modality", ""), values=tuple(sets), costs=tuple(costs))


def _tokens(found: Iterable[Matcher]) -> Iterable[Variable]:
    bounds = [one.range for one in found if isinstance(one, TokensIn)]
    if bounds:
        least, *more = _whole(cut for cut in _cuts(bounds) if cut >= 0)
        # A request is seldom empty: the first part is shown by 1 token wherever no bound tells 0 and 1 apart.
        yield _numbers(("tokens", ""), ((min(1, least), *more),))


def _time(found: Iterable[Matcher]) -> Iterable[Variable]:
    moments = [one for one in found if isinstance(one, TimeIn)]
    if moments:
        yield Variable(key=("day", ""), values=(*range(7), None), costs=(*range(1, 8), _NOT_KNOWN_COST))
        starts = sorted(
            {0, *(minute for one in moments for minute in (one.start, one.end) if minute < MINUTES_OF_A_DAY)}
        )
        yield _numbers(("minute", ""), (tuple(starts),))


def _labels(found: Iterable[Matcher]) -> Iterable[Variable]:
    for label in sorted({label for one in found if isinstance(one, LabelIn) for label in one.labels}):
        yield Variable(key=("label", label), values=(False, True), costs=(0, _LABEL_COST))


def _fact(name: str, documents: Sequence[Document], ranges: Sequence[Range]) -> Variable:
    declared = [one.facts[name] for one in documents if name in one.facts]
    words = dict.fromkeys(value for fact in declared if fact.type == "enum" for value in fact.values)
    flags = (True, False) if any(fact.type == "bool" for fact in declared) else ()
    cuts = _cuts(ranges) | {edge for fact in declared for edge in (fact.min, fact.max) if edge is not None}
    lows = [fact.min for fact in declared if fact.min is not None]
    # A least value is inclusive: the part of the line that ends just before it is another. Whole numbers stand apart,
    # because one file may admit no others.
    whole = _whole(cuts | {math.ceil(low) - 1 for low in lows})
    broken = _broken(cuts | {math.nextafter(low, -math.inf) for low in lows})
    blocks = [
        tuple(number for number in numbers if any(fact.admits(number) for fact in declared))
        for numbers in (whole, broken)
        if any(fact.type in ("int", "number") for fact in declared)
    ]
    return _numbers(("fact", name), blocks, others=(*words, *flags), absent=True)


def _numbers(
    key: Key, blocks: Sequence[tuple[float, ...]], *, others: tuple[str | bool, ...] = (), absent: bool = False
) -> Variable:
    values: list[Value] = [*others]
    placed: list[tuple[int, tuple[float, ...]]] = []
    for numbers in blocks:
        placed.append((len(values), numbers))
        values += numbers
    costs = [*range(1, len(values) + 1)] if len(values) < _NOT_KNOWN_COST else [1] * len(values)
    if absent:
        values.append(None)
        costs.append(_NOT_KNOWN_COST)
    return Variable(key=key, values=tuple(values), costs=tuple(costs), blocks=tuple(placed))


def _cuts(bounds: Iterable[Range]) -> frozenset[float]:
    """Where one value ends and the next begins: every bound is `over` or `max`, so each value is `cut` < it ≤ `cut`."""
    found = (bound for one in bounds for bound in (one.over, one.max) if bound is not None)
    return frozenset(bound for bound in found if math.isfinite(bound))


def _whole(cuts: Iterable[float]) -> tuple[int, ...]:
    """One whole number for each part of the line that has any: the least of the part, if there is one."""
    floors = sorted({math.floor(cut) for cut in cuts}) or [0]
    return tuple(dict.fromkeys([floors[0], *(floor + 1 for floor in floors)]))


def _broken(cuts: Iterable[float]) -> tuple[float, ...]:
    """One float for each part of the line that has any: the greatest of the part, if there is one."""
    ordered = sorted({float(cut) for cut in cuts})
    if not ordered:
        return (0.0,)
    above = ordered[-1] + 1
    return (*ordered, above if above > ordered[-1] else math.inf)
