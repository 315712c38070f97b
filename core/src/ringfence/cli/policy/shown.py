"""How the commands of `ringfence policy` put things: names, counts, text that is safe in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ringfence.cli import terminal

if TYPE_CHECKING:
    from rich.text import Text

    from ringfence.recipient import Ring


def text(written: str, style: str = "") -> Text:
    """Text of a file or the command line: never read as markup, and no control character reaches the terminal."""
    from rich.text import Text  # noqa: PLC0415  (45 ms, and only a table needs it)

    return Text(terminal.harmless(written), style=style)


def joined(names: Iterable[Text]) -> Text:
    """`a, b, c`, or `nothing`."""
    shown = list(names)
    return text(", ").join(shown) if shown else text("nothing", "dim")


def in_ring(name: str, ring: Ring) -> Text:
    """A name in the colour of its ring."""
    return text(name, terminal.RING_STYLES[ring])


def count(number: int, what: str) -> str:
    """`1 fault`, `2 faults`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


__all__ = ["count", "in_ring", "joined", "text"]
