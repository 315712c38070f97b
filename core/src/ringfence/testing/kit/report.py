"""A pytest plugin that writes what became of each rule to the file that `RINGFENCE_KIT_REPORT` names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

import pytest

from ringfence.testing.kit.conformance import ProviderConformance, rules

VARIABLE = "RINGFENCE_KIT_REPORT"

Came: TypeAlias = Literal["passed", "failed", "expected failure", "skipped"]


class Line(TypedDict):
    """What became of one case of one rule. `detail` is what the rule said, or why a failure was expected."""

    suite: str
    provider: str
    rule: str
    case: str
    says: str
    result: Came
    detail: str


class Report:
    """Collects the lines of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, Line] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Notes the rules among what was collected."""
        known = rules()
        for item in items:
            if not isinstance(item, pytest.Function) or item.originalname not in known:
                continue
            if not (isinstance(item.cls, type) and issubclass(item.cls, ProviderConformance)):
                continue
            self._lines[item.nodeid] = Line(
                suite=item.cls.__name__,
                provider=item.cls.provider.manifest.name,
                rule=item.originalname,
                case=item.name.removeprefix(item.originalname).strip("[]"),
                says=known[item.originalname],
                result="skipped",
                detail="it did not run",
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes what became of one."""
        line = self._lines.get(report.nodeid)
        if line is None or (report.when != "call" and report.passed):
            return
        expected: str | None = getattr(report, "wasxfail", None)
        if expected is not None and report.skipped:
            line["result"], line["detail"] = "expected failure", expected
        elif report.failed or line["result"] != "failed":
            line["result"], line["detail"] = report.outcome, _detail(report)

    def pytest_sessionfinish(self) -> None:
        """Writes."""
        self._path.write_text(json.dumps(list(self._lines.values())), encoding="utf-8")


def _detail(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(getattr(crash, "message", "") or report.longreprtext)
    return message.partition("\n")[0].removeprefix("AssertionError: ")


def pytest_configure(config: pytest.Config) -> None:
    """Begins to collect, where a file is named."""
    path = os.environ.get(VARIABLE)
    if path:
        config.pluginmanager.register(Report(Path(path)), "ringfence-kit-report")


__all__ = ["VARIABLE", "Came", "Line", "Report"]
