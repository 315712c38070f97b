"""A report as one HTML page: no script, nothing loaded from anywhere, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ringfence.cli.report import words
from ringfence.privacy.audit.summary import REFUSED, reached
from ringfence.recipient import RINGS

if TYPE_CHECKING:
    from ringfence.privacy.audit import AuditRecord, Verification
    from ringfence.privacy.audit.summary import Day, Summary

_KINDS = (*RINGS, REFUSED)
_MOST_OUTWARD = 200
_HEIGHT, _BAR, _GAP, _LEFT, _FOOT = 220, 44, 16, 44, 44
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --soft: #646b74; --line: #d9dde2; --paper: #ffffff;
  --device: #2f9e58; --house: #1d84b5; --partner: #b5479c; --refused: #a3a9b1; --bad: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa1a9; --line: #363b41; --paper: #17191c;
  --device: #4fc07a; --house: #4db3e0; --partner: #d87fc3; --refused: #6a7078; --bad: #ff7a6b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2.5rem auto;
  max-width: 62rem; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0; } .soft { color: var(--soft); } .bad { color: var(--bad); font-weight: 600; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.tile { border: 1px solid var(--line); border-left: .4rem solid; border-radius: .5rem; padding: .6rem 1rem;
  min-width: 9rem; } .tile b { font-size: 1.7rem; display: block; line-height: 1.2; }
.device { border-left-color: var(--device); } .house { border-left-color: var(--house); }
.partner { border-left-color: var(--partner); } .refused { border-left-color: var(--refused); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.dot { display: inline-block; width: .7rem; height: .7rem; border-radius: .2rem; margin-right: .4rem; }
"""


def html_page(summary: Summary, found: Verification) -> str:
    """The page. What stands in the log is escaped: a log may be forged."""
    told = "".join(
        f'<p class="{"soft" if found.ok else "bad"}">{escape(line)}</p>' for line in words.remarks(summary, found)
    )
    sections = (_tiles(summary), told, _chart(summary), _recipients(summary), _labels(summary), _outward(summary))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>What went where</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>What went where</h1>\n<p>{escape(words.headline(summary))}</p>\n"
        f"{''.join(sections)}\n"
        '<p class="soft">Made of the audit log of Ringfence: names and counts, never what was said.</p>\n'
        "</body>\n</html>\n"
    )


def _tiles(summary: Summary) -> str:
    tiles = (
        f'<div class="tile {ring}"><b>{summary.rings[ring]:,}</b>{escape(words.STAYED[ring])}</div>' for ring in _KINDS
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _chart(summary: Summary) -> str:
    days = list(summary.days.values())
    longest = max((day.requests.total() for day in days), default=0)
    if not longest:
        return ""
    longest += longest % 2  # so that half of it is a number of requests too
    width = _LEFT + len(days) * (_BAR + _GAP)
    bars = "".join(_bar(day, place, longest) for place, day in enumerate(days))
    grid = "".join(_line(share, longest, width) for share in (0.0, 0.5, 1.0))
    legend = " &nbsp; ".join(
        f'<span class="dot" style="background: var(--{ring})"></span>{words.LEGEND[ring]}'
        for ring in _KINDS
        if summary.rings[ring]
    )
    return (
        f"<h2>Requests by day</h2>\n<p>{legend}</p>\n"
        f'<div class="wide"><svg viewBox="0 0 {width} {_HEIGHT + _FOOT}" width="{width}" role="img" '
        f'aria-label="{escape(words.headline(summary))}">{grid}{bars}</svg></div>'
    )


def _line(share: float, longest: int, width: int) -> str:
    y = 14 + (_HEIGHT - 14) * (1 - share)
    return (
        f'<line x1="{_LEFT}" x2="{width}" y1="{y:.0f}" y2="{y:.0f}" stroke="var(--line)"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{round(longest * share):,}</text>'
    )


def _bar(day: Day, place: int, longest: int) -> str:
    x, y = _LEFT + _GAP // 2 + place * (_BAR + _GAP), float(_HEIGHT)
    pieces: list[str] = []
    for ring in _KINDS:
        count = day.requests[ring]
        height = (_HEIGHT - 14) * count / longest
        y -= height
        if count:
            pieces.append(
                f'<rect x="{x}" y="{y:.1f}" width="{_BAR}" height="{height:.1f}" fill="var(--{ring})">'
                f"<title>{day.date.isoformat()}: {count:,} {words.LEGEND[ring]}</title></rect>"
            )
    middle = x + _BAR / 2
    weekday, date = day.date.strftime("%a"), day.date.strftime("%d %b")
    return (
        f'{"".join(pieces)}<text x="{middle}" y="{_HEIGHT + 18}" text-anchor="middle">{weekday}</text>'
        f'<text x="{middle}" y="{_HEIGHT + 34}" text-anchor="middle">{date}</text>'
    )


def _recipients(summary: Summary) -> str:
    rows = [
        (
            place.name,
            words.ring(place),
            f"{place.requests:,}" + (f" ({place.failed:,} failed)" if place.failed else ""),
            ", ".join(f"{label} {count:,}" for label, count in sorted(place.labels.items())),
            f"{place.consented:,}" if place.ring == "partner" else words.NOTHING,
            words.redactions(place.redactions),
            words.tokens(place),
            words.cost(place),
            words.model(place),
            words.attested(place),
        )
        for place in summary.recipients()
    ]
    counted = ("requests", "labels", "consented", "redacted", "tokens in → out", "cost")
    head = ("recipient", "ring", *counted, "model", "attested")
    return _section("Recipients", head, rows)


def _labels(summary: Summary) -> str:
    rows = [
        (label, *(f"{counts[ring]:,}" if counts[ring] else words.NOTHING for ring in RINGS))
        for label, counts in summary.labels().items()
    ]
    return _section("Kinds of data, and how many requests with them reached each ring", ("label", *RINGS), rows)


def _outward(summary: Summary) -> str:
    newest = list(reversed(summary.outward))[:_MOST_OUTWARD]
    left = len(summary.outward) - len(newest)
    title = f"Requests to partners{f' (the newest {len(newest)}, {left:,} more)' if left else ''}"
    head = ("time", "recipient", "task", "labels", "consent", "redacted")
    return _section(title, head, [_outward_row(record) for record in newest])


def _outward_row(record: AuditRecord) -> tuple[str, ...]:
    receipt = record.receipt
    return (
        words.moment(record.time_s),
        ", ".join(str(one["recipient"]) for one in reached(receipt) if one["ring"] == "partner"),
        str(receipt.get("task")),
        ", ".join(map(str, receipt.get("labels") or ())),
        "yes" if receipt.get("consented") else words.NOTHING,
        words.redactions(receipt.get("redactions") or {}),
    )


def _section(title: str, head: Sequence[str], rows: Sequence[Iterable[str]]) -> str:
    if not rows:
        return ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<h2>{escape(title)}</h2>\n<div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


__all__ = ["html_page"]
