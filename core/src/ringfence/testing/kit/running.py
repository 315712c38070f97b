"""The kit from outside pytest: in a process of its own, with what became of each rule as data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, TypeAlias

import pytest

from ringfence.errors import InvalidRequest, PluginBroken
from ringfence.testing.kit.detector import NO_OBJECT
from ringfence.testing.kit.report import PROGRESS_VARIABLE, VARIABLE, Came, Line, Plugin
from ringfence.testing.kit.sameness import check_same

if TYPE_CHECKING:
    from ringfence.provider import Manifest

Progress: TypeAlias = Callable[[int, int], None]

_TAIL = 12
_NOT_THERE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_A_CLASS = re.compile(rf"TypeError: (the detector is the class \w+, {NO_OBJECT}): (.+)")
_NOTHING_COLLECTED = int(pytest.ExitCode.NO_TESTS_COLLECTED)
_RAN = {int(pytest.ExitCode.OK), int(pytest.ExitCode.TESTS_FAILED), _NOTHING_COLLECTED}

_DETECTOR_MODULE = """\
from importlib.metadata import entry_points

from ringfence.privacy.detection import ENTRY_POINT_GROUP
from ringfence.testing.kit import DetectorConformance

for number, entry in enumerate(entry_points(group=ENTRY_POINT_GROUP, name={kind!r}), start=1):
    name = f"TestConformance{{number if number > 1 else ''}}"
    body = {{"__module__": __name__, "detector": entry.load(), "kind": {kind!r}}}
    globals()[name] = type(DetectorConformance)(name, (DetectorConformance,), body)
"""

_MODULE = """\
from ringfence import registry
from ringfence.testing.kit import ProviderConformance


class TestConformance(ProviderConformance):
    provider = registry.load({name!r})
    model = {model!r}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What became of one rule for the provider or detector `of`, over all its cases."""

    suite: str
    plugin: Plugin
    of: str
    group: str
    about: str
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
    """The rules in the order in which they ran."""
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line["suite"], line["rule"]), []).append(line)
    return tuple(
        Rule(
            suite=suite,
            plugin=cases[0]["plugin"],
            of=cases[0]["name"],
            group=cases[0]["group"],
            about=cases[0]["about"],
            name=name,
            says=cases[0]["says"],
            lines=tuple(cases),
        )
        for (suite, name), cases in found.items()
    )


def run_kit(target: str | None, progress: Progress = lambda done, of: None) -> Sequence[Line]:  # noqa: ARG005
    """What became of each case: of the conformance classes in the tests at `target`, or of an installed plugin.

    `progress` is told how many cases are done, and of how many.

    Raises:
        InvalidRequest: there is nothing to test.
        PluginBroken: the tests cannot be loaded, or another plugin is installed than the one in the folder.
    """
    with tempfile.TemporaryDirectory(prefix="ringfence-kit-") as folder:
        plugin = _folder(target)
        if plugin is not None:
            check_same(plugin)
        tests = _tests(target, Path(folder))
        report = Path(folder) / "report.json"
        done = _pytest(tests, report, progress)
        lines: list[Line] = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else []
    if done.returncode not in _RAN:
        _check_installed(done.stdout, target)
        _check_object(done.stdout)
        tail = "\n".join(done.stdout.strip().splitlines()[-_TAIL:])
        raise PluginBroken(f"pytest cannot run {tests.name}:\n{tail}", way_out=f"python -m pytest {tests}")
    if not lines:
        raise InvalidRequest(
            f"there is no conformance class in {tests}",
            way_out="a class on ProviderConformance or DetectorConformance of ringfence.testing.kit, as "
            "'ringfence plugin new' writes it",
        )
    return lines


def _check_installed(said: str, target: str | None) -> None:
    """Raises where tests could not be loaded because a package is not there: most often the plugin itself."""
    missing = _NOT_THERE.search(said)
    if missing is not None:
        folder = _folder(target)
        raise PluginBroken(
            f"the tests import '{missing[1]}', which is not installed",
            way_out="install it" if folder is None else f"pip install -e {quote(str(folder))}",
        )


def _check_object(said: str) -> None:
    """Raises where the tests, or the entry point, name the class of a detector."""
    found = _A_CLASS.search(said)
    if found is not None:
        raise PluginBroken(found[1], way_out=f"{found[2]} in the tests and where the entry point names it")


def _folder(target: str | None) -> Path | None:
    """The folder of the plugin that is at `target`, a path or the folder that this is."""
    given = Path(target or ".")
    if not given.exists():
        return None
    return next((path for path in (given, *given.parents) if (path / "pyproject.toml").is_file()), None)


def _tests(target: str | None, folder: Path) -> Path:
    given = Path(target or ".")
    if given.is_file():
        if given.suffix != ".py":
            raise InvalidRequest(
                f"'{given}' is no test module", way_out="name a folder, or a module of tests in Python"
            )
        return given
    if given.is_dir():
        inside = given / "tests"
        if inside.is_dir() or target is not None:
            return inside if inside.is_dir() else given
        raise InvalidRequest("this folder has no tests", way_out="ringfence plugin test NAME, or PATH")
    return _module_for(target or "", folder)


def _module_for(name: str, folder: Path) -> Path:
    """A test module for an installed provider or detector, with the defaults of the kit."""
    from ringfence import registry  # noqa: PLC0415  (scans what is installed)
    from ringfence.errors import PluginNotInstalled  # noqa: PLC0415

    file = folder / "test_conformance.py"
    kinds = _installed_kinds()
    try:
        text = _MODULE.format(name=name, model=_model(registry.manifest(name)))
    except PluginNotInstalled:
        if name not in kinds:
            raise _neither(name, [*(plugin.name for plugin in registry.installed()), *kinds]) from None
        _check_lock(name)
        text = _DETECTOR_MODULE.format(kind=name)
    file.write_text(text, encoding="utf-8")
    return file


def _installed_kinds() -> list[str]:
    from importlib.metadata import entry_points  # noqa: PLC0415  (tens of ms)

    from ringfence.privacy.detection import ENTRY_POINT_GROUP  # noqa: PLC0415

    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})


def _check_lock(kind: str) -> None:
    from importlib.metadata import entry_points  # noqa: PLC0415

    from ringfence.lock import find_lock  # noqa: PLC0415
    from ringfence.privacy.detection import ENTRY_POINT_GROUP  # noqa: PLC0415

    # INVARIANT: nothing of a plugin is imported before the lock has approved it.
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=kind):
        find_lock().check(entry)


def _neither(name: str, installed: Sequence[str]) -> InvalidRequest:
    import difflib  # noqa: PLC0415  (only a typing error needs it)

    near = difflib.get_close_matches(name[:100], installed, n=1)
    return InvalidRequest(
        f"'{name}' is neither a path nor an installed provider or detector",
        way_out=f"ringfence plugin test {near[0]}" if near else "name a folder with tests, or what is installed",
    )


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


def _pytest(tests: Path, report: Path, progress: Progress) -> subprocess.CompletedProcess[str]:
    options = ["-q", "--tb=short", "-p", "ringfence.testing.kit.report", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(tests)]
    said = report.with_suffix(".txt")
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as lines, said.open("wb") as out:
        try:
            process = subprocess.Popen(  # noqa: S603  (this interpreter; the path is the author's own)
                command,
                env={**os.environ, VARIABLE: str(report), PROGRESS_VARIABLE: str(writing)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        with process:
            try:
                for line in lines:
                    done, of = map(int, line.split())
                    progress(done, of)
            except BaseException:
                process.kill()  # whoever stops this waits for no rule
                raise
    return subprocess.CompletedProcess(command, process.returncode, said.read_text(errors="replace"), "")


__all__ = ["Progress", "Rule", "by_rule", "run_kit"]
