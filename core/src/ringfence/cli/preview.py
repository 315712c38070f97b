"""Text that others wrote, shown so that a person sees every character of it, and as much of it as fits."""

from __future__ import annotations

MAX_LINES = 30
MAX_CHARACTERS = 2_000
_BAR = "  │ "


def escaped(text: str) -> str:
    """`text` with what does not show, or shows as something else, written out: escape, override and the like."""
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(one if one == "\n" or one.isprintable() else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    return "    " if character == "\t" else ascii(character)[1:-1]


def first_of(text: str) -> tuple[str, int]:
    """The first 30 lines or 2,000 characters of `text`, whichever is less, and how many characters are left."""
    shown = "\n".join(text[: MAX_CHARACTERS + 1].split("\n")[:MAX_LINES])[:MAX_CHARACTERS]
    return shown, len(text) - len(shown)


def quoted(text: str, columns: int) -> str:
    """`text` behind a bar, broken into lines of at most `columns`, so that no line of it passes for one of ours."""
    room = max(20, columns - len(_BAR))
    lines: list[str] = []
    for line in text.split("\n"):
        # A character outside ASCII may take two columns.
        size = room if line.isascii() else room // 2
        lines += [line[start : start + size] for start in range(0, len(line) or 1, size)]
    return "\n".join(f"{_BAR}{line}" for line in lines)


__all__ = ["MAX_CHARACTERS", "MAX_LINES", "escaped", "first_of", "quoted"]
