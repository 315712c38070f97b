"""The chart of the README, written as SVG: shares of the budgets, and seconds to the first word.

Its colours follow the reader's light or dark setting. Every bar has its figure beside it, so that nothing is told by
colour alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.row import Row, shown

_WIDTH = 860
_LABEL_END = 330
_BAR_BEGIN = 342
_BAR_WIDTH = 330
_FIGURE_BEGIN = _BAR_BEGIN + _BAR_WIDTH + 14
_LINE = 26
_STYLE = """
.page { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
.head { font-weight: 600; font-size: 15px } .small { fill: #59636e; font-size: 12px }
.ok { fill: #1f7a4d } .over { fill: #bc4c00 } .fast { fill: #2f6feb } .slow { fill: #8c959f }
.budget { stroke: #59636e; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 }
.ok { fill: #3fb37f } .over { fill: #f0883e } .fast { fill: #6ea8fe } .slow { fill: #6e7681 }
.budget { stroke: #9198a1 } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: `share` of the full width, and the figure that stands behind it."""

    label: str
    share: float
    figure: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Bars under one heading; `mark` is where a dashed line stands, as a share of the width."""

    heading: str
    remark: str
    bars: Sequence[Bar]
    mark: float | None = None


def write_chart(path: Path, rows: Iterable[Row]) -> None:
    """Writes the chart of `rows` to `path`; a panel without rows is left out."""
    every = list(rows)
    panels = [panel for panel in (_budgets(every), _first_words(every)) if panel.bars]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(panels), encoding="utf-8")


def svg(panels: Sequence[Panel]) -> str:
    """The picture: one panel above the other."""
    drawn: list[str] = []
    top = 16
    for panel in panels:
        drawn.append(_text(16, top + 16, panel.heading, "head"))
        drawn.append(_text(16, top + 36, panel.remark, "small"))
        first = top + 48
        for number, bar in enumerate(panel.bars):
            drawn += _bar(bar, first + number * _LINE)
        bottom = first + len(panel.bars) * _LINE
        if panel.mark is not None:
            x = _BAR_BEGIN + panel.mark * _BAR_WIDTH
            drawn.append(f'<line class="budget" x1="{x:.1f}" y1="{first - 4}" x2="{x:.1f}" y2="{bottom}"/>')
        top = bottom + 20
    title = html.escape("; ".join(panel.heading for panel in panels))
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">'
    page = f'<rect class="page" width="{_WIDTH}" height="{top}" rx="8"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", page, *drawn, "</svg>", ""])


def _bar(bar: Bar, y: int) -> list[str]:
    width = max(2.0, min(1.0, bar.share) * _BAR_WIDTH)
    return [
        _text(_LABEL_END, y + 15, bar.label, anchor="end"),
        f'<rect class="{bar.kind}" x="{_BAR_BEGIN}" y="{y + 3}" width="{width:.1f}" height="16" rx="3"/>',
        _text(_FIGURE_BEGIN, y + 15, bar.figure),
    ]


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{html.escape(text)}</text>'


_BUDGETS = {
    "import ringfence: time / that of five standard modules": "import ringfence, against five standard modules",
    "decide() at 10 rules": "one decision, 10 rules",
    "decide() at 1,000 rules": "one decision, 1,000 rules",
    "what the core adds to one call (policy and audit on)": "added to a call, policy and audit on",
    "what the core adds to one streamed event": "added to a streamed event",
    "detectors, 1,000 characters of English": "detectors, 1,000 characters of English",
    "detectors, 1,000 characters of Chinese": "detectors, 1,000 characters of Chinese",
}


def _budgets(rows: Sequence[Row]) -> Panel:
    """Each value as a share of its budget; the dashed line is the budget."""
    scale = 1.25
    bars = [
        Bar(
            label=_BUDGETS[row.what],
            share=row.of_bar / scale,
            figure=f"{shown(row.value, row.unit)} of {row.bar.limit:g} {row.unit}",
            kind=row.verdict,
        )
        for row in rows
        if row.what in _BUDGETS and row.bar is not None and row.of_bar is not None
    ]
    remark = "Shorter is better; the dashed line is the budget. CPU time, medians."
    return Panel(heading="What Ringfence adds", remark=remark, bars=bars, mark=1 / scale)


def _first_words(rows: Sequence[Row]) -> Panel:
    """Seconds to the first word, the longest filling the width."""
    words = [row for row in rows if row.group == "first-word"]
    longest = max((row.value for row in words), default=1.0)
    bars = [
        Bar(
            label=row.what.removeprefix("first word, "),
            share=row.value / longest,
            figure=shown(row.value, row.unit),
            kind="slow" if row.what.endswith("reference") else "fast",
        )
        for row in words
    ]
    remark = "Embedded model on this CPU. Cold: the worker starts and loads; warm: it is loaded. Last word: the BLAS."
    return Panel(heading="Seconds to the first word", remark=remark, bars=bars)
