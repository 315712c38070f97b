"""The BLAS that MLX computes with on a Linux CPU, and the environment that gives it the best one there is.

The Linux build of MLX links the reference BLAS. A library preloaded into the worker process takes its place, and makes
the first word come up to 17 times sooner. A candidate counts only if a child process that preloads it has shown that
`cblas_sgemm` comes from it and multiplies rightly. On macOS MLX computes with Metal and Accelerate: nothing to do.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ringfence.provider import Finding

BlasName: TypeAlias = Literal["metal", "mkl", "openblas", "reference"]

_PROBE = Path(__file__).with_name("blas_probe.py")
_PROBE_LIMIT_S = 30
# One thread: the matrices of one token are small, and MLX's own thread is the one that waits.
_MKL_ENVIRONMENT = {"MKL_THREADING_LAYER": "SEQUENTIAL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blas:
    """What the worker will compute with. `environment` is added to the worker's; empty where nothing is needed."""

    name: BlasName
    version: str | None = None
    library: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_fast(self) -> bool:
        """Whether it is anything but the reference."""
        return self.name != "reference"


@functools.cache
def best_blas() -> Blas:
    """The fastest BLAS here, proved in a child process. Blocking: up to a second the first time, then remembered."""
    if sys.platform == "darwin":
        return Blas(name="metal")
    return next(_working(), Blas(name="reference"))


def worker_environment(blas: Blas, base: Mapping[str, str]) -> dict[str, str]:
    """`base` with what `blas` needs; a `LD_PRELOAD` that is there already stays, behind ours."""
    environment = dict(base) | dict(blas.environment)
    if "LD_PRELOAD" in blas.environment and base.get("LD_PRELOAD"):
        environment["LD_PRELOAD"] = f"{blas.environment['LD_PRELOAD']}:{base['LD_PRELOAD']}"
    return environment


def blas_finding(blas: Blas) -> Finding:
    """What `ringfence doctor` says of it."""
    match blas.name:
        case "metal":
            return Finding(level="ok", subject="blas", detail="Metal and Accelerate, as macOS brings them")
        case "reference":
            return Finding(
                level="warning",
                subject="blas",
                detail="the reference BLAS: the first word takes up to 17 times longer than with a fast one",
                way_out=faster_command(),
            )
        case _:
            return Finding(level="ok", subject="blas", detail=f"{blas.name} {blas.version or ''}".strip())


def faster_command() -> str:
    """The one command that brings a fast BLAS to this machine."""
    if platform.machine() == "x86_64":
        return 'pip install "ringfence-mlx[cpu]"'
    return "apt-get install libopenblas0-pthread"


def _working() -> Iterator[Blas]:
    for name, library in _candidates():
        extra = _MKL_ENVIRONMENT if name == "mkl" else {}
        environment = {"LD_PRELOAD": str(library), **extra}
        proof = _probe(environment)
        # INVARIANT: a library is named only if the symbol was found in it, or in the library behind it.
        if proof is not None and proof["right"] and _is_same(name, library, Path(str(proof["library"]))):
            version = proof["version"]
            yield Blas(name=name, version=str(version) if version else None, library=library, environment=environment)


def _is_same(name: str, library: Path, found: Path) -> bool:
    return found.resolve() == library.resolve() or name in found.resolve().name


def _probe(environment: Mapping[str, str]) -> dict[str, Any] | None:
    command = [sys.executable, "-I", "-S", str(_PROBE)]
    try:
        answer = subprocess.run(  # noqa: S603 - this file's neighbour, with a library of this machine
            command,
            capture_output=True,
            text=True,
            timeout=_PROBE_LIMIT_S,
            check=False,
            env=dict(os.environ) | dict(environment),
        )
        proof: Any = json.loads(answer.stdout) if answer.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return proof


def _candidates() -> Iterator[tuple[BlasName, Path]]:
    """Libraries that may be here, the fastest kind first, each file once."""
    seen: set[Path] = set()
    for name, patterns in (("mkl", _mkl_patterns()), ("openblas", _openblas_patterns())):
        for folder, pattern in patterns:
            for library in sorted(folder.glob(pattern), reverse=True):
                if library.is_file() and library.resolve() not in seen:
                    seen.add(library.resolve())
                    yield ("mkl" if name == "mkl" else "openblas"), library


def _mkl_patterns() -> Iterator[tuple[Path, str]]:
    if platform.machine() != "x86_64":
        return
    yield Path(sys.prefix) / "lib", "libmkl_rt.so*"
    yield Path("/opt/intel/oneapi/mkl/latest/lib"), "libmkl_rt.so*"
    yield Path(f"/usr/lib/{_triplet()}"), "libmkl_rt.so*"


def _openblas_patterns() -> Iterator[tuple[Path, str]]:
    system = Path(f"/usr/lib/{_triplet()}")
    yield system / "openblas-pthread", "libopenblas.so.*"
    yield system / "openblas-openmp", "libopenblas.so.*"
    yield system, "libopenblas.so.*"
    yield Path("/usr/lib64"), "libopenblasp.so.*"
    yield Path("/usr/lib64"), "libopenblas.so.*"
    yield Path("/usr/lib"), "libopenblas.so*"
    yield Path(sys.prefix) / "lib", "libopenblas.so.*"


def _triplet() -> str:
    return f"{platform.machine()}-linux-gnu"


__all__ = ["Blas", "BlasName", "best_blas", "blas_finding", "faster_command", "worker_environment"]
