"""Every example runs as it stands, on the real model, and what it shows is looked at.

All but `ALONE` run in one process, which loads the model once: see `tests.one_process`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.one_process import Done, run_together

from ringfence.policy import check_file

EXAMPLES = Path(__file__).parents[1] / "examples"
RECEIPT_LINE = re.compile(
    r"^device · mlx/smollm2-135m-instruct · \d+ in, \d+ out · .+ · rule device-any · policy built-in$", re.MULTILINE
)
SCRIPTS = {
    "ask.py": r".*Paris.*\ndevice smollm2-135m-instruct \d+\n",
    "stream.py": r".+\n(stop|length)\n.+ …\n",
    "extract.py": r"Invitation .+ · .+\n|the structured output .+\n",
    "session.py": r"(?s).+\n\['health', 'unclassified'\]\n4 \['health', 'unclassified'\]\n",
    "embed.py": r"-?0\.\d\d  A cat sleeps on the sofa\.\n0\.[5-9]\d  Please pay the invoice this week\.\n",
    "tools.py": r"(?s)run free_times .+create_event said: Tea.+\n3 model calls\n",
    "draw.py": r".*OPENAI_API_KEY.*\n",
    "side_by_side.py": r"(?s).*Paris.*Tokyo.*",
}
ALONE = "side_by_side.py"
INPUTS = {
    "messages.txt": "notification_summary",
    "article.txt": "article_summary",
    "email.txt": "email_reply",
    "chinese.txt": "notification_summary",
}


def _asks(name: str, task: str) -> tuple[str, ...]:
    text = (EXAMPLES / "inputs" / name).read_text(encoding="utf-8")
    return ("ringfence", "ask", "--task", task, "--max-tokens", "12", text)


PULL = ("ringfence", "models", "pull", "all-minilm-l6-v2")
PROGRAMS = {
    **{name: (str(EXAMPLES / name),) for name in SCRIPTS if name != ALONE},
    **{name: _asks(name, task) for name, task in INPUTS.items()},
}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """No partner is asked, whatever key the person has who runs this."""
    keys = {"OPENAI_API_KEY": "", "GEMINI_API_KEY": ""}
    return {**os.environ, **keys, "RINGFENCE_STATE_DIR": str(folder / "state"), **more}


def run(arguments: list[str], tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        env=environment(tmp_path, **more),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def ringfence(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("ringfence")), *arguments]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What each of `PROGRAMS` did."""
    folder = tmp_path_factory.mktemp("examples")
    _, *found = run_together([PULL, *PROGRAMS.values()], folder, environment(folder))
    return dict(zip(PROGRAMS, found, strict=True))


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SCRIPTS)
    assert {path.name for path in (EXAMPLES / "inputs").iterdir()} == set(INPUTS)


@pytest.mark.model
@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != ALONE])
def test_an_example_prints_what_it_is_for(name: str, done: dict[str, Done]) -> None:
    code, printed, said = done[name]
    assert (code, said) == (0, "")
    assert re.fullmatch(SCRIPTS[name], printed), printed


@pytest.mark.model
def test_an_example_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    alone = run([sys.executable, "-W", "error", str(EXAMPLES / ALONE)], tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert re.fullmatch(SCRIPTS[ALONE], alone.stdout), alone.stdout


@pytest.mark.model
@pytest.mark.parametrize("name", INPUTS)
def test_the_command_line_answers_every_input(name: str, done: dict[str, Done]) -> None:
    code, printed, said = done[name]
    assert code == 0, said
    assert printed.strip()
    assert RECEIPT_LINE.search(said)


POLICIES = [
    path
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    if "\nrecipients:" in path.read_text(encoding="utf-8")  # a layer declares nothing and does not load alone
]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_an_example_policy_has_no_faults(path: Path) -> None:
    assert check_file(path).faults == ()


def test_the_example_provider_installs_and_answers(tmp_path: Path) -> None:
    """Built and installed as an author would, into a folder of its own."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    built = run([*pip, str(EXAMPLES / "provider")], tmp_path)
    assert built.returncode == 0, built.stderr
    policy = str(EXAMPLES / "provider" / "policy.yaml")
    done = run(ringfence("ask", "--policy", policy, "hello there"), tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hello there \n"
    assert "device · echo/echo-1 · 2 in, 2 out" in done.stderr
