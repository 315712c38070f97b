"""A member of a set of requests, as plain as there is one: the request itself, and what of it matters, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from ringfence.policy.facts import Facts
from ringfence.policy.prove.diagram import NOTHING, Set
from ringfence.policy.prove.model import World
from ringfence.policy.prove.variables import USUAL_TASK, Key, Value
from ringfence.policy.times import MINUTES_OF_A_DAY
from ringfence.policy.words import plain

if TYPE_CHECKING:
    from ringfence.request import Modality

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One request, by the values that matter; with any other value of the rest it would be a witness as well."""

    matters: Mapping[Key, Value]
    cost: int
    """How unusual it is."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels that it must have, as far as conditions read them."""
        return frozenset(name for (kind, name), value in self.matters.items() if kind == "label" and value)

    @property
    def task(self) -> str:
        """Its task."""
        return str(self.matters.get(("task", ""), USUAL_TASK))

    def facts(self, labels: Iterable[str]) -> Facts:
        """The request with `labels` besides its own."""
        tokens = self.matters.get(("tokens", ""), 0)
        return Facts(
            task=self.task,
            labels=self.labels.union(labels),
            input_tokens=int(cast("int", tokens)),
            modality=cast("frozenset[Modality]", self.matters.get(("modality", ""), frozenset({"text"}))),
            values={
                name: value
                for (kind, name), value in self.matters.items()
                if kind == "fact" and isinstance(value, str | int | float)
            },
            minute=self._minute(),
        )

    def words(self, labels: Iterable[str]) -> str:
        """`labels=[health] task=open_question`, and whatever else matters."""
        shown = [f"labels=[{_listed(self.labels.union(labels))}]", f"task={plain(self.task)}"]
        for (kind, name), value in self.matters.items():
            if kind == "fact":
                shown.append(f"{plain(name)}={_value(value)}")
            elif kind == "tokens":
                shown.append(f"input_tokens={value}")
            elif kind == "modality":
                shown.append(f"modality=[{_listed(cast('frozenset[str]', value))}]")
        return " ".join([*shown, *self._time_words()])

    def _minute(self) -> int | None:
        day, minute = self.matters.get(("day", "")), self._minute_of_day()
        if day is None and (minute is None or ("day", "") in self.matters):
            return None
        return int(cast("int", day or 0)) * MINUTES_OF_A_DAY + int(cast("int", minute or 0))

    def _minute_of_day(self) -> Value:
        return self.matters.get(("minute", ""))

    def _time_words(self) -> list[str]:
        words: list[str] = []
        if ("day", "") in self.matters:
            day = self.matters["day", ""]
            words.append("(not known)" if day is None else _DAYS[cast("int", day)])
        if ("minute", "") in self.matters:
            hour, minute = divmod(cast("int", self._minute_of_day()), 60)
            words.append(f"{hour:02}:{minute:02}")
        return [f"time={' '.join(words)}"] if words else []


def witness_of(world: World, found: Set) -> Witness:
    """The plainest member of `found`, which is not empty: few labels, a usual task, no value that does not matter."""
    sets = world.diagrams
    cost, values = sets.cheapest(found, world.costs)
    outside = sets.outside(found)
    alone = {place: sets.within(place, value, value + 1) for place, value in values.items()}
    # The most unusual goes first, the task last: it is always said.
    for place in sorted(values, key=lambda one: (one == world.place["task", ""], -world.costs[one][values[one]])):
        rest = [one for other, one in alone.items() if other != place]
        if sets.both(outside, *rest) == NOTHING:
            del alone[place]
    matters = {world.variables[place].key: world.variables[place].values[values[place]] for place in sorted(alone)}
    return Witness(matters=matters, cost=cost)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(plain(name) for name in sorted(names))


def _value(value: Value) -> str:
    if value is None:
        return "(absent)"
    return str(value).lower() if isinstance(value, bool) else plain(str(value))
