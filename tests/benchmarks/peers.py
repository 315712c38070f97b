"""`python -m tests.benchmarks.peers FILE [--chart FILE]`: the README's table and chart of the peers.

FILE is what the client bench wrote (`run.py --json FILE`); `adapters` beside this module are its side of Ringfence.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.chart import Bar, Panel, svg

_NAMES: Final[Mapping[str, str]] = {
    "ringfence_responses": "Ringfence, OpenAI Responses",
    "openai_responses": "openai SDK, Responses",
    "ringfence": "Ringfence, Chat Completions",
    "openai": "openai SDK, Chat Completions",
    "ringfence_gemini": "Ringfence, Gemini",
    "google_genai": "google-genai SDK",
    "httpx2": "httpx2 alone, without an SDK",
    "any_llm": "any-llm",
    "anyllm": "any-llm",
    "pydantic_ai": "pydantic-ai, direct",
    "langchain": "langchain",
    "litellm_new": "litellm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One client's figures: µs a call and a streamed chunk, requests a second, milliseconds and MB of its import."""

    name: str
    ours: bool
    import_ms: float
    rss_mb: float
    call_us: float
    async_call_us: float
    at_50: float
    at_200: float
    chunk_us: float
    async_chunk_us: float
    first_us: float


def peers(measured: Mapping[str, Any]) -> list[Peer]:
    """The peers of a run, in the order of the table."""
    return [_peer(name, label, measured) for name, label in _NAMES.items() if name in measured["import"]]


def _peer(name: str, label: str, measured: Mapping[str, Any]) -> Peer:
    return Peer(
        name=label,
        ours=name.startswith("ringfence"),
        import_ms=measured["import"][name]["ms"],
        rss_mb=measured["import"][name]["rss_mb"],
        call_us=measured["seq"]["call"][name]["us"],
        async_call_us=measured["seq"]["acall"][name]["us"],
        at_50=measured["conc"]["k50"][name]["rps"],
        at_200=measured["conc"]["k200"][name]["rps"],
        chunk_us=measured["stream"]["stream"][name]["chunk_us"],
        async_chunk_us=measured["stream"]["astream"][name]["chunk_us"],
        first_us=measured["stream"]["astream"][name]["c50"]["first_us"],
    )


def table(every: Sequence[Peer]) -> str:
    """The table, as Markdown."""
    head = (
        "| client | import | call, sync / async | requests/s, 50 / 200 in flight | chunk, sync / async | first event |"
    )
    lines = [head, "|---|---|---|---|---|---|"]
    lines += [
        f"| {f'**{one.name}**' if one.ours else one.name} | {one.import_ms:.0f} ms, {one.rss_mb:.0f} MB "
        f"| {one.call_us:,.0f} / {one.async_call_us:,.0f} µs | {one.at_50:,.0f} / {one.at_200:,.0f} "
        f"| {one.chunk_us:.0f} / {one.async_chunk_us:.0f} µs | {one.first_us / 1000:.1f} ms |"
        for one in every
    ]
    return "\n".join(lines)


def chart(every: Sequence[Peer]) -> str:
    """The chart, as SVG."""
    return svg(
        [
            _panel("One call, async, in µs", "Shorter is better. Policy, consent and audit are on.", every, "call"),
            _panel("One streamed chunk, async, in µs", "Shorter is better.", every, "chunk"),
        ]
    )


def _panel(heading: str, remark: str, every: Sequence[Peer], what: str) -> Panel:
    values = [one.async_call_us if what == "call" else one.async_chunk_us for one in every]
    longest = max(values)
    bars = [
        Bar(label=one.name, share=value / longest, figure=f"{value:,.0f} µs", kind="fast" if one.ours else "slow")
        for one, value in zip(every, values, strict=True)
    ]
    return Panel(heading=heading, remark=remark, bars=bars)


def main() -> None:
    """Prints the table, and writes the chart where one is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--chart", type=Path, metavar="FILE")
    given = parser.parse_args()
    every = peers(json.loads(given.file.read_text(encoding="utf-8")))
    print(table(every))
    if given.chart is not None:
        given.chart.write_text(chart(every), encoding="utf-8")


if __name__ == "__main__":
    main()
