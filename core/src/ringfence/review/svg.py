"""The pieces of an SVG picture: text that fits, whatever a file calls things, and the colours of the rings."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

STYLE: Final = """
.rf-paper{fill:#fff}.rf-ink{fill:#1f2328}.rf-soft{fill:#59636e}.rf-box{fill:#fff;stroke:#c8d1da}
.rf-halo{stroke:#fff;stroke-width:5px;paint-order:stroke;stroke-linejoin:round}
.rf-device{color:#15803d}.rf-house{color:#0e7490}.rf-partner{color:#a21caf}.rf-denied{color:#9aa4ae}
.rf-band{fill:currentColor;fill-opacity:.07;stroke:currentColor;stroke-opacity:.35}
.rf-line{fill:none;stroke:currentColor;stroke-width:1.6}.rf-word,.rf-dot{fill:currentColor}.rf-mark{fill:#fff}
.rf-sometimes{stroke-dasharray:6 4}.rf-cut{stroke-dasharray:1 4;stroke-linecap:round}
.rf text{font:13px ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
.rf .rf-small{font-size:11px}.rf .rf-head{font-size:17px;font-weight:600}.rf .rf-strong{font-weight:600}
@media (prefers-color-scheme:dark){
.rf-paper{fill:#0d1117}.rf-ink{fill:#e6edf3}.rf-soft{fill:#9aa4ae}.rf-box{fill:#161b22;stroke:#3d444d}
.rf-halo{stroke:#0d1117}.rf-mark{fill:#0d1117}
.rf-device{color:#4ade80}.rf-house{color:#22d3ee}.rf-partner{color:#e879f9}.rf-denied{color:#6e7781}}
""".strip()
"""Light, and dark where the reader's scheme is."""


def number(value: float) -> str:
    """`value` as short as it can be, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def safe(written: str) -> str:
    """`written` as XML text: escaped, and without what no XML may hold."""
    # Control characters, surrogates and unassigned code points; format characters could reorder what a person reads.
    shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one)[0] == "C" else one for one in written)
    return escape(shown)


def text(
    x: float, y: float, written: str, classes: str, most: int, *, anchor: Literal["start", "end"] = "start"
) -> str:
    """A line of text of at most `most` columns, the whole of it as its title where it is longer."""
    shown = cut(written, most)
    whole = f"<title>{safe(written)}</title>" if shown != written else ""
    at_end = ' text-anchor="end"' if anchor == "end" else ""
    return f'<text class={quoteattr(classes)} x="{number(x)}" y="{number(y)}"{at_end}>{safe(shown)}{whole}</text>'


def cut(written: str, most: int) -> str:
    """`written`, or as much of its beginning and its end as fits in `most` columns around an ellipsis."""
    if cells(written) <= most:
        return written
    # Names that are alike often differ at the end.
    end = _fitting(reversed(written), (most - 1) // 4)[::-1]
    return f"{_fitting(written, most - 1 - cells(end))}…{end}"


def cells(written: str) -> int:
    """The columns that `written` takes; a wide character takes two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in written)


def _fitting(written: Iterable[str], most: int) -> str:
    kept = ""
    for one in written:
        if cells(kept + one) > most:
            break
        kept += one
    return kept


__all__ = ["STYLE", "cells", "cut", "number", "safe", "text"]
