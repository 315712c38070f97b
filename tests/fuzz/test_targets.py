"""What the fuzzer runs, run once on what it begins with. The fuzzing itself is a task of its own."""

from __future__ import annotations

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
