"""How the commands of `ringfence policy` put things: names, counts, text that is safe in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.cli import terminal
from ringfence.policy.layers.environment import layers_over

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


def layers_in_force(named: Sequence[str]) -> tuple[Path, ...]:
    """The layers that hold for a request, those of the environment among them. They are told of as they are written.

    Raises:
        PolicyNotReadable: the environment names one by a relative path.
    """
    layers = (*map(Path, named), *layers_over())
    if layers:
        names = ", ".join(terminal.harmless(f"'{path}'") for path in layers)
        terminal.say(f"under {'layer' if len(layers) == 1 else 'layers'} {names}", dim=True)
    return layers


__all__ = ["count", "in_ring", "joined", "layers_in_force", "text"]
