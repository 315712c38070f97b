"""The kit from outside pytest: in a process of its own, with what became of each rule as data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ringfence.errors import InvalidRequest, PluginBroken
from ringfence.testing.kit.report import VARIABLE, Came, Line

if TYPE_CHECKING:
    from ringfence.provider import Manifest

_TAIL = 12
_NOTHING_COLLECTED = int(pytest.ExitCode.NO_TESTS_COLLECTED)
_RAN = {int(pytest.ExitCode.OK), int(pytest.ExitCode.TESTS_FAILED), _NOTHING_COLLECTED}

_MODULE = """\
from ringfence import registry
from ringfence.testing.kit import ProviderConformance


class TestConformance(ProviderConformance):
    provider = registry.load({name!r})
    model = {model!r}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What became of one rule for one provider, over all its cases."""

    suite: str
    provider: str
    name: str
    says: str
    lines: tuple[Line, ...]

    @property
    def result(self) -> Came:
        """The worst of its cases."""
        came = {line["result"] for line in self.lines}
        order: tuple[Came, ...] = ("failed", "skipped", "expected failure", "passed")
        return next(one for one in order if one in came)

    @property
    def kept(self) -> bool:
        """Whether no case failed but as expected. A rule that did not run is not kept."""
        return self.result in {"passed", "expected failure"}


def by_rule(lines: Iterable[Line]) -> tuple[Rule, ...]:
    """The rules in the order in which they ran, those that are broken last, where one looks."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line["suite"], line["rule"]), []).append(line)
    rules = [
        Rule(suite=suite, provider=cases[0]["provider"], name=name, says=cases[0]["says"], lines=tuple(cases))
        for (suite, name), cases in found.items()
    ]
    return tuple(sorted(rules, key=lambda rule: not rule.kept))


def run_kit(target: str | None) -> Sequence[Line]:
    """What became of each case: of the conformance classes in the tests at `target`, or of an installed provider.

    Raises:
        InvalidRequest: there is nothing to test.
        PluginBroken: the tests cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="ringfence-kit-") as folder:
        tests = _tests(target, Path(folder))
        report = Path(folder) / "report.json"
        done = _pytest(tests, report)
        lines: list[Line] = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else []
    if done.returncode not in _RAN:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL:])
        raise PluginBroken(f"pytest cannot run {tests.name}:\n{tail}", way_out=f"python -m pytest {tests}")
    if not lines:
        raise InvalidRequest(
            f"there is no conformance class in {tests}",
            way_out="a class on ringfence.testing.kit.ProviderConformance, as 'ringfence plugin new' writes it",
        )
    return lines


def _tests(target: str | None, folder: Path) -> Path:
    given = Path(target or ".")
    if given.is_file():
        return given
    if given.is_dir():
        inside = given / "tests"
        if inside.is_dir() or target is not None:
            return inside if inside.is_dir() else given
        raise InvalidRequest("this folder has no tests", way_out="ringfence plugin test NAME, or PATH")
    return _module_for(target or "", folder)


def _module_for(name: str, folder: Path) -> Path:
    """A test module for an installed provider, with the defaults of the kit."""
    from ringfence import registry  # noqa: PLC0415  (scans what is installed)
    from ringfence.errors import PluginNotInstalled  # noqa: PLC0415

    try:
        manifest = registry.manifest(name)
    except PluginNotInstalled as error:
        raise InvalidRequest(f"'{name}' is neither a path nor an installed provider", way_out=error.way_out) from None
    file = folder / "test_conformance.py"
    file.write_text(_MODULE.format(name=name, model=_model(manifest)), encoding="utf-8")
    return file


def _model(manifest: Manifest) -> str:
    name = manifest.name
    if manifest.hosts:
        raise InvalidRequest(
            f"provider '{name}' needs a network, so its author says how the kit plays its service",
            way_out="ringfence plugin test PATH, with the folder of its sources",
        )
    if manifest.default_model is None:
        raise InvalidRequest(
            f"provider '{name}' has no default model", way_out="default_model in its manifest, or tests with a model"
        )
    return manifest.default_model


def _pytest(tests: Path, report: Path) -> subprocess.CompletedProcess[str]:
    options = ["-q", "--tb=short", "-p", "ringfence.testing.kit.report", "-p", "no:cacheprovider"]
    return subprocess.run(  # noqa: S603  (this interpreter; the path is the author's own)
        [sys.executable, "-m", "pytest", *options, str(tests)],
        env={**os.environ, VARIABLE: str(report)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


__all__ = ["Rule", "by_rule", "run_kit"]
