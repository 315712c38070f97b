"""The kit for detectors: it passes one that is correct, and each broken one is caught by the rule meant for it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.kit.broken.detectors import CAUGHT, SPAN, Whole

from ringfence.testing.kit import DetectorConformance
from ringfence.testing.kit.sealed import group_of, rules_of

ROOT = Path(__file__).parents[2]
SUITE = "tests/kit/broken/detectors.py"
ONE = """
from ringfence.testing.kit import DetectorConformance

class Nothing:
    def detect(self, text):
        return []

class TestNothing(DetectorConformance):
    detector = Nothing()
    kind = "nothing"
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What became of each rule, one process for all."""
    report = tmp_path_factory.mktemp("kit") / "report.json"
    nodes = [f"{SUITE}::Test{detector.__name__}::{rule}" for detector, (rule, _) in CAUGHT.items()]
    nodes += [f"{SUITE}::TestWhole", f"{SUITE}::TestKnownFault::{SPAN}[half a pair]"]
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
    found: dict[str, tuple[str, str]] = {}
    for line in json.loads(report.read_text()):
        case = f"[{line['case']}]" if line["case"] else ""
        found[f"{line['suite']}::{line['rule']}{case}"] = (line["result"], line["detail"])
    return found


@pytest.mark.parametrize("detector", CAUGHT, ids=lambda detector: detector.__name__)
def test_a_broken_detector_is_caught(detector: type[Whole], results: dict[str, tuple[str, str]]) -> None:
    rule, says = CAUGHT[detector]
    result, detail = results[f"Test{detector.__name__}::{rule}"]
    assert result == "failed", f"{rule} let it pass"
    assert says in detail


def test_a_correct_detector_keeps_every_rule(results: dict[str, tuple[str, str]]) -> None:
    own = {name: came for name, came in results.items() if name.startswith("TestWhole::")}
    assert {name: came for name, came in own.items() if came != ("passed", "")} == {}
    ran = {name.removeprefix("TestWhole::").partition("[")[0] for name in own}
    assert rules_of(DetectorConformance).keys() - ran == {"test_what_was_prepared_gives_the_same_hits"}


def test_a_failure_that_is_expected_is_told_with_its_reason(results: dict[str, tuple[str, str]]) -> None:
    assert results[f"TestKnownFault::{SPAN}[half a pair]"] == ("expected failure", "the model reads UTF-8 alone")


def test_rules_with_nothing_to_be_about_are_left_out() -> None:
    class Bare(DetectorConformance):
        detector = Whole()
        kind = "bare"

    for name in ("test_what_its_author_says_is_found", "test_what_its_author_says_is_nothing_is_passed_over"):
        assert getattr(Bare, name) is None
    assert callable(Bare.test_threads_share_it)


def _replaced() -> object:
    class Replaced(DetectorConformance):
        def test_hits_come_in_order(self) -> None:
            """Nothing."""

    return Replaced


def _replaced_support() -> object:
    class Replaced(DetectorConformance):
        def _kit_hits(self, text: str, *, prepared: bool = False) -> list[tuple[int, int]]:
            del text, prepared
            return []

    return Replaced


def _marked() -> object:
    @pytest.mark.skip
    class Marked(DetectorConformance):
        pass

    return Marked


@pytest.mark.parametrize("change", [_replaced, _replaced_support, _marked], ids=lambda change: change.__name__)
def test_a_rule_cannot_be_changed(change: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"say xfail = \{"):
        change()


def test_every_rule_says_what_holds_and_stands_in_a_group() -> None:
    for name, says in rules_of(DetectorConformance).items():
        assert says.endswith("."), name
        assert len(says) < 160, name
        assert group_of(name, DetectorConformance)[0] in {"hits", "texts", "time", "secrecy"}


def test_an_installed_detector_is_tested_by_its_kind_and_a_slip_of_the_keys_is_mended(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("ringfence"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "plugin", "test", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    done = run("iban", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["passed"], done.stderr) == (0, True, "")
    assert {rule["detector"] for rule in told["rules"]} == {"iban"}
    assert run("ibn").stderr.endswith("try: ringfence plugin test iban\n")


def test_a_terminal_is_told_how_far_it_is_and_stdout_holds_the_table_alone(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(ONE)
    primary, secondary = pty.openpty()
    with os.fdopen(primary, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ringfence")), "plugin", "test", "test_one.py"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=secondary,
            timeout=250,
            check=False,
        )
        os.close(secondary)
        told = b""
        with suppress(OSError):  # the end of a terminal that nobody holds any more
            while more := terminal.read(1 << 16):
                told += more
    groups = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert (done.returncode, groups) == (0, ["group", "hits", "texts", "secrecy", "time"])
    assert b"0 of 59 cases" in told
    assert b"59 of 59 cases" in told
