"""Makes the pictures of a decision and of a policy, as the commands print them: `python core/docs/pictures/make.py`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
COMMAND = ["policy", "explain", "examples/policies/team.yaml", "--task", "article_summary", "--label", "work"]
GRAPH = ["policy", "graph", "examples/policies/hospital.yaml"]


def main() -> None:
    """Makes both."""
    draw_decision()
    (HERE / "graph.svg").write_text(output_of(*GRAPH), encoding="utf-8")


def draw_decision() -> None:
    """Runs the command as a terminal would see it, and draws that as SVG."""
    shown = output_of(*COMMAND, "Quarterly report", FORCE_COLOR="1", COLUMNS="92", TERM="xterm-256color")
    console = Console(record=True, width=92, file=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text(f"$ ringfence {' '.join(COMMAND)} 'Quarterly report'", style="bold"))
    console.print(Text.from_ansi(shown))
    drawn = console.export_svg(title="ringfence policy explain")
    # No picture of ours fetches a font from somewhere.
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    (HERE / "explain.svg").write_text(drawn, encoding="utf-8")


def output_of(*arguments: str, **environment: str) -> str:
    """What `ringfence` writes to stdout."""
    command = [str(Path(sys.executable).with_name("ringfence")), *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
