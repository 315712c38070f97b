"""Each broken provider is caught by the rule that is meant for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kit.broken.suite import CAUGHT
from tests.kit.broken.whole import Whole

ROOT = Path(__file__).parents[2]
SUITE = "tests/kit/broken/suite.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What became of each rule, one process for all."""
    report = tmp_path_factory.mktemp("kit") / "report.json"
    nodes = [f"{SUITE}::Test{provider.__name__}::{rule}" for provider, rule in CAUGHT.items()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "ringfence.testing.kit.report", "-p", "no:cacheprovider", *nodes],
        cwd=ROOT,
        env={**os.environ, "RINGFENCE_KIT_REPORT": str(report)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-3000:]
    lines = json.loads(report.read_text())
    found: dict[str, tuple[str, str]] = {}
    for line in lines:
        case = f"[{line['case']}]" if line["case"] else ""
        found[f"{line['suite']}::{line['rule']}{case}"] = (line["result"], line["detail"])
    return found


@pytest.mark.parametrize("provider", CAUGHT, ids=lambda provider: provider.__name__)
def test_a_broken_provider_is_caught(provider: type[Whole], results: dict[str, tuple[str, str]]) -> None:
    result, detail = results[f"Test{provider.__name__}::{CAUGHT[provider]}"]
    assert result == "failed", f"{CAUGHT[provider]} let it pass"
    assert detail
