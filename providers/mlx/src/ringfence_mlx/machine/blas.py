"""The BLAS that MLX computes with on a Linux CPU, and the environment that gives it the best one there is.

The Linux build of MLX links the reference BLAS. A library preloaded into the worker process takes its place, and makes
the first word come up to 17 times sooner. A candidate counts only if a child process that preloads it has shown that
`cblas_sgemm` comes from it and multiplies rightly. On macOS MLX computes with Metal and Accelerate: nothing to do.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, cast

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


def best_blas(cache_dir: Path | None = None) -> Blas:
    """The fastest BLAS here, proved in a child process. Blocking: up to a second.

    With a `cache_dir` the proof of a library is kept there, and asked for again only when its file changes; finding
    the best one then takes about a millisecond.
    """
    if sys.platform == "darwin":
        return Blas(name="metal")
    proofs = _Proofs(None if cache_dir is None else cache_dir / "blas.json")
    return next(_working(proofs), Blas(name="reference"))


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


def _working(proofs: _Proofs) -> Iterator[Blas]:
    for name, library in _candidates():
        extra = _MKL_ENVIRONMENT if name == "mkl" else {}
        environment = {"LD_PRELOAD": str(library), **extra}
        proof = proofs.of(library, environment)
        # INVARIANT: a library is named only if the symbol was found in it, or in the library behind it.
        if proof.right and _is_same(name, library, Path(proof.library)):
            yield Blas(name=name, version=proof.version, library=library, environment=environment)


def _is_same(name: str, library: Path, found: Path) -> bool:
    return found.resolve() == library.resolve() or name in found.resolve().name


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the child found: the file that `cblas_sgemm` came from, and whether the product was right."""

    library: str = ""
    right: bool = False
    version: str | None = None


class _Proofs:
    """Proofs by library, kept in a file where there is one. A file that cannot be read or written is done without."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def of(self, library: Path, environment: Mapping[str, str]) -> Proof:
        """The proof of `library` as it is now."""
        status = library.stat()
        key = f"{library} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        kept = self._kept()
        found = _as_proof(kept.get(key))
        if found is None:
            found = _probe(environment)
            if found.right:  # a failure may pass, such as a time limit on a busy machine
                self._keep(kept | {key: asdict(found)})
        return found

    def _kept(self) -> dict[str, object]:
        try:
            document: object = {} if self._path is None else json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast("dict[str, object]", document) if isinstance(document, dict) else {}

    def _keep(self, proofs: Mapping[str, object]) -> None:
        if self._path is None:
            return
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(proofs), encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)


def _as_proof(document: object) -> Proof | None:
    match document:
        case {"library": str(library), "right": bool(right), "version": str() | None as version}:
            return Proof(library=library, right=right, version=version)
        case _:
            return None


def _probe(environment: Mapping[str, str]) -> Proof:
    """Asks a child process; a child that fails or hangs proves nothing."""
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
        return _as_proof(json.loads(answer.stdout)) or Proof()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return Proof()


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


__all__ = ["Blas", "BlasName", "Proof", "best_blas", "blas_finding", "faster_command", "worker_environment"]
