"""Makes the README's picture of a decision: `python core/docs/pictures/make.py`. It shows what the command prints."""

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


def main() -> None:
    """Runs the command as a terminal would see it, and draws that as SVG."""
    shown = subprocess.run(
        [str(Path(sys.executable).with_name("ringfence")), *COMMAND, "Quarterly report"],
        cwd=ROOT,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "92", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    console = Console(record=True, width=92, file=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text(f"$ ringfence {' '.join(COMMAND)} 'Quarterly report'", style="bold"))
    console.print(Text.from_ansi(shown))
    drawn = console.export_svg(title="ringfence policy explain")
    # No picture of ours fetches a font from somewhere.
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    (HERE / "explain.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
