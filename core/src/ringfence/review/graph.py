"""A picture of a policy: which label may reach which recipient, as SVG that needs nothing beside itself.

It says what the rules say of a request with one label alone; every label of a request must be allowed. Texts are text,
the colours follow the reader's light or dark scheme, and the same policy gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from ringfence.policy.reach import Way, Ways, ways
from ringfence.policy.words import budget_words
from ringfence.review.layout import (
    BAND_PADDING,
    FLAT,
    NAME_HEIGHT,
    RECIPIENTS_WIDTH,
    RECIPIENTS_X,
    WIDTH,
    Band,
    Box,
    Layout,
    Line,
    has_words,
    lay_out,
)
from ringfence.review.svg import STYLE, cells, number, safe, text

if TYPE_CHECKING:
    from ringfence.policy.document import Budget, Document
    from ringfence.policy.policy import Policy

_RINGS: Final = {
    "device": "the user's own machine",
    "house": "in-house servers",
    "partner": "outside companies",
}
_NAME_CELLS, _LABEL_CELLS, _TITLE_CELLS = 28, 18, 70
_LEAST_MODEL_CELLS = 6
_LEGEND_HEIGHT = 78
_BUDGET_HEIGHT = 18
_SMALL = "rf-soft rf-small"


def graph(policy: Policy, *, denied: bool = False) -> str:
    """The picture of `policy`; with `denied` also, faintly, what a rule denies by name."""
    found = _shown(policy, denied=denied)
    layout = lay_out(policy.document, found)
    return "\n".join(_picture(policy, found, layout, denied=denied)) + "\n"


def _picture(policy: Policy, found: Ways, layout: Layout, *, denied: bool) -> Iterator[str]:
    budgets = policy.document.budgets
    height = round(layout.bottom + _LEGEND_HEIGHT + len(budgets) * _BUDGET_HEIGHT)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rf" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="rf-title rf-desc">'
    )
    yield f'<title id="rf-title">Policy {safe(policy.name)}: which label may reach whom</title>'
    yield f'<desc id="rf-desc">{_described(found)}{safe("".join(f" {_budget(one)}." for one in budgets))}</desc>'
    yield f"<style>{STYLE}</style>"
    yield f'<rect class="rf-paper" width="{WIDTH}" height="{height}"/>'
    yield text(24, 36, policy.name, "rf-ink rf-head", _TITLE_CELLS)
    yield text(24, 58, "Where data may go, label by label. Every label of a request must be allowed.", "rf-soft", 99)
    for band in layout.bands:
        yield _band(band)
    # What is denied lies under what is allowed.
    for line in sorted(layout.lines, key=lambda line: not line.way.denied):
        yield _line(line)
    for box in layout.labels:
        yield _label_box(box, reached=any(line.labels is box and not line.way.denied for line in layout.lines))
    for box in (box for band in layout.bands for box in band.boxes):
        reached = any(line.recipients is box and not line.way.denied for line in layout.lines)
        yield _recipient_box(box, policy.document, reached=reached)
    for index, one in enumerate(budgets, 1):
        yield text(24, layout.bottom + 8 + index * _BUDGET_HEIGHT, _budget(one), _SMALL, 140)
    yield _legend(height - _LEGEND_HEIGHT + 34, policy.digest, denied=denied)
    yield "</svg>"


def _band(band: Band) -> str:
    x, width = RECIPIENTS_X - BAND_PADDING, RECIPIENTS_WIDTH + 2 * BAND_PADDING
    return (
        f'<g class="rf-{band.ring}"><rect class="rf-band" x="{x}" y="{number(band.y)}" width="{width}" '
        f'height="{number(band.height)}" rx="10"/>'
        f"{text(RECIPIENTS_X, band.y + 20, band.ring, 'rf-word rf-strong', 10)}"
        f"{text(x + width - 12, band.y + 20, _RINGS[band.ring], _SMALL, 40, anchor='end')}</g>"
    )


def _line(line: Line) -> str:
    start, end = line.labels.x + line.labels.width, line.recipients.x
    level = end - FLAT - BAND_PADDING
    bend = (level - start) * 0.55
    start_y, end_y = number(line.from_y), number(line.to_y)
    drawn = (
        f"M{number(start)} {start_y}C{number(start + bend)} {start_y} {number(level - bend)} {end_y} "
        f"{number(level)} {end_y}H{number(end)}"
    )
    kind = " rf-cut" if line.way.denied else " rf-sometimes" if line.way.conditional else ""
    says = f"{', '.join(line.labels.names)} → {', '.join(line.recipients.names)}: {in_words(line.way)}"
    colour = "denied" if line.way.denied else line.ring
    return (
        f'<g class="rf-{colour}"><title>{safe(says)}</title><path class="rf-line{kind}" d="{drawn}"/>'
        f"{_notes(line, end - BAND_PADDING - 8)}</g>"
    )


def _notes(line: Line, right: float) -> str:
    """What is written on the level end of a line: how it is redacted, and the mark of consent."""
    if not has_words(line.way):
        return ""
    drawn = ""
    if line.way.consent != "never":
        drawn = _consent_mark(right - 7, line.to_y)
        right -= 20
    if line.way.kinds:
        words = " or ".join(line.way.kinds) if line.way.redacted == "always" else f"{line.way.kinds[0]}?"
        drawn += text(right, line.to_y + 4, words, "rf-word rf-small rf-halo", 22, anchor="end")
    return drawn


def _consent_mark(x: float, y: float) -> str:
    question = (
        f'<text class="rf-mark rf-small rf-strong" x="{number(x)}" y="{number(y + 4)}" text-anchor="middle">?</text>'
    )
    return f'<circle class="rf-dot" cx="{number(x)}" cy="{number(y)}" r="7.5"/>{question}'


def _label_box(box: Box, *, reached: bool) -> str:
    names = _rows(box, lambda name, y: text(box.x + 14, y, name, "rf-ink rf-strong", _LABEL_CELLS))
    beside = box.x + box.width + 10, box.y + box.height / 2 + 4
    return _frame(box) + names + ("" if reached else text(*beside, "reaches nothing", _SMALL, 20))


def _recipient_box(box: Box, document: Document, *, reached: bool) -> str:
    def row(name: str, y: float) -> str:
        shown = text(box.x + 14, y, name, "rf-ink rf-strong", _NAME_CELLS)
        # The model has what the name leaves, in smaller letters.
        left = int((_NAME_CELLS - cells(name)) * 1.25) - 1
        if left < _LEAST_MODEL_CELLS:
            return shown
        model = document.recipients[name].model
        return shown + text(box.x + box.width - 12, y, model, _SMALL, left, anchor="end")

    beside = box.x - BAND_PADDING - 8, box.y + box.height / 2 + 4
    unreached = "" if reached else text(*beside, "nothing reaches it", f"{_SMALL} rf-halo", 20, anchor="end")
    return _frame(box) + _rows(box, row) + unreached


def _rows(box: Box, row: Callable[[str, float], str]) -> str:
    """Each name of `box` on its line, the lines in the middle of the box."""
    first = box.y + (box.height - len(box.names) * NAME_HEIGHT) / 2 + 15.5
    return "".join(row(name, first + index * NAME_HEIGHT) for index, name in enumerate(box.names))


def _frame(box: Box) -> str:
    place = f'x="{number(box.x)}" y="{number(box.y)}"'
    return f'<rect class="rf-box" {place} width="{number(box.width)}" height="{number(box.height)}" rx="7"/>'


def _budget(one: Budget) -> str:
    return f"Budget {one.id}: at most {budget_words(one)} at {', '.join(sorted(one.of))}"


def _legend(y: float, digest: str, *, denied: bool) -> str:
    """What the lines and marks mean."""
    kinds = (("", "always"), (" rf-sometimes", "under a condition"), *(((" rf-cut", "denied"),) if denied else ()))
    x = 24.0
    drawn = ""
    for kind, says in kinds:
        drawn += f'<path class="rf-line{kind}" d="M{number(x)} {number(y)}h34"/>{text(x + 42, y + 4, says, _SMALL, 30)}'
        x += 68 + 6.5 * len(says)
    drawn += _consent_mark(x + 8, y) + text(x + 22, y + 4, "only after a person consents", _SMALL, 30)
    redacted = text(x + 212, y + 4, "remove, mask, pseudonym: how it is redacted", _SMALL, 60)
    return f'<g class="rf-denied">{drawn}{redacted}</g>{text(24, y + 28, digest, _SMALL, 100)}'


def as_document(policy: Policy, *, denied: bool = False) -> Mapping[str, object]:
    """The picture as data, the shape of `policy graph --json`."""
    return {
        "policy": {"name": policy.name, "digest": policy.digest},
        "labels": {
            label: {name: _way_document(way) for name, way in reach.items()}
            for label, reach in _shown(policy, denied=denied).items()
        },
        "budgets": budgets_document(policy.document),
    }


def budgets_document(document: Document) -> list[dict[str, object]]:
    """The budgets as data, here and in `policy check --json`."""
    return [
        {"id": one.id, "of": sorted(one.of), "limit": one.limit, "unit": one.unit, "per": one.per}
        for one in document.budgets
    ]


def _way_document(way: Way) -> Mapping[str, object]:
    if way.denied:
        return {"reaches": "never"}
    reaches = "sometimes" if way.conditional else "always"
    return {"reaches": reaches, "consent": way.consent, "redacted": way.redacted, "redact": list(way.kinds)}


def _shown(policy: Policy, *, denied: bool) -> Ways:
    return {
        label: {name: way for name, way in reach.items() if denied or not way.denied}
        for label, reach in ways(policy.document).items()
    }


def in_words(way: Way) -> str:
    """One way, as a person would say it."""
    if way.denied:
        return "denied"
    parts = [
        "under a condition" if way.conditional else "always",
        *(() if way.consent == "never" else ("after consent",) if way.consent == "always" else ("sometimes consent",)),
    ]
    if way.kinds:
        certain = "" if way.redacted == "always" else "sometimes "
        parts.append(f"{certain}redacted by {' or '.join(way.kinds)}")
    return ", ".join(parts)


def _described(found: Ways) -> str:
    """The picture as text: a sentence a label."""
    sentences: list[str] = []
    for label, reach in found.items():
        reached = ", ".join(f"{name} ({in_words(way)})" for name, way in reach.items())
        sentences.append(f"{label} may reach {reached or 'nothing'}.")
    return safe(" ".join(sentences))


__all__ = ["as_document", "budgets_document", "graph", "in_words"]
