"""What the fuzzer runs, run once on what it begins with. The fuzzing itself is a task of its own."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from tests.fuzz import __main__ as command
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_whole_cut_and_changed(name: str) -> None:
    target = TARGETS[name]()
    assert len(target.seeds) >= 2
    for seed in target.seeds:
        for data in (seed, seed[: len(seed) // 2], seed + b"x", bytes([seed[0] ^ 1]) + seed[1:]):
            target.run(data)


def test_without_the_fuzzer_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_nothing(name: str) -> None:
        assert name == "atheris"

    monkeypatch.setattr(command, "find_spec", find_nothing)
    assert command.main([]) == 2
    assert "pip install atheris" in capsys.readouterr().out


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("name", ["key-config", "evidence"])
def test_the_fuzzer_runs_a_target_in_a_process_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--runs", "100", "--only", name]) == 0
    assert "nothing found" in capsys.readouterr().out
