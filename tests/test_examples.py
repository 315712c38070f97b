"""Every example runs as it stands, on the real model, and what it shows is looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(arguments: list[str], tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        # No partner is asked, whatever key the person has who runs this.
        env={
            **os.environ,
            "OPENAI_API_KEY": "",
            "GEMINI_API_KEY": "",
            "RINGFENCE_STATE_DIR": str(tmp_path / "state"),
            **environment,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def ringfence(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("ringfence")), *arguments]


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SCRIPTS)


@pytest.mark.model
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_prints_what_it_is_for(name: str, tmp_path: Path) -> None:
    if name == "embed.py":
        run(ringfence("models", "pull", "all-minilm-l6-v2"), tmp_path)
    done = run([sys.executable, "-W", "error", str(EXAMPLES / name)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(SCRIPTS[name], done.stdout), done.stdout


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("messages.txt", "notification_summary"),
        ("article.txt", "article_summary"),
        ("email.txt", "email_reply"),
        ("chinese.txt", "notification_summary"),
    ],
)
def test_the_command_line_answers_every_input(name: str, task: str, tmp_path: Path) -> None:
    text = (EXAMPLES / "inputs" / name).read_text(encoding="utf-8")
    done = run(ringfence("ask", "--task", task, "--max-tokens", "24", text), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert RECEIPT_LINE.search(done.stderr)


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
