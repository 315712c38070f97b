"""`ringfence plugin new`: what it writes works, is clean, and is written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.errors import InvalidRequest, PluginBroken, PluginError
from ringfence.scaffold import KINDS, Kind, make_plugin, rendered
from ringfence.testing.kit.sameness import check_same

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SITE = "new/.venv/site-packages"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / arguments[0]), *arguments[1:]],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new plugin of each kind."""
    kind: Kind = request.param
    target = tmp_path / "ringfence-my-bird"
    make_plugin("my_bird", kind, target)
    return target


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy keeps of one plugin for the next."""
    return str(tmp_path_factory.mktemp("types"))


def test_a_new_plugin_is_clean_to_a_stranger(made: Path, types: str) -> None:
    linted = run("ruff", "check", "--isolated", "--select", "E,F,W,I,UP,B,C4,SIM,RUF", "--line-length", "120", cwd=made)
    assert linted.returncode == 0, linted.stdout
    formatted = run("ruff", "format", "--isolated", "--check", "--line-length", "120", ".", cwd=made)
    assert formatted.returncode == 0, formatted.stdout
    typed = run(
        "mypy",
        "--strict",
        "--cache-dir",
        types,
        "src",
        "tests",
        cwd=made,
        MYPYPATH=f"{made / 'src'}:{ROOT / 'core' / 'src'}",
    )
    assert typed.returncode == 0, typed.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_be_filled_in(kind: Kind) -> None:
    for path, text in rendered("my_bird", kind).items():
        assert "{{" not in text, path
        assert "}}" not in text, path


def test_the_example_is_what_the_scaffold_writes() -> None:
    example = ROOT / "examples" / "provider-http"
    for path, text in rendered("parrot", "http").items():
        assert (example / path).read_text(encoding="utf-8") == text, path


@pytest.mark.parametrize(
    "name",
    ["", "Bird", "1bird", "my-bird", "my__bird", "bird_", "_bird", "class", "../bird", "bird ", "b" * 41, "brd\n"],
)
def test_a_name_that_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        make_plugin(name, "http", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "kind"), [("mlx", "local"), ("email", "detector")])
def test_a_name_that_is_installed_is_refused(name: str, kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"'{name}' is installed"):
        make_plugin(name, kind, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "kind"), [("email", "local"), ("mlx", "detector")])
def test_a_provider_and_a_detector_may_have_one_name(name: str, kind: Kind, tmp_path: Path) -> None:
    assert make_plugin(name, kind, tmp_path / "new")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    assert all(path.is_file() for path in make_plugin("bird", "local", target))
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("thing", ["folder", "file", "link"])
def test_what_is_there_is_left_alone(thing: str, tmp_path: Path) -> None:
    target = tmp_path / "new"
    match thing:
        case "folder":
            target.mkdir()
            (target / "mine").write_text("mine")
        case "file":
            target.write_text("mine")
        case _:
            target.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidRequest, match="no empty folder"):
        make_plugin("bird", "http", target)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def fail_late(self: Path, text: str, **options: str) -> int:
        if self.name == "provider.py":
            raise OSError(28, "No space left on device")
        return write(self, text, **options)

    monkeypatch.setattr(Path, "write_text", fail_late)
    with pytest.raises(PluginError, match="no space left on device"):
        make_plugin("bird", "http", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    done = run("ringfence", "plugin", "new", "bird", "--kind", "local", "--dir", "here", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["name"] == "bird"
    assert all((tmp_path / told["path"] / path).is_file() for path in told["files"])
    plain = run("ringfence", "plugin", "new", "finch", cwd=tmp_path)
    assert plain.stdout == "ringfence-finch\n"
    assert "ringfence plugin test" in plain.stderr
    detector = run("ringfence", "plugin", "new", "finch", "--kind", "detector", cwd=tmp_path)
    assert detector.stdout == "ringfence-detector-finch\n"


def test_a_wrong_name_is_wrong_usage(tmp_path: Path) -> None:
    done = run("ringfence", "plugin", "new", "Bird", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "InvalidRequest"


def test_a_new_provider_keeps_every_rule_and_one_that_it_breaks_is_shown(tmp_path: Path) -> None:
    """The other kind is followed from its making to its test in the README, and both in the guide."""
    target = tmp_path / "new"
    make_plugin("my_bird", "local", target)
    planning = target / "src" / "ringfence_my_bird" / "planning.py"
    planning.write_text(planning.read_text().replace("if request.tools:", "if False:"))
    done = run("ringfence", "plugin", "test", str(target), cwd=tmp_path, PYTHONPATH=str(target / "src"))
    assert done.returncode == 1, done.stderr
    assert "test_a_tool_is_sent_whole: tools is not declared, and plan() accepted it" in done.stderr
    groups = {line.split()[0]: line.split()[1:4] for line in done.stdout.splitlines()}
    assert groups["tools"][0] == "failed"
    assert groups["lifecycle"][0] == "passed"
    assert f"try: python -m pytest {target} -k " in done.stderr
    summary = re.search(r"cases of (\d+) rules: (.+)", done.stderr)
    assert summary
    assert int(summary[1]) > 35
    assert summary[2] == "3 rules are broken"  # those about tools


def test_a_new_detector_keeps_every_rule_and_one_that_it_breaks_is_shown(tmp_path: Path) -> None:
    target = tmp_path / "ringfence-detector-member"
    make_plugin("member", "detector", target)
    source = {"PYTHONPATH": str(target / "src")}
    done = run("ringfence", "plugin", "test", str(target), "--json", cwd=tmp_path, **source)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["passed"] is True
    assert {rule["detector"] for rule in told["rules"]} == {"member"}
    assert {rule["group"] for rule in told["rules"]} == {"hits", "texts", "time", "secrecy"}
    detector = target / "src" / "ringfence_detector_member" / "detector.py"
    detector.write_text(detector.read_text().replace("[0-9]{6}", "[0-9]{4}"))
    done = run("ringfence", "plugin", "test", str(target), cwd=tmp_path, **source)
    assert done.returncode == 1
    assert "hits: All that the author says is in a text is found" in done.stderr
    assert "test_what_its_author_says_is_found: text 1 of finds: it finds []" in done.stderr
    assert done.stderr.endswith("2 rules are broken\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "this folder has no tests"),
        (("no-such-provider",), "neither a path nor an installed provider"),
        (("openai",), "needs a network"),
        (("empty",), "no conformance class"),
        (("notes.txt",), "'notes.txt' is no test module"),
    ],
)
def test_nothing_to_test_is_wrong_usage(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_nothing.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    done = run("ringfence", "plugin", "test", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr


def test_tests_that_cannot_be_loaded_fail(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("1 / 0\n")
    done = run("ringfence", "plugin", "test", "test_broken.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "pytest cannot run" in done.stderr


def test_a_plugin_that_is_not_installed_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    make_plugin("member", "detector", tmp_path / "new one")
    done = run("ringfence", "plugin", "test", "new one", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "error: the tests import 'ringfence_detector_member', which is not installed\ntry: pip install -e 'new one'\n",
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A detector in `new`, and a copy of it in an environment there, as an installation that is not editable has it."""
    make_plugin("member", "detector", tmp_path / "new")
    package = "ringfence_detector_member"
    shutil.copytree(tmp_path / "new" / "src" / package, tmp_path / SITE / package)
    return tmp_path / "new" / "src" / package


def edited(detector: Path) -> None:
    detector.write_text(detector.read_text() + "# edited\n")


def another_module(detector: Path) -> None:
    detector.with_name("more.py").write_text("")


@pytest.mark.parametrize("change", [edited, another_module], ids=lambda change: change.__name__)
def test_what_is_installed_must_be_what_the_folder_holds(
    installed: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(installed / "detector.py")
    done = run("ringfence", "plugin", "test", "new", cwd=tmp_path, PYTHONPATH=str(tmp_path / SITE))
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "error: the installed ringfence_detector_member is not the one in new\ntry: pip install -e 'new[test]'\n",
    )


def test_what_is_installed_may_be_a_copy_of_what_the_folder_holds(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / SITE), *sys.path])
    (installed / "notes.txt").write_text("not every file is installed")
    check_same(tmp_path / "new")
    edited(installed / "detector.py")
    with pytest.raises(PluginBroken):
        check_same(tmp_path / "new")


def test_a_class_in_the_place_of_a_detector_is_told_once(tmp_path: Path) -> None:
    make_plugin("member", "detector", tmp_path / "new")
    detector = tmp_path / "new" / "src" / "ringfence_detector_member" / "detector.py"
    text = detector.read_text()
    assert text.count("DETECTOR = MemberDetector()") == 1
    detector.write_text(text.replace("DETECTOR = MemberDetector()", "DETECTOR = MemberDetector"))
    done = run("ringfence", "plugin", "test", "new", cwd=tmp_path, PYTHONPATH=str(detector.parents[1]))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the detector is the class MemberDetector, and must be an object of it",
        "try: MemberDetector() in the tests and where the entry point names it",
    ]


def test_without_pytest_the_way_out_is_said(tmp_path: Path) -> None:
    """As an app has it that was installed without the kit."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pytest'] = None\n")
    done = run("ringfence", "plugin", "test", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "pip install 'ringfence[kit]'" in done.stderr
