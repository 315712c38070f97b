"""Each broken provider is caught by the rule that is meant for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kit.broken.suite import CAUGHT, DROPPED
from tests.kit.broken.whole import Whole

ROOT = Path(__file__).parents[2]
OPTIONED = ("test_one_object_serves_both_faces", "test_an_unknown_option_is_refused", "test_usage_adds_up")
EXPECTING = ("TestKnownFault", "TestMendedFault")
SUITE = "tests/kit/broken/suite.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What became of each rule, one process for all."""
    report = tmp_path_factory.mktemp("kit") / "report.json"
    nodes = [f"{SUITE}::Test{provider.__name__}::{rule}" for provider, rule in CAUGHT.items()]
    nodes += [f"{SUITE}::{suite}::{DROPPED}[{field}]" for suite in EXPECTING for field in ("top_k", "top_p")]
    nodes += [f"{SUITE}::TestWithOptions::{rule}" for rule in OPTIONED]
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


def test_a_failure_that_is_expected_is_told_with_its_reason(results: dict[str, tuple[str, str]]) -> None:
    assert results[f"TestKnownFault::{DROPPED}[top_k]"] == ("expected failure", "the wire has no word for it")
    assert results[f"TestKnownFault::{DROPPED}[top_p]"] == ("passed", "")


def test_a_rule_that_is_kept_after_all_fails_as_expected_to_fail(results: dict[str, tuple[str, str]]) -> None:
    for field in ("top_k", "top_p"):
        result, detail = results[f"TestMendedFault::{DROPPED}[{field}]"]
        assert result == "failed"
        assert "the wire had no word for it" in detail


def test_a_provider_gets_its_options_everywhere(results: dict[str, tuple[str, str]]) -> None:
    for rule in OPTIONED:
        assert results[f"TestWithOptions::{rule}"] == ("passed", "")
