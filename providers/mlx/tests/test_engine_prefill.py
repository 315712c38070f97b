"""A prefill step lasts about 200 ms, whatever the machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_mlx.worker.prefill import TARGET_S, PrefillSizer


@pytest.mark.parametrize("tokens_per_s", [100, 500, 5_000])
def test_the_step_settles_at_the_target(tokens_per_s: int) -> None:
    sizer = PrefillSizer()
    for _ in range(12):
        step = sizer.step_tokens(1)
        sizer.observe(step, step / tokens_per_s)
    assert sizer.step_tokens(1) / tokens_per_s == pytest.approx(TARGET_S, rel=0.1)


def test_sequences_share_the_step() -> None:
    assert PrefillSizer(128).step_tokens(4) == 32


def test_the_short_end_of_a_prompt_does_not_raise_the_step() -> None:
    sizer = PrefillSizer(128)
    sizer.observe(2, 0.0001)
    assert sizer.step_tokens(1) == 128


@given(st.lists(st.tuples(st.integers(0, 4096), st.floats(0, 100)), max_size=30), st.integers(1, 32))
def test_the_step_stays_in_bounds(measured: list[tuple[int, float]], sequences: int) -> None:
    sizer = PrefillSizer()
    for tokens, duration_s in measured:
        sizer.observe(tokens, duration_s)
    assert 8 <= sizer.step_tokens(sequences) <= 2048
