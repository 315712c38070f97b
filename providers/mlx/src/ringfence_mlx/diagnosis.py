"""What `ringfence doctor` says of this provider. Loads no model; blocking, up to a second or two."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ringfence.provider import Available, Finding, NotAvailable
from ringfence_mlx import sandbox
from ringfence_mlx.machine.blas import best_blas, blas_finding
from ringfence_mlx.machine.memory import available_bytes
from ringfence_mlx.models.catalog import EMBEDDED_MODEL
from ringfence_mlx.models.store import ModelStore
from ringfence_mlx.readiness import platform_fault

_PACKAGES = ("mlx", "mlx-lm", "llguidance")
_MIB = 1024 * 1024
_PROBE_LIMIT_S = 10.0


def diagnose(store: ModelStore, budget_bytes: int) -> Sequence[Finding]:
    """Packages, platform, BLAS, memory, the workers' confinement and the embedded model."""
    return (*_packages(), blas_finding(best_blas()), _memory(budget_bytes), _confinement(), _model(store))


def _packages() -> Iterator[Finding]:
    if (fault := platform_fault()) is not None:
        yield Finding(level="fault", subject="platform", detail=fault.detail, way_out=fault.way_out)
    for name in _PACKAGES:
        try:
            yield Finding(level="ok", subject=name, detail=version(name))
        except PackageNotFoundError:
            yield Finding(level="fault", subject=name, detail="is not installed", way_out="pip install ringfence-mlx")


def _memory(budget_bytes: int) -> Finding:
    free, budget = available_bytes() // _MIB, budget_bytes // _MIB
    return Finding(level="ok", subject="memory", detail=f"{free} MiB available, {budget} MiB allowed for models")


def _confinement() -> Finding:
    if probe_network() == "none":
        return Finding(level="ok", subject="workers", detail="run without a network")
    return Finding(
        level="warning",
        subject="workers",
        detail="this system does not let a worker give up its network; it opens no connection all the same",
        way_out="allow unprivileged user namespaces",
    )


def probe_network() -> sandbox.NetworkState:
    """What a worker started now would report, found out by a child that does nothing else."""
    command = [*sandbox.command_prefix(), sys.executable, "-I", "-S", str(Path(sandbox.__file__))]
    try:
        answer = subprocess.run(  # noqa: S603  (our own file)
            command, capture_output=True, text=True, timeout=_PROBE_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "open"
    return "none" if answer.stdout.strip() == "none" else "open"


def _model(store: ModelStore) -> Finding:
    state = store.availability(EMBEDDED_MODEL)
    match state:
        case Available():
            return Finding(level="ok", subject=EMBEDDED_MODEL, detail="is on this machine")
        case NotAvailable():
            return Finding(level="fault", subject=EMBEDDED_MODEL, detail=state.detail, way_out=state.way_out)
        case _:
            return Finding(
                level="warning",
                subject=EMBEDDED_MODEL,
                detail="is not on this machine yet",
                way_out=f"ringfence models pull {EMBEDDED_MODEL}",
            )


__all__ = ["diagnose", "probe_network"]
