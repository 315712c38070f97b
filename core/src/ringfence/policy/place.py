"""Where something stands in a policy file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; lines and columns count from 1, and `None` says that it is not known.

    `file` is the layer in which it is, as a person named it; "" is the policy file itself.
    """

    line: int | None
    column: int | None
    file: str = ""

    def __str__(self) -> str:
        """`12:5`, or as much of it as is known."""
        return ":".join(str(number) for number in (self.line, self.column) if number is not None)


NOWHERE = Position(None, None)
START = Position(1, 1)
