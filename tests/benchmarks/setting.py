"""How long a run of the benchmarks may take, and what all of them share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INPUTS = ROOT / "examples" / "inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """`quick` proves that every row runs; its figures are rough."""

    quick: bool = False

    def rounds(self, usual: int) -> int:
        """How many rounds to take."""
        return 2 if self.quick else usual

    def times(self, usual: int) -> int:
        """How many repetitions one round holds."""
        return max(10, usual // 20) if self.quick else usual


def child(arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """What a fresh Python process prints. It is started in the root of the repository.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=dict(os.environ if environment is None else environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"a child process ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def input_text(name: str) -> str:
    """One of the texts of `examples/inputs`."""
    return (INPUTS / name).read_text(encoding="utf-8")
