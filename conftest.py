"""What holds for every test of the workspace."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# A machine that is busy with something else is no fault of the code: benchmarks measure, tests do not.
settings.register_profile("ringfence", deadline=None)
settings.load_profile("ringfence")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the system packages were installed first, a test that skips for want of one has failed."""
    report = yield
    if report.skipped and item.get_closest_marker("system") and os.environ.get("RINGFENCE_REQUIRE_SYSTEM"):
        report.outcome = "failed"
        report.longrepr = f"skipped although system packages are required: {report.longrepr}"
    return report
