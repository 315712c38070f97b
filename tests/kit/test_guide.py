"""The guide to writing a provider, followed word for word by somebody who has Python and a package index."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.markdown import ROOT, blocks, commands

GUIDE = (ROOT / "core" / "docs" / "writing-a-provider.md").read_text(encoding="utf-8")
COMMANDS = [one.command for one in commands(blocks(GUIDE))]
TEXTS = [(block.kind, block.text) for block in blocks(GUIDE)]
POLICY = next(text for kind, text in TEXTS if kind == "yaml")
NO_INDEX = ("No matching distribution found", "Could not find a version", "Failed to establish a new connection")


def script() -> str:
    """The guide's commands as one script, which says before each what it does. Ringfence comes from this tree."""
    lines = ["set -e"]
    for command in COMMANDS:
        here = command.replace("'.[kit]'", f"'{ROOT}[kit]'")
        lines += [f"echo '@@' {shlex.quote(command)}", here]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command printed."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    python = folder / "bin"
    python.mkdir()
    (python / "python").symlink_to(Path(sys.executable).resolve())
    done = subprocess.run(
        ["bash", "-c", script()],
        cwd=folder,
        env={
            **kept,
            "PATH": f"{python}:{os.environ['PATH']}",
            "RINGFENCE_STATE_DIR": str(folder / "state"),
            "PIP_NO_COMPILE": "1",  # little of what is installed is ever imported
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode and any(sign in done.stdout for sign in NO_INDEX):
        pytest.skip("needs a package index")
    assert done.returncode == 0, done.stdout[-4000:]
    said = done.stdout.split("@@ ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in said}


def what(followed: dict[str, str], begins: str) -> str:
    """What the commands that begin so printed."""
    found = [text for command, text in followed.items() if command.startswith(begins)]
    assert found, f"the guide has no command {begins}"
    return "\n".join(found)


@pytest.mark.system
def test_both_kinds_are_installed_and_keep_every_rule(followed: dict[str, str]) -> None:
    tested = what(followed, "ringfence plugin test")
    assert tested.count("every rule is kept") == 2
    assert "parrot" in what(followed, "ringfence providers")


@pytest.mark.system
def test_the_new_provider_answers_a_request(followed: dict[str, str]) -> None:
    answer = what(followed, "ringfence ask")
    assert "Say this again." in answer
    assert "polly" in answer


@pytest.mark.system
def test_it_can_be_built_for_an_index(followed: dict[str, str]) -> None:
    assert "Successfully built ringfence_parrot-0.1.0" in what(followed, "python -m build")


def test_the_guides_price_and_utilisation_are_what_the_core_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.policy.prices import GROUP
    from ringfence.provider import Prices, Provider, ReportsUtilisation
    from ringfence.recipient import Recipient
    from ringfence.response import Usage

    toml = next(text for kind, text in TEXTS if kind == "toml")
    (name, target), *others = tomllib.loads(toml)["project"]["entry-points"][GROUP].items()
    assert (name, others) == ("parrot", [])
    asked = Recipient(name="parrot", ring="partner", provider=name, model="parrot-1")
    said: dict[str, Any] = {"Provider": Provider}
    python = [text for kind, text in TEXTS if kind == "python"]
    exec(next(text for text in python if text.startswith("# src/ringfence_parrot/prices.py")), said)
    price = said[target.partition(":")[2]]
    assert price(asked, Usage(input_tokens=1000, output_tokens=500)) == pytest.approx(0.003)
    assert price(asked, Usage()) is None
    assert price(replace(asked, model="parrot-2"), Usage(input_tokens=1, output_tokens=1)) is None
    monkeypatch.setitem(sys.modules, "ringfence_parrot", SimpleNamespace(prices=SimpleNamespace(price_usd=price)))
    exec(next(text for text in python if text.startswith("# src/ringfence_parrot/provider.py")), said)
    priced: Any = said["ParrotProvider"]
    assert hasattr(Prices, "price_usd")
    assert priced.price_usd(None, asked, Usage(input_tokens=1000, output_tokens=500)) == pytest.approx(0.003)
    exec(next(text for text in python if "def utilisation" in text), said)
    utilisation = said["ParrotProvider"].utilisation
    assert utilisation(SimpleNamespace(loads={"parrot": 0.9}), asked) == 0.9
    assert utilisation(SimpleNamespace(loads={}), asked) is None
    assert issubclass(said["ParrotProvider"], ReportsUtilisation)


def test_the_guide_speaks_of_what_is_there() -> None:
    from ringfence import errors
    from ringfence.scaffold import rendered
    from ringfence.testing.kit.sealed import HOOKS

    files = {path.as_posix() for path in rendered("parrot", "http")}
    named = set(re.findall(r"`((?:src|tests)/[\w./-]+)`", GUIDE))
    assert named <= files
    assert all(hasattr(errors, name) for name in re.findall(r"\| `([A-Z]\w+)[`(]", GUIDE))
    told = set(re.findall(r"\b\w+\b", GUIDE))
    assert HOOKS - told == {"make", "honoured"} - told
