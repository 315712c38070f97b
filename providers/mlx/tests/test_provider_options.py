"""Options are honoured or refused, never ignored."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from ringfence.errors import InvalidRequest
from ringfence_mlx.options import Options


def test_known_options_are_taken() -> None:
    options = Options.parse({"memory_bytes": 1 << 30, "idle_unload_s": 5, "adapters": {"rewrite": "/a"}})
    assert (options.memory_bytes, options.idle_unload_s, options.adapters) == (1 << 30, 5, {"rewrite": "/a"})


def test_a_mistyped_option_names_the_near_one() -> None:
    with pytest.raises(InvalidRequest, match="did you mean 'memory_bytes'"):
        Options.parse({"memory_byte": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_bytes", "8GB"),
        ("memory_bytes", True),
        ("memory_bytes", 1),
        ("idle_unload_s", -1),
        ("idle_unload_s", float("nan")),
        ("batch", 0),
        ("batch", 2.5),
        ("adapters", ["a"]),
        ("adapters", {"rewrite": 1}),
        ("hang_timeout_s", None),
    ],
)
def test_an_ill_typed_option_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Options.parse({name: value})


def test_all_faults_are_named() -> None:
    with pytest.raises(InvalidRequest, match=r"(?s)speed.*batch"):
        Options.parse({"speed": 1, "batch": 0})


def test_the_readme_names_every_option() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert [option.name for option in fields(Options) if f"| `{option.name}` |" not in readme] == []
