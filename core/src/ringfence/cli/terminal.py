"""Where the command line writes: answers to stdout, everything said to people to stderr.

stdout is written through `write` alone, so that a closed pipe and a full disk are told apart from our own faults, and
nothing a model writes can drive the terminal.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a table that goes into a file or pipe."""

_IMMENSE = 100_000
"""Columns that no table needs."""

RING_STYLES = {"device": "green", "house": "cyan", "partner": "magenta"}
"""The colour of each ring, the same wherever one is shown."""

_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t\r"}
_CONTROL[ord("\r")] = ""
_UPPER_CONTROL_ESCAPES = {code: f"\\u{code:04x}" for code in range(127, 160)}


class ClosedPipe(Exception):
    """Whoever read stdout is gone."""


class CannotWrite(RingfenceError):
    """stdout takes no more, such as a file on a full disk."""


def prepare() -> None:
    """Makes every character writable, whatever encoding the terminal has."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Writes `text` to stdout and flushes it; a stdout that was closed before the start takes everything.

    Raises:
        ClosedPipe: nobody reads it any more.
        CannotWrite: the system refused it.
    """
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise writing_failed(error) from None


def writing_failed(error: OSError) -> ClosedPipe | CannotWrite:
    """What it means that writing to stdout raised `error`."""
    if isinstance(error, BrokenPipeError):
        return ClosedPipe()
    return CannotWrite(f"cannot write to standard output: {(error.strerror or 'unknown reason').lower()}")


def write_json(document: object, *, indent: int | None = None) -> None:
    """Writes one JSON document and a newline."""
    import json  # noqa: PLC0415  (only where it is asked for)

    # In UTF-8 a lone surrogate comes out as \udXXX, which is its JSON escape; any other encoding gets escapes only.
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    # JSON escapes the lower control characters itself; these too could drive a terminal.
    write(json.dumps(document, ensure_ascii=ascii_only, indent=indent).translate(_UPPER_CONTROL_ESCAPES) + "\n")


def say(text: str, *, newline: bool = True, **style: Any) -> None:
    """Writes `text` for people to stderr, styled where that is a terminal that wants colour."""
    try:
        click.echo(styled(text, **style), err=True, nl=newline)
    except OSError:
        return  # nobody listens; the exit code still tells


def styled(text: str, **style: Any) -> str:
    """`text` in a style for stderr, or plain where colour is not wanted."""
    return click.style(text, **style) if style and colour_wanted() else text


def colour_wanted() -> bool:
    """Whether stderr is a terminal and neither `--no-color`, `NO_COLOR` nor a dumb terminal forbids colour."""
    return is_terminal(sys.stderr) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: Any) -> bool:
    """Whether `stream` is open and a terminal."""
    try:
        return bool(stream is not None and stream.isatty())
    except ValueError:
        return False


def harmless(text: str) -> str:
    """`text` without control characters: what a model writes never moves the cursor or retitles the window."""
    return text.translate(_CONTROL)


def columns() -> int:
    """How wide a table on stdout may be."""
    import shutil  # noqa: PLC0415  (only a table needs it)

    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else WIDTH_WITHOUT_TERMINAL


def fits(table: Table) -> bool:
    """Whether no cell of a table has to be folded."""
    from rich.console import Console  # noqa: PLC0415  (45 ms, and only tables need it)
    from rich.measure import Measurement  # noqa: PLC0415

    console = Console(width=_IMMENSE)
    return Measurement.get(console, console.options, table).maximum <= columns()


def write_table(table: Table) -> None:
    """Writes a table to stdout: as wide as the terminal, or wide and without trailing blanks where there is none.

    Rich honours NO_COLOR, and writes no colour where stdout is not a terminal.
    """
    from rich.console import Console  # noqa: PLC0415  (45 ms, and only tables need it)

    console = Console(highlight=False, width=columns())
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    write("".join(f"{line.rstrip()}\n" for line in lines))


def finish() -> None:
    """Flushes stdout for the last time.

    Raises:
        ClosedPipe, CannotWrite: what is still in the buffer cannot be written.
    """
    if sys.stdout is not None and not sys.stdout.closed:  # pyright: ignore[reportUnnecessaryComparison]
        write("")


def discard() -> None:
    """Sends what is still in the buffer nowhere, so that the interpreter has nothing to complain of on its way out."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            _redirect(stream)


def _redirect(stream: Any) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return


__all__ = [
    "RING_STYLES",
    "CannotWrite",
    "ClosedPipe",
    "colour_wanted",
    "columns",
    "discard",
    "finish",
    "fits",
    "harmless",
    "is_terminal",
    "prepare",
    "say",
    "styled",
    "write",
    "write_json",
    "write_table",
    "writing_failed",
]
