"""`python -m tests.fuzz`: coverage-guided fuzzing of every parser of the house's wire, each in a process of its own."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one target did. `runs` is as the fuzzer counted them, None where it broke before it said so."""

    name: str
    runs: int | None
    coverage: int | None
    seconds: float
    broke: str

    @property
    def as_row(self) -> tuple[str, ...]:
        """For the table."""
        counts = ("?" if count is None else f"{count:,}" for count in (self.runs, self.coverage))
        return (self.name, *counts, f"{self.seconds:.0f}", self.broke or "nothing found")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes each target in turn, and prints a table; 1 if one broke, 2 if there is no fuzzer."""
    given = _parser().parse_args(arguments)
    console, progress = Console(), Console(stderr=True)
    if find_spec("atheris") is None:
        console.print("atheris, the fuzzer, is not installed; try: pip install atheris", highlight=False)
        return 2
    outcomes: list[Outcome] = []
    for name in given.only or TARGETS:
        outcomes.append(_fuzz(name, given.runs, given.keep))
        progress.print(f"[dim]fuzzed {name}[/dim]", highlight=False)
    table = Table("target", "runs", "coverage", "s", "outcome")
    for outcome in outcomes:
        table.add_row(*outcome.as_row)
    console.print(table)
    return int(any(outcome.broke for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000, metavar="N", help="of each target (200,000)")
    parser.add_argument(
        "--only", action="append", choices=[*TARGETS], metavar="NAME", help=f"one of {', '.join(TARGETS)}"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the bytes that break a target are kept")
    return parser


def _fuzz(name: str, runs: int, keep: Path | None) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz.child", name, str(runs), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
        seconds = time.monotonic() - begun
        broke = _what_broke(done, Path(folder), keep, name) if done.returncode else ""
    return Outcome(
        name=name,
        runs=_last(r"^#(\d+)\s", done.stderr),
        coverage=_last(r"\bft: (\d+)", done.stderr),
        seconds=seconds,
        broke=broke,
    )


def _what_broke(done: subprocess.CompletedProcess[str], folder: Path, keep: Path | None, name: str) -> str:
    found = [file for file in folder.iterdir() if file.is_file() and file.name != "words"]
    for file in found:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name}-{file.name}").write_bytes(file.read_bytes())
    raised = re.findall(r"^(?:\S*Error|\S*Exception|ERROR: .*|\w+Fault).*$", done.stderr + done.stdout, re.MULTILINE)
    bytes_found = [file.read_bytes()[:80].hex() for file in found]
    return "; ".join([*(raised[:1] or [done.stderr[-200:]]), *bytes_found])


def _last(pattern: str, text: str) -> int | None:
    found: list[str] = re.findall(pattern, text, re.MULTILINE)
    return int(found[-1]) if found else None


if __name__ == "__main__":
    sys.exit(main())
