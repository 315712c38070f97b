"""What is wrong with a policy file: every fault with its place, and the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ringfence.policy.place import Position

_SHOWN_CHARACTERS = 60
_CLOSE_ENOUGH = 0.6
_LAST_LINE = 1 << 62


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault or warning at one place."""

    at: Position
    message: str

    def render(self, file: str) -> str:
        """`file:line:col: message`, with as much of the place as is known; `file` unless it stands in a layer."""
        place, file = str(self.at), self.at.file or file
        return f"{file}:{place}: {self.message}" if place else f"{file}: {self.message}"


@dataclass(slots=True)
class Faults:
    """The faults found so far. Reading goes on after each, so that a person sees all of them at once."""

    found: dict[Fault, None] = field(default_factory=dict[Fault, None])
    """Each once, in the order in which they were found."""

    def add(self, at: Position, message: str) -> None:
        """Notes one fault, once."""
        self.found.setdefault(Fault(at, message))

    def in_file_order(self) -> tuple[Fault, ...]:
        """All of them, by line and column, those of layers after the others; those without a place stand last."""
        return tuple(sorted(self.found, key=_place))


def _place(fault: Fault) -> tuple[str, int, int]:
    return (fault.at.file, fault.at.line or _LAST_LINE, fault.at.column or 0)


def quoted(name: str) -> str:
    """`name` in quotes, safe to print in a terminal and of bounded length."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return f"'{shown[:_SHOWN_CHARACTERS]}…'" if len(shown) > _SHOWN_CHARACTERS else f"'{shown}'"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` is probably a misspelling of."""
    import difflib  # noqa: PLC0415  (only a fault needs it)

    names = sorted(set(candidates))
    found = difflib.get_close_matches(name[:_SHOWN_CHARACTERS], names, n=1, cutoff=_CLOSE_ENOUGH)
    return found[0] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing where no candidate is close."""
    found = nearest(name, candidates)
    return f" Did you mean {quoted(found)}?" if found else ""


def listed(names: Iterable[str], last: str = "and") -> str:
    """`'a', 'b' and 'c'`."""
    shown = [quoted(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}" if shown else ""
