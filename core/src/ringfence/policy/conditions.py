"""What a rule's `when:` says, as data: matchers joined by all, any and not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

FactValue: TypeAlias = str | int | float | bool
FactType: TypeAlias = Literal["enum", "bool", "int", "number"]
FACT_TYPES: tuple[FactType, ...] = ("enum", "bool", "int", "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The numbers with `over` < number ≤ `max`; `None` is no bound."""

    over: float | None = None
    max: float | None = None

    @property
    def empty(self) -> bool:
        """Whether no number is in it. Exact for whole numbers with whole bounds too."""
        return self.over is not None and self.max is not None and self.over >= self.max

    def __str__(self) -> str:
        bounds = (("over", self.over), ("max", self.max))
        return " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact the app supplies: its type, and its `values` (enum) or bounds, both inclusive (int, number)."""

    type: FactType
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None

    def admits(self, value: object) -> bool:
        """Whether `value` is one this fact can have; any other is not evaluable."""
        match self.type:
            case "enum":
                return isinstance(value, str) and value in self.values
            case "bool":
                return isinstance(value, bool)
            case "int" | "number":
                numbers = int if self.type == "int" else (int, float)
                if isinstance(value, bool) or not isinstance(value, numbers):
                    return False
                # A comparison with NaN is false, so NaN is not admitted once it is compared with itself.
                return (
                    value == value  # noqa: PLR0124
                    and (self.min is None or value >= self.min)
                    and (self.max is None or value <= self.max)
                )

    def parse(self, written: str) -> FactValue | None:
        """The value that a person wrote as text; `None` where this fact cannot have it."""
        value: FactValue | None = written
        if self.type == "bool":
            value = {"true": True, "false": False}.get(written)
        elif self.type in ("int", "number"):
            try:
                value = int(written) if self.type == "int" else float(written)
            except ValueError:
                return None
        return value if self.admits(value) else None

    def describe(self) -> str:
        """The values this fact can have, in words."""
        if self.type == "enum":
            return " or ".join(self.values)
        if self.type == "bool":
            return "true or false"
        bounds = [f"at least {self.min:g}"] if self.min is not None else []
        bounds += [f"at most {self.max:g}"] if self.max is not None else []
        return " ".join(("a whole number" if self.type == "int" else "a number", " and ".join(bounds))).rstrip()


@dataclass(frozen=True, slots=True)
class TaskIn:
    """The task is one of these."""

    tasks: frozenset[str]


@dataclass(frozen=True, slots=True)
class ModalityIn:
    """One of these modalities is in the input or asked for as output."""

    modalities: frozenset[str]


@dataclass(frozen=True, slots=True)
class TokensIn:
    """`input_tokens` lies in the range."""

    range: Range


@dataclass(frozen=True, slots=True)
class LabelIn:
    """The request carries one of these labels. Only in `route`: in `flow` one more label could widen."""

    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class FactIn:
    """The fact has one of these values; not evaluable where it is absent."""

    name: str
    values: frozenset[str | bool]


@dataclass(frozen=True, slots=True)
class FactRange:
    """The fact lies in the range; not evaluable where it is absent."""

    name: str
    range: Range


@dataclass(frozen=True, slots=True)
class TimeIn:
    """The moment, in the policy's `zone`, is on one of `days` (0 is Monday) and in `start` ≤ minute of day < `end`.

    Where `end` ≤ `start` the range goes over midnight, and both its pieces belong to the day on which they lie.
    `start` 0 … 1439, `end` 1 … 1440. Not evaluable where the moment is not known.
    """

    days: frozenset[int]
    start: int = 0
    end: int = 1440


@dataclass(frozen=True, slots=True)
class Cel:
    """A CEL expression, type-checked as a Boolean when the file was read. An error in it is not evaluable.

    `reads_labels` only in `route`. It may read the task, so a deny with one applies to a task the file does not know.
    """

    expression: str
    reads_labels: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part is true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part is true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false; a part that is not evaluable stays so."""

    part: Condition


Matcher: TypeAlias = TaskIn | ModalityIn | TokensIn | LabelIn | FactIn | FactRange | TimeIn | Cel
Condition: TypeAlias = Matcher | AllOf | AnyOf | Not


def matchers(condition: Condition) -> Iterator[Matcher]:
    """Every matcher in `condition`."""
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from matchers(part)
        case Not(part):
            yield from matchers(part)
        case _:
            yield condition


def fact_names(condition: Condition) -> frozenset[str]:
    """The declared facts that `condition` reads."""
    return frozenset(found.name for found in matchers(condition) if isinstance(found, FactIn | FactRange))


def reads_task(condition: Condition) -> bool:
    """Whether `condition` depends on the task."""
    return any(isinstance(found, TaskIn | Cel) for found in matchers(condition))
