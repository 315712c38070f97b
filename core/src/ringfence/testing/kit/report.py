"""A pytest plugin that writes what became of each rule to the file that `RINGFENCE_KIT_REPORT` names."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

import pytest

from ringfence.testing.kit.conformance import ProviderConformance
from ringfence.testing.kit.detector import DetectorConformance
from ringfence.testing.kit.sealed import group_of, rules_of

VARIABLE = "RINGFENCE_KIT_REPORT"
PROGRESS_VARIABLE = "RINGFENCE_KIT_PROGRESS"
"""Names the file descriptor to which each case that is done writes a line: how many are, of how many."""

Came: TypeAlias = Literal["passed", "failed", "expected failure", "skipped"]


Plugin: TypeAlias = Literal["provider", "detector"]


class Line(TypedDict):
    """What became of one case of one rule. `detail` is what the rule said, or why a failure was expected.

    `name` is that of the provider or the kind of the detector; `group` says in a word what the rule is
    about, and `about` in a sentence.
    """

    suite: str
    plugin: Plugin
    name: str
    group: str
    about: str
    rule: str
    case: str
    says: str
    result: Came
    detail: str


class Report:
    """Collects the lines of one run."""

    def __init__(self, path: Path, progress: int | None = None) -> None:
        self._path = path
        self._progress = progress
        self._done = 0
        self._lines: dict[str, Line] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Notes the rules among what was collected."""
        for item in items:
            line = _line(item) if isinstance(item, pytest.Function) else None
            if line is not None:
                self._lines[item.nodeid] = line
        self._tell()

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

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tells that one more is done."""
        if nodeid in self._lines:
            self._done += 1
            self._tell()

    def _tell(self) -> None:
        """Writes how far this is, where somebody reads it."""
        if self._progress is not None:
            with suppress(OSError):
                os.write(self._progress, f"{self._done} {len(self._lines)}\n".encode())

    def pytest_sessionfinish(self) -> None:
        """Writes."""
        self._path.write_text(json.dumps(list(self._lines.values())), encoding="utf-8")


def _line(item: pytest.Function) -> Line | None:
    """The line of a rule before it ran; `None` for a test of the author's own."""
    cls: type[object] | None = item.cls
    if cls is None:
        return None
    kit: type[ProviderConformance | DetectorConformance]
    plugin: Plugin
    if issubclass(cls, ProviderConformance):
        plugin, kit, name = "provider", ProviderConformance, cls.provider.manifest.name
    elif issubclass(cls, DetectorConformance):
        plugin, kit, name = "detector", DetectorConformance, cls.kind
    else:
        return None
    says = rules_of(kit).get(item.originalname)
    if says is None:
        return None
    group, about = group_of(item.originalname, kit)
    return Line(
        suite=cls.__name__,
        plugin=plugin,
        name=name,
        group=group,
        about=about,
        rule=item.originalname,
        case=item.name.removeprefix(item.originalname).removeprefix("[").removesuffix("]"),
        says=says,
        result="skipped",
        detail="it did not run",
    )


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
        progress = os.environ.get(PROGRESS_VARIABLE)
        report = Report(Path(path), int(progress) if progress else None)
        config.pluginmanager.register(report, "ringfence-kit-report")


__all__ = ["PROGRESS_VARIABLE", "VARIABLE", "Came", "Line", "Plugin", "Report"]
