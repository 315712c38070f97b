"""The benchmarks run: every row of the core comes, well formed. No figure is judged here, for a machine may be busy."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.benchmarks.chart import write_chart
from tests.benchmarks.row import Bar, Row, shown

ROOT = Path(__file__).parents[1]
GROUPS = {"import", "decide", "prove", "call", "sync", "audit", "partners", "detectors", "house-codec", "memory"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What a quick run without the model prints, and the chart it writes."""
    chart = tmp_path_factory.mktemp("chart") / "speed.svg"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--no-model", "--json", "--chart", str(chart)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), chart


def test_every_group_of_the_core_gives_rows(quick: tuple[dict[str, Any], Path]) -> None:
    assert {row["group"] for row in quick[0]["rows"]} == GROUPS


def test_every_row_is_a_finite_figure_with_its_verdict(quick: tuple[dict[str, Any], Path]) -> None:
    for row in quick[0]["rows"]:
        assert math.isfinite(row["value"]), row["what"]
        assert (row["verdict"] == "no bar") == (row["bar"] is None), row["what"]


def test_the_budgets_of_the_design_are_all_there(quick: tuple[dict[str, Any], Path]) -> None:
    bars = [row["bar"]["text"] for row in quick[0]["rows"] if row["bar"]]
    for bar in ("≤ 1.25 ×", "< 12 MB", "none", "< 20 µs", "< 250 µs", "< 150 µs", "< 3 µs", "< 1 ms", "flat (< 1 MB)"):
        assert bar in bars


def test_nothing_that_must_stay_out_is_imported(quick: tuple[dict[str, Any], Path]) -> None:
    (row,) = [row for row in quick[0]["rows"] if row["what"].startswith("modules that must not be there")]
    assert row["value"] == 0, row["note"]


def test_the_chart_is_a_picture_with_a_bar_for_each_budget(quick: tuple[dict[str, Any], Path]) -> None:
    picture = ET.parse(quick[1]).getroot()
    bars = [one for one in picture.iter("{http://www.w3.org/2000/svg}rect") if one.get("class") in ("ok", "over")]
    assert len(bars) == 7


def test_a_label_in_the_chart_is_text_and_never_markup(tmp_path: Path) -> None:
    row = Row(group="first-word", what="first word, <b>&, cold, mkl", value=1.0, unit="s")
    write_chart(tmp_path / "chart.svg", [row])
    picture = ET.parse(tmp_path / "chart.svg").getroot()
    assert "<b>&, cold, mkl" in {one.text for one in picture.iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize(
    ("bar", "value", "verdict"),
    [
        (None, 5.0, "no bar"),
        (Bar(limit=3, text="< 3 µs"), 2.9, "ok"),
        (Bar(limit=3, text="< 3 µs"), 3.1, "over"),
        (Bar(limit=0.97, text="≥ 0.97 ×", at_least=True), 0.98, "ok"),
        (Bar(limit=0.97, text="≥ 0.97 ×", at_least=True), 0.96, "over"),
        (Bar(limit=0, text="none"), 0.0, "ok"),
        (Bar(limit=0, text="none"), 1.0, "over"),
    ],
)
def test_a_verdict_follows_the_bar(bar: Bar | None, value: float, verdict: str) -> None:
    assert Row(group="g", what="w", value=value, unit="µs", bar=bar).verdict == verdict


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.284, "ms", "0.28 ms"), (12.34, "µs", "12.3 µs"), (1234.5, "µs", "1,234 µs"), (0, "", "0")],
)
def test_figures_are_shown_with_three_digits_and_their_unit(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
