"""Detectors are found, loaded on first use, and fail closed."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from ringfence.privacy.detection import DetectorSet
from ringfence.privacy.detector import Hit
from ringfence.privacy.material import unescaped_forms, utf8_bytes

CANARY = "canary-7f3a"


class _Answers:
    """A detector that answers what it is told to."""

    def __init__(self, *answer: object) -> None:
        self.answer = answer

    def detect(self, text: str) -> Iterable[Hit]:
        return self.answer  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class _Endless:
    def detect(self, text: str) -> Iterator[Hit]:
        return (Hit(0, 1) for _ in itertools.count())


class _Raises:
    def detect(self, text: str) -> Iterator[Hit]:
        yield Hit(0, 1)
        raise ValueError(text)


def test_hits_come_in_order_of_start() -> None:
    scan = DetectorSet({"kind": _Answers(Hit(4, 5), Hit(0, 2), Hit(0, 1))}).scan(["kind"], "hello")
    assert scan.hits == {"kind": (Hit(0, 1), Hit(0, 2), Hit(4, 5))}
    assert not scan.failed


def test_a_kind_without_hits_ran_and_is_not_in_the_hits() -> None:
    scan = DetectorSet({"kind": _Answers()}).scan(["kind"], "hello")
    assert (dict(scan.hits), scan.failed) == ({}, frozenset())


@pytest.mark.parametrize(
    "detector",
    [
        _Raises(),
        _Endless(),
        _Answers(Hit(3, 3)),
        _Answers(Hit(-1, 2)),
        _Answers(Hit(2, 6)),
        _Answers(Hit(True, 2)),
        _Answers((0, 1)),
        _Answers(None),
        _Answers(Hit("0", "1")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
    ids=["raises", "endless", "empty", "before", "behind", "bool", "tuple", "none", "strings"],
)
def test_a_detector_that_breaks_its_interface_has_failed(detector: _Answers | _Raises | _Endless) -> None:
    scan = DetectorSet({"bad": detector, "good": _Answers(Hit(0, 5))}).scan(["bad", "good"], "hello")
    assert scan.failed == {"bad"}
    assert scan.hits == {"good": (Hit(0, 5),)}


class _Prepared(list[str]):
    """A list that can be referred to weakly."""


class _Shares:
    """A detector that works on what `prepare` made; it says whether a text was prepared for it."""

    def __init__(self, prepare: Callable[[str], list[str]]) -> None:
        self.prepare = prepare

    def detect(self, text: str) -> list[Hit]:
        return self.detect_prepared(self.prepare(text))

    def detect_prepared(self, prepared: list[str]) -> list[Hit]:
        return [Hit(0, len(prepared[0]))]


def test_detectors_that_prepare_alike_share_one_preparation_which_ends_with_the_scan() -> None:
    made: list[weakref.ref[_Prepared]] = []

    def prepare(text: str) -> list[str]:
        made.append(weakref.ref(prepared := _Prepared([text])))
        return prepared

    detectors = DetectorSet({"one": _Shares(prepare), "two": _Shares(prepare), "alone": _Answers(Hit(1, 2))})
    scan = detectors.scan(["one", "two", "alone"], "hello")
    assert scan.hits == {"one": (Hit(0, 5),), "two": (Hit(0, 5),), "alone": (Hit(1, 2),)}
    assert [reference() for reference in made] == [None]


def test_where_preparing_fails_every_detector_that_needs_it_has_failed() -> None:
    def prepare(text: str) -> list[str]:
        raise ValueError(text)

    detectors = DetectorSet({"one": _Shares(prepare), "two": _Shares(prepare), "alone": _Answers(Hit(1, 2))})
    scan = detectors.scan(["one", "two", "alone"], CANARY)
    assert scan.failed == {"one", "two"}
    assert scan.hits == {"alone": (Hit(1, 2),)}


def test_a_failure_is_logged_once_and_without_content(caplog: pytest.LogCaptureFixture) -> None:
    detectors = DetectorSet({"bad": _Raises()})
    with caplog.at_level(logging.DEBUG, logger="ringfence"):
        for _ in range(3):
            detectors.scan(["bad"], CANARY)
    assert [record.getMessage() for record in caplog.records] == [
        "detector 'bad' failed (ValueError); what it should have scanned is labelled as unknown"
    ]
    assert CANARY not in caplog.text


def test_a_kind_that_is_not_installed_has_failed() -> None:
    detectors = DetectorSet()
    assert detectors.scan(["no_such_kind"], "x").failed == {"no_such_kind"}
    assert not detectors.available("no_such_kind")
    assert detectors.available("email")


PLUGIN = """
[ringfence.detectors]
works = plugin_under_test:WORKS
email = plugin_under_test:WORKS
raises = plugin_that_raises:DETECTOR
exits = plugin_that_exits:DETECTOR
absent = plugin_under_test:ABSENT
unfit = plugin_under_test:UNFIT
"""
WORKS = """
from ringfence.privacy.detector import Hit
class Works:
    def detect(self, text):
        return [Hit(0, len(text))] if text == "needle" else []
WORKS = Works()
UNFIT = 1
"""
ASK = """
import sys
from ringfence.privacy.detection import DetectorSet
detectors = DetectorSet()
assert "plugin_under_test" not in sys.modules
kinds = ["works", "email", "raises", "exits", "absent", "unfit"]
scan = detectors.scan(kinds, "needle")
print(sorted(scan.hits), sorted(scan.failed))
print(sorted(detectors.scan(kinds, "a@example.com").hits))
"""


def test_plugins_are_found_by_entry_point_and_a_broken_one_harms_only_itself(tmp_path: Path) -> None:
    """Two distributions may declare one kind: both run."""
    info = tmp_path / "plugin_under_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-under-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text(PLUGIN)
    (tmp_path / "plugin_under_test.py").write_text(WORKS)
    (tmp_path / "plugin_that_raises.py").write_text("raise RuntimeError('broken')")
    (tmp_path / "plugin_that_exits.py").write_text("raise SystemExit(3)")
    found = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == [
        "['email', 'works'] ['absent', 'exits', 'raises', 'unfit']",
        "['email']",
    ]


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("plain", ["plain"]),
        (r"C:\dir", [r"C:\dir"]),
        (r"a\nb", [r"a\nb", "a\nb"]),
        (r"\\u0034", [r"\\u0034", r"\u0034", "4"]),
        (r"\ud83d\ude00", [r"\ud83d\ude00", "😀"]),
        (r"\ud83d", [r"\ud83d", "\ud83d"]),
    ],
)
def test_json_escapes_are_undone_level_by_level(text: str, forms: list[str]) -> None:
    assert unescaped_forms(text) == (forms, True)


def test_escapes_deeper_than_the_limit_are_reported() -> None:
    assert unescaped_forms("\\" * 2**8 + "n")[1] is False


def test_bytes_are_counted_as_utf8() -> None:
    assert [utf8_bytes(text) for text in ("abc", "é", "你", "😀", "\ud83d")] == [3, 2, 3, 4, 3]
