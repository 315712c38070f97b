"""What is wrong with a policy file: every fault with its place, and the word that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ringfence.policy.place import NOWHERE, Position

MAX_FAULTS = 500
"""Of one policy: more than a person mends before trying again, and few enough to be told in a second."""
_SHOWN_CHARACTERS = 60
_CLOSE_ENOUGH = 0.6
_MOST_COMPARED = 8
_LAST_LINE = 1 << 62
_PATH = re.compile(r"(?<!['\w])(?:rule )?((?:flow|route|budgets|tests)\[\d+\])((?:\.[\w-]+|\[\d+\])*)")


class TooManyFaults(Exception):
    """A file has more faults than are looked for. Those found so far are kept."""


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
    """The faults found so far. Reading goes on after each, so that a person sees all of them at once.

    With `most`, the search ends after so many, and the last fault says so.
    """

    found: dict[Fault, None] = field(default_factory=dict[Fault, None])
    """Each once, in the order in which they were found."""
    most: int | None = None
    full: bool = False
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the file that is being read calls its parts: `flow[4]` is `flow rule 'partner-public'`."""

    def add(self, at: Position, message: str) -> None:
        """Notes one fault, once. A part that has a name is called by it.

        Raises:
            TooManyFaults: there are `most` already.
        """
        if self.full or (self.most is not None and len(self.found) >= self.most):
            self.full = True
            raise TooManyFaults
        self.found.setdefault(Fault(at, self._said(message)))

    def _said(self, message: str) -> str:
        """`flow[4].when must be …` as `when of flow rule 'partner-public' must be …`."""

        def called(path: re.Match[str]) -> str:
            name = self.names.get(path[1])
            return path[0] if name is None else f"{path[2][1:]} of {name}" if path[2] else name

        return _PATH.sub(called, message) if self.names else message

    def in_file_order(self) -> tuple[Fault, ...]:
        """All of them, by line and column, those of layers after the others; those without a place stand last."""
        rest = Fault(NOWHERE, f"there are more than {self.most} faults, and no more are looked for. Mend these first.")
        return (*sorted(self.found, key=_place), *((rest,) if self.full else ()))


def _place(fault: Fault) -> tuple[str, int, int]:
    return (fault.at.file, fault.at.line or _LAST_LINE, fault.at.column or 0)


def quoted(name: str) -> str:
    """`name` in quotes, safe to print in a terminal and of bounded length."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return f"'{shown[:_SHOWN_CHARACTERS]}…'" if len(shown) > _SHOWN_CHARACTERS else f"'{shown}'"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` is probably a misspelling of."""
    import difflib  # noqa: PLC0415  (only a fault needs it)

    matcher = difflib.SequenceMatcher[str](b=name[:_SHOWN_CHARACTERS].lower())
    close: list[tuple[float, int, str]] = []
    for candidate in set(candidates):
        written = candidate[:_SHOWN_CHARACTERS].lower()
        matcher.set_seq1(written)
        if matcher.real_quick_ratio() >= _CLOSE_ENOUGH and (bound := matcher.quick_ratio()) >= _CLOSE_ENOUGH:
            close.append((bound, sum(map(str.__eq__, written, name.lower())), candidate))
    found: list[tuple[float, str]] = []
    # The letters alone say which are worth a comparison, which costs the square of their number.
    for _, _, candidate in sorted(close, reverse=True)[:_MOST_COMPARED]:
        matcher.set_seq1(candidate[:_SHOWN_CHARACTERS].lower())
        found.append((matcher.ratio(), candidate))
    ratio, best = max(found, default=(0.0, ""))
    return best if ratio >= _CLOSE_ENOUGH else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or nothing where no candidate is close."""
    found = nearest(name, candidates)
    return f" Did you mean {quoted(found)}?" if found else ""


def listed(names: Iterable[str], last: str = "and") -> str:
    """`'a', 'b' and 'c'`."""
    shown = [quoted(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}" if shown else ""
