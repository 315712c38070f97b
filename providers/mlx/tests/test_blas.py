"""The BLAS found is the BLAS used: a candidate counts only if a child process computed with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence_mlx.machine import blas
from ringfence_mlx.machine.blas import Blas, Proof, best_blas, blas_finding, faster_command, worker_environment

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="macOS brings its own")
FAST = Blas(name="mkl", version="1.0", library=Path("/x.so"), environment={"LD_PRELOAD": "/x.so"})


@linux_only
def test_what_is_named_is_what_a_process_started_so_computes_with() -> None:
    found = best_blas()
    if not found.is_fast:
        pytest.skip(f"there is no fast BLAS here (try: {faster_command()})")
    probe = Path(blas.__file__).with_name("blas_probe.py")
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(probe)],
        capture_output=True,
        text=True,
        check=True,
        env=worker_environment(found, {}),
    )
    said = json.loads(answer.stdout)
    assert said["right"] is True
    assert found.name in Path(said["library"]).resolve().name


@linux_only
def test_without_a_library_there_is_only_the_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(blas, "_mkl_patterns", lambda: iter([(tmp_path, "*")]))
    monkeypatch.setattr(blas, "_openblas_patterns", lambda: iter([(tmp_path, "*")]))
    found = best_blas()
    assert (found.name, found.environment, found.is_fast) == ("reference", {}, False)


@linux_only
@pytest.mark.parametrize("content", [b"", b"not a library"])
def test_a_file_that_only_has_the_name_is_not_believed(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "libmkl_rt.so.3").write_bytes(content)
    monkeypatch.setattr(blas, "_mkl_patterns", lambda: iter([(tmp_path, "libmkl_rt.so*")]))
    monkeypatch.setattr(blas, "_openblas_patterns", lambda: iter([(tmp_path, "*")]))
    assert best_blas().name == "reference"


@linux_only
def test_a_proof_is_kept_until_the_library_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "libopenblas.so.0"
    library.write_bytes(b"one")
    asked: list[Path] = []

    def probe(environment: dict[str, str]) -> object:
        asked.append(Path(environment["LD_PRELOAD"]))
        return Proof(library=str(library), right=True, version="1.0")

    monkeypatch.setattr(blas, "_probe", probe)
    monkeypatch.setattr(blas, "_candidates", lambda: iter([("openblas", library)]))
    assert [best_blas(tmp_path / "cache").version for _ in range(2)] == ["1.0", "1.0"]
    assert len(asked) == 1
    library.write_bytes(b"another")
    best_blas(tmp_path / "cache")
    (tmp_path / "cache/blas.json").write_text("[")
    best_blas(tmp_path / "cache")
    assert len(asked) == 3


def test_a_preload_of_the_user_stays_behind_ours() -> None:
    environment = worker_environment(FAST, {"LD_PRELOAD": "/y.so", "A": "b"})
    assert environment == {"LD_PRELOAD": "/x.so:/y.so", "A": "b"}
    assert worker_environment(Blas(name="reference"), {"LD_PRELOAD": "/y.so"}) == {"LD_PRELOAD": "/y.so"}


def test_doctor_names_what_is_used_and_how_to_get_a_faster_one() -> None:
    assert blas_finding(FAST).detail == "mkl 1.0"
    slow = blas_finding(Blas(name="reference"))
    assert (slow.level, slow.way_out) == ("warning", faster_command())
    assert blas_finding(Blas(name="metal")).level == "ok"


def test_macos_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert best_blas() == Blas(name="metal")
