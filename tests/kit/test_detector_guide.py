"""The guide to writing a detector, followed word for word; under a command, `…` stands for anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.markdown import ROOT, Command, as_shown, blocks, commands, commands_of, run, write

from ringfence.privacy.detection import DetectorSet
from ringfence.testing.kit.sealed import DETECTOR_HOOKS

GUIDE = (ROOT / "core" / "docs" / "writing-a-detector.md").read_text(encoding="utf-8")
BLOCKS = blocks(GUIDE)
COMMANDS = commands(BLOCKS)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[int, str]]:
    """The exit code of each command and what it printed, by its line."""
    folder = tmp_path_factory.mktemp("guide")
    found: dict[int, tuple[int, str]] = {}
    for block in BLOCKS:
        name = block.named()
        if name:
            write(folder / name, block.text)
        for command in commands_of(block) if block.kind == "console" else ():
            done = run(command.command, folder, shell=True, together=True)
            found[command.line] = done.returncode, done.stdout
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"line {command.line}")
def test_a_command_prints_what_the_guide_shows(command: Command, followed: dict[int, tuple[int, str]]) -> None:
    code, printed = followed[command.line]
    assert code == command.code, printed
    assert not command.shows or as_shown(command.shows, printed), printed


def _run(file: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    exec(next(block.text for block in BLOCKS if block.named() == file), said)
    return said


def test_the_guides_detectors_find_what_they_should() -> None:
    detectors = {"member": _run("example.py")["Membership"](), "ja": _run("shared.py")["Words"]("ja")}
    scan = DetectorSet(detectors).scan(detectors, "ja nein jahr MB-204518")
    assert scan.failed == frozenset()
    assert {kind: [(hit.start, hit.end) for hit in hits] for kind, hits in scan.hits.items()} == {
        "member": [(13, 22)],
        "ja": [(0, 2), (8, 12)],
    }


def test_detectors_that_name_one_function_share_its_result() -> None:
    said = _run("shared.py")
    first, second = said["Words"]("ja"), said["Words"]("nein")
    assert first.prepare is second.prepare
    text = "ja nein ja"
    assert first.detect(text) == first.detect_prepared(first.prepare(text))


def test_the_guide_speaks_of_what_is_there() -> None:
    from ringfence.scaffold import rendered

    files = {path.as_posix() for path in rendered("membership", "detector")}
    assert set(re.findall(r"\| `((?:src|tests)/[\w./-]+|pyproject.toml)`", GUIDE)) <= files
    assert set(re.findall(r"\b\w+\b", GUIDE)) >= DETECTOR_HOOKS
    assert Path(ROOT / "core" / "docs" / "writing-a-provider.md").is_file()
