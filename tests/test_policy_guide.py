"""The guide to writing a policy, followed word for word: every file loads, every command prints what is shown.

A block that begins with `# add to: NAME` is added to that file as the guide tells its reader to. Under a command, `…`
stands for anything. The rest is as `tests.markdown` says.
"""

from __future__ import annotations

import re
import shlex
from contextlib import chdir
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.markdown import (
    ROOT,
    Block,
    Command,
    as_shown,
    blocks,
    commands,
    commands_of,
    copy_clone,
    environment,
    run,
    write,
)

from ringfence.cli.root import root
from ringfence.policy import check_file, keys
from ringfence.policy.faults import Fault

GUIDE = ROOT / "core" / "docs" / "writing-a-policy.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS = blocks(TEXT)
LAYERS = {"company.yaml"}
_SECTION = re.compile(r"^(\w+):", re.MULTILINE)
_ENTRY = re.compile(r"^(?=  \S)", re.MULTILINE)
_NAME = re.compile(r"  (?:- \{?(?:id|name): ([^,\n]+)|([\w.-]+):)")


# ---------------------------------------------------------------- a reader with an editor


def sections(text: str) -> dict[str, list[str]]:
    """The heading of each section of a policy file, and its entries, which end with their line breaks."""
    starts = [found.start() for found in _SECTION.finditer(text)]
    parts = [text[start:end].rstrip() + "\n" for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return {part.partition(":")[0]: _ENTRY.split(part) for part in parts}


def added(file: str, addition: str) -> str:
    """`file` after an addition, as the guide says how to make one."""
    head = file[: next(_SECTION.finditer(file)).start()]
    found = sections(file)
    for key, (heading, *entries) in sections(addition).items():
        present = found.setdefault(key, [heading])
        for entry in entries:
            _add(present, entry, before_last=key == "route")
    return head + "\n".join("".join(part) for part in found.values()).replace("\nname:", "name:", 1)


def _add(present: list[str], entry: str, *, before_last: bool) -> None:
    name = _name(entry)
    same = [number for number, other in enumerate(present[1:], 1) if name and _name(other) == name]
    if same:
        present[same[0]] = entry
    else:
        present.insert(len(present) - before_last, entry)


def _name(entry: str) -> str | None:
    found = _NAME.match(entry)
    return (found.group(1) or found.group(2)) if found else None


# ---------------------------------------------------------------- followed from top to bottom


@dataclass(frozen=True)
class Followed:
    """What was printed, by the line of its command, and the faults after each block of a file, by its line."""

    folder: Path
    printed: dict[int, tuple[int, str]]
    faults: dict[int, tuple[Fault, ...]]


def edited(block: Block, folder: Path) -> Path | None:
    """The file that a block makes or adds to."""
    name = block.named("file") or block.named("add to")
    if name is None:
        return None
    path = folder / name
    write(path, added(path.read_text(encoding="utf-8"), block.text) if block.named("add to") else block.text)
    return path


def is_a_policy(path: Path) -> bool:
    """Whether it loads alone: a layer does not, and a workflow is none."""
    return path.suffix == ".yaml" and path.name not in LAYERS and path.parent.name != "workflows"


def said(command: str, folder: Path) -> tuple[int, str]:
    """The exit code, and all that was printed. `ringfence` runs in this process: it is asked forty times."""
    words = shlex.split(command, comments=True)
    if words[0] != "ringfence" or set(words) & {"|", "<", ">", "&&"}:
        done = run(command, folder, shell=True, together=True)
        return done.returncode, done.stdout
    with chdir(folder):
        result = CliRunner(env=environment(folder)).invoke(root, words[1:], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    folder = tmp_path_factory.mktemp("guide")
    copy_clone(folder, "examples")
    printed: dict[int, tuple[int, str]] = {}
    faults: dict[int, tuple[Fault, ...]] = {}
    for block in BLOCKS:
        path = edited(block, folder)
        if path and is_a_policy(path):
            faults[block.line] = check_file(path).faults
        for command in commands_of(block) if block.kind == "console" else ():
            printed[command.line] = said(command.command, folder)
    return Followed(folder, printed, faults)


def _line(one: Block | Command) -> str:
    return f"line {one.line}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "yaml"], ids=_line)
def test_a_file_of_the_guide_loads(block: Block, followed: Followed) -> None:
    name = block.named("file") or block.named("add to")
    assert name, "a block of YAML says which file it is, or what it is added to"
    if is_a_policy(Path(name)):
        assert followed.faults[block.line] == ()


@pytest.mark.parametrize("command", commands(BLOCKS), ids=_line)
def test_a_command_of_the_guide_prints_what_is_shown(command: Command, followed: Followed) -> None:
    code, printed = followed.printed[command.line]
    assert code == command.code, printed
    assert as_shown(command.shows.rstrip(), printed), printed


def test_nothing_is_left_out_of_what_is_shown() -> None:
    assert as_shown("one\n…\nfour", "one\ntwo\nthree\nfour\n")
    assert as_shown("spent … USD", "spent 1 USD")
    assert not as_shown("one", "one\ntwo\n")
    assert not as_shown("one.", "one!")


@pytest.mark.parametrize("name", ["desk.yaml", "company.yaml"])
def test_the_finished_files_are_examples(name: str, followed: Followed) -> None:
    reader = re.sub(r"\nshadow: .*\n", "", (followed.folder / name).read_text(encoding="utf-8"))
    example = (ROOT / "examples" / "policies" / name).read_text(encoding="utf-8")
    assert sections(example) == sections(reader)


# ---------------------------------------------------------------- the reference


def tables(text: str) -> dict[str, set[str]]:
    """The keys that the table under each heading explains."""
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return {
        heading: set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
        for heading, part in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("The file", keys.TOP.works),
        ("A recipient", keys.RECIPIENT.works),
        ("A label", keys.LABEL.works),
        ("A fact", keys.FACT.works),
        ("A tool", keys.TOOL.works),
        ("A rule of flow", keys.FLOW.works),
        ("allow and deny", keys.SCOPE.works),
        ("require", keys.REQUIRE.works),
        ("A condition", (*keys.WHEN, "labels")),
        ("time", keys.TIME.works),
        ("consent", keys.CONSENT.works),
        ("A rule of route", keys.ROUTE.works),
        ("overflow", keys.OVERFLOW.works),
        ("A budget", keys.BUDGET.works),
        ("audit", keys.AUDIT.works),
        ("An invariant", keys.INVARIANT.works),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_key_is_explained_and_no_other(heading: str, known: tuple[str, ...]) -> None:
    assert tables(TEXT)[heading] == set(known)


def test_every_key_of_a_test_is_explained_where_the_guide_says() -> None:
    review = (GUIDE.parent / "reviewing-a-policy.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+)(?::[^`]*)?`", review))
    assert {*keys.TEST_REQUEST.works, *keys.EXPECT.works} <= told


def test_every_value_of_a_key_is_named() -> None:
    values = (
        *(*keys.BUILT_IN_TASKS, *keys.MODALITIES, *keys.BROKEN_STREAM, *keys.CAPABILITIES, *keys.CAPACITIES),
        *(*keys.PER, *keys.SHOWN, *keys.REDACT, *keys.UNITS, *keys.PERIODS, *keys.DAYS, *keys.RANGE.works),
    )
    told = {word for code in re.findall(r"`([^`\n]+)`", TEXT) for word in re.findall(r"\w+", code)}
    assert set(values) <= told


# ---------------------------------------------------------------- messages


SLIPS = [
    ("redact: pseudonym", "redcat: pseudonym"),
    ("labels: [contact, identity], to: [partner]", "labels: [contact, idenity], to: [partner]"),
    ("labels: [public], to: [partner]}\n    consent: ask\n", "labels: [public], to: [partner]}\n"),
    ("unknown: unclassified\n", "unknown: public\n"),
    ("user.role: [trainee]}", "user.rol: [trainee]}"),
    ("user.role: [trainee]}", "user.role: trainee}"),
    ("to: [rented]}\n    reason", "to: [rented]}\n    consent: ask\n    reason"),
    ("input_tokens: {over: 1500}}\n    prefer", "input_tokens: {over: 1500, max: 1000}}\n    prefer"),
    ("to: [rented]}\n    reason", "to: [rentd]}\n    reason"),
    ("secret: env:OFFICE_MODELS_KEY", "secret: sk-4f9a"),
    ("  - id: otherwise\n", "   - id: otherwise\n"),
    ("deny: {labels: [health, unclassified], to: [rented]}", "deny: {labels: [unclassified], to: [rented]}"),
]
SHOWN = re.findall(
    r"^\| `(.+?)` \|", TEXT.partition("## What each message means")[2].partition("\n## ")[0], re.MULTILINE
)


@pytest.mark.parametrize(("slip", "shown"), [*zip(SLIPS, SHOWN, strict=True)], ids=lambda one: str(one)[:40])
def test_a_message_is_what_the_slip_gives(slip: tuple[str, str], shown: str, tmp_path: Path) -> None:
    folder = ROOT / "examples" / "policies"
    write(tmp_path / "company.yaml", (folder / "company.yaml").read_text(encoding="utf-8"))
    right = (folder / "desk.yaml").read_text(encoding="utf-8")
    assert right.count(slip[0]) == 1
    write(tmp_path / "desk.yaml", right.replace(*slip))
    assert [fault.message for fault in check_file(tmp_path / "desk.yaml").faults] == [shown]


# ---------------------------------------------------------------- what it points to


def test_every_link_leads_somewhere() -> None:
    anchors = {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, anchor = target.partition("#")
        assert (GUIDE.parent / file).exists() if file else anchor in anchors, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_kind_of_detector_that_is_named_is_one() -> None:
    known = {point.name for point in entry_points(group="ringfence.detectors")}
    part = TEXT.partition("## Detector kinds")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z_ ]+)`", part)[0].split()) <= known


# ---------------------------------------------------------------- in CI


@pytest.fixture
def clone(followed: Followed, tmp_path: Path) -> Path:
    """A repository with the reader's policy on its main branch, and the script of the guide."""
    for name in ("desk.yaml", "desk-next.yaml", "company.yaml", "check-policy.sh"):
        write(tmp_path / name, (followed.folder / name).read_text(encoding="utf-8"))
    commit_to_main(tmp_path)
    return tmp_path


def commit_to_main(clone: Path) -> None:
    said = "git init -q && git add . && git -c user.name=a -c user.email=a@b.example commit -qm policy"
    assert run(f"{said} && git update-ref refs/remotes/origin/main HEAD", clone, shell=True).returncode == 0


def check_in_ci(clone: Path) -> tuple[int, str]:
    """What the last step of the guide's workflow gives."""
    workflow = next(block.text for block in BLOCKS if (block.named() or "").startswith(".github"))
    done = run(re.findall(r"- run: (.+)", workflow)[-1], clone, shell=True, together=True)
    return done.returncode, done.stdout


def test_the_script_for_ci_passes_an_edit_that_narrows(clone: Path) -> None:
    before = (clone / "desk.yaml").read_text(encoding="utf-8")
    write(clone / "desk.yaml", before.replace('limit: "50 USD"', 'limit: "40 USD"'))
    code, printed = check_in_ci(clone)
    assert code == 0, printed
    assert "nothing moves outward" in printed
    assert not (clone / ".before").exists()


def test_the_script_for_ci_stops_an_edit_that_lets_something_out(clone: Path) -> None:
    before = (clone / "desk.yaml").read_text(encoding="utf-8")
    write(clone / "desk.yaml", before.replace("lasts: session", "lasts: 30d"))
    code, printed = check_in_ci(clone)
    assert code == 1, printed
    assert "something moves outward" in printed


def test_the_script_for_ci_compares_layers_as_they_were(clone: Path) -> None:
    layer = (clone / "company.yaml").read_text(encoding="utf-8")
    write(clone / "company.yaml", layer + '\nbudgets:\n  - {id: cap, of: partner, limit: "9 USD", per: month}\n')
    commit_to_main(clone)
    assert check_in_ci(clone)[0] == 0
    write(clone / "company.yaml", layer)
    code, printed = check_in_ci(clone)
    assert code == 1, printed
    assert "something moves outward" in printed
