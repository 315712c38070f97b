"""What holds for every test of the workspace."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# A machine that is busy with something else is no fault of the code: benchmarks measure, tests do not.
# Every law is tried on each run; `poe test-thorough` tries it on ten times as many examples.
settings.register_profile("ringfence", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=400)
settings.load_profile("ringfence")


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of the person who runs the tests is read or written: no policy, no lock, no record. Models are shared."""
    if hasattr(config, "workerinput"):
        return  # it has the variables of the process that began it
    folder = tempfile.TemporaryDirectory(prefix="ringfence-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    for name in ("RINGFENCE_POLICY", "RINGFENCE_LAYERS", "RINGFENCE_LOCK"):
        os.environ.pop(name, None)
    for name in ("state", "config"):
        os.environ[f"RINGFENCE_{name.upper()}_DIR"] = str(Path(folder.name) / name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run a model begin first: what is left for the end is short, so no process works on alone."""
    long = {item.path for item in items if item.get_closest_marker("model")}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the system packages were installed first, a test that skips for want of one has failed."""
    report = yield
    if report.skipped and item.get_closest_marker("system") and os.environ.get("RINGFENCE_REQUIRE_SYSTEM"):
        report.outcome = "failed"
        report.longrepr = f"skipped although system packages are required: {report.longrepr}"
    return report
