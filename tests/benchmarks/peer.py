"""The other side of the comparison: a process that runs mlx-lm alone, in the environment a worker has."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.setting import ROOT

from ringfence.paths import cache_dir
from ringfence_mlx.environment import worker_environment
from ringfence_mlx.machine import blas
from ringfence_mlx.models.catalog import EMBEDDED_MODEL
from ringfence_mlx.models.store import ModelStore


class MlxLm:
    """mlx-lm, loaded with the embedded model. Use it as a context manager."""

    def __init__(self) -> None:
        folder = ModelStore(cache_dir() / "mlx").resolve(EMBEDDED_MODEL).path
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.mlx_lm_peer", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=blas.worker_environment(blas.best_blas(), worker_environment()),
            cwd=ROOT,
            text=True,
        )
        self._answer()

    def ask(self, op: str, texts: list[str], *, tokens: int) -> dict[str, Any]:
        """`stream` for one answer alone, `batch` for all of them together; greedy, at most `tokens` each."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, "texts": texts, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that runs mlx-lm alone ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
