"""How a condition of a file is said to a person, in the words of the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from ringfence.policy.conditions import (
    AllOf,
    AnyOf,
    Cel,
    Condition,
    FactIn,
    FactRange,
    LabelIn,
    ModalityIn,
    Not,
    TaskIn,
    TimeIn,
    TokensIn,
)
from ringfence.policy.document import Budget
from ringfence.policy.keys import DAYS
from ringfence.policy.times import MINUTES_OF_A_DAY, UTC_ZONE

_LONG_RUN = 3
"""The days that are said as a first and a last one."""


def plain(name: str) -> str:
    """`name` safe to print in a terminal."""
    return name if name.isprintable() else ascii(name)[1:-1]


def joined(names: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    shown = [plain(name) for name in names]
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}" if len(shown) > 1 else "".join(shown)


def budget_words(budget: Budget) -> str:
    """`50 USD per month`, `5,000 tokens in all`."""
    amount = f"{budget.limit:,.2f}".removesuffix(".00")
    return f"{amount} {budget.unit} {'in all' if budget.per == 'total' else f'per {budget.per}'}"


def condition_words(  # noqa: C901, PLR0911  (one for each kind)
    condition: Condition, zone: str | None
) -> str:
    """`input_tokens max 1500 and user.role is trainee`; `zone` is the time zone of the file."""
    match condition:
        case TaskIn(tasks):
            return f"task is {_one_of(tasks)}"
        case ModalityIn(modalities):
            return f"modality is {_one_of(modalities)}"
        case LabelIn(labels):
            return f"a label is {_one_of(labels)}"
        case TokensIn(bounds):
            return f"input_tokens {bounds}"
        case FactIn(name, values):
            return f"{plain(name)} is {_one_of(str(one).lower() if isinstance(one, bool) else one for one in values)}"
        case FactRange(name, bounds):
            return f"{plain(name)} {bounds}"
        case TimeIn():
            return f"{time_words(condition)} {plain(zone or UTC_ZONE)}"
        case Cel(expression):
            return f"cel ({plain(' '.join(expression.split()))})"
        case AllOf(parts):
            return " and ".join(_part(part, zone) for part in parts)
        case AnyOf(parts):
            return " or ".join(_part(part, zone) for part in parts)
        case Not(part):
            return f"not ({condition_words(part, zone)})"
        case _:
            assert_never(condition)


def under(when: Condition | None, zone: str | None) -> str:
    """`, when input_tokens max 1500`, or nothing."""
    return "" if when is None else f", when {condition_words(when, zone)}"


def time_words(moment: TimeIn) -> str:
    """`mon–fri 07:00–20:00`, without the zone."""
    hours = f"{_of_day(moment.start)}–{_of_day(moment.end)}"
    every_day, whole_day = len(moment.days) == len(DAYS), (moment.start, moment.end) == (0, MINUTES_OF_A_DAY)
    return " ".join([*(() if every_day else (_days(moment),)), *(() if whole_day and not every_day else (hours,))])


def _days(moment: TimeIn) -> str:
    return ", ".join(name for run in _runs(sorted(moment.days)) for name in _run_words(run))


def _runs(days: Iterable[int]) -> Iterator[list[int]]:
    """The days that follow one another, together."""
    run: list[int] = []
    for day in days:
        if run and day != run[-1] + 1:
            yield run
            run = []
        run.append(day)
    if run:
        yield run


def _run_words(run: list[int]) -> tuple[str, ...]:
    names = tuple(DAYS[day] for day in run)
    return (f"{names[0]}–{names[-1]}",) if len(run) >= _LONG_RUN else names


def _of_day(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _part(part: Condition, zone: str | None) -> str:
    """A part of several; one that has parts itself is in parentheses."""
    said = condition_words(part, zone)
    return f"({said})" if isinstance(part, AllOf | AnyOf) and len(part.parts) > 1 else said


def _one_of(values: Iterable[str]) -> str:
    return joined(sorted(values), "or")
