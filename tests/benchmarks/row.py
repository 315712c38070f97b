"""One line of the table: what was measured, how much it is, the bar it is held to, and whether it keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "over", "no bar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A budget: the value must stay under `limit`, or reach it where `at_least`. `text` is how the design says it."""

    limit: float
    text: str
    at_least: bool = False

    def kept_by(self, value: float) -> bool:
        """Whether `value` keeps it."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measurement. `value` is the median of its rounds, in `unit`; `lowest` the least of them; `note` how."""

    group: str
    what: str
    value: float
    unit: str
    bar: Bar | None = None
    lowest: float | None = None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the median keeps the bar."""
        if self.bar is None:
            return "no bar"
        return "ok" if self.bar.kept_by(self.value) else "over"

    @property
    def of_bar(self) -> float | None:
        """The value as a share of its bar."""
        return self.value / self.bar.limit if self.bar is not None and self.bar.limit else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "group": self.group,
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "lowest": self.lowest,
            "bar": None if self.bar is None else {"limit": self.bar.limit, "text": self.bar.text},
            "of_bar": self.of_bar,
            "verdict": self.verdict,
            "note": self.note,
        }


def shown(value: float, unit: str) -> str:
    """`value` with three digits that matter, and its unit."""
    if unit == "":
        return f"{value:.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
