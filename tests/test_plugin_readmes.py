"""The README of every plugin installs what is in the clone: nothing of Ringfence is published yet."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("p*/*/README.md"))]
INSTALL = re.compile(r"^\$? ?pip install (.*?)(?: *#.*)?$", re.MULTILINE)


def _installed(readme: str) -> list[str]:
    """What the README's commands install, options left out."""
    lines = INSTALL.findall((ROOT / readme).read_text(encoding="utf-8"))
    words = [word for line in lines for word in shlex.split(line.partition("&&")[0])]
    return [word for word in words if not word.startswith("-")]


@pytest.mark.parametrize("readme", READMES)
def test_what_a_readme_installs_of_ringfence_is_in_the_clone(readme: str) -> None:
    for word in _installed(readme):
        assert not word.startswith("ringfence"), f"{readme}: {word} is on no index"
        place, _, extra = word.removesuffix("]").partition("[")
        if place.startswith("."):
            project = tomllib.loads((ROOT / place / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            assert not extra or extra in project["optional-dependencies"], f"{readme}: {word}"


@pytest.mark.parametrize(
    "folder",
    ["plugins/ner", "plugins/presidio", "providers/gemini", "providers/house", "providers/mlx", "providers/openai"],
)
def test_a_readme_says_how_its_plugin_is_installed(folder: str) -> None:
    readme = f"{folder}/README.md"
    assert f"./{folder}" in {word.partition("[")[0] for word in _installed(readme)}
    assert "Until it is published" in (ROOT / readme).read_text(encoding="utf-8")
