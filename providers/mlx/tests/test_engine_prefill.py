"""A prefill step lasts about 200 ms while answers are written, and about half a second while none is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_mlx.worker.prefill import ALONE_S, TARGET_S, PrefillSizer

MEASURED = st.lists(st.tuples(st.booleans(), st.integers(0, 4096), st.floats(0, 100)), max_size=30)


def settled(fixed_s: float, token_s: float, *, writing: bool = True) -> tuple[PrefillSizer, float]:
    """A sizer that has seen a machine of these costs, and how long its step lasts there."""
    sizer = PrefillSizer()
    for _ in range(30):
        sizer.observe_decode(2, fixed_s + 2 * token_s)
        tokens = sizer.tokens(writing=writing)
        sizer.observe_prefill(tokens, fixed_s + tokens * token_s)
    return sizer, fixed_s + sizer.tokens(writing=writing) * token_s


@pytest.mark.parametrize(("fixed_s", "token_s"), [(0.055, 0.0047), (0.06, 0.01), (0.01, 0.001), (0.003, 0.0002)])
def test_the_step_settles_at_the_target(fixed_s: float, token_s: float) -> None:
    assert settled(fixed_s, token_s)[1] == pytest.approx(TARGET_S, rel=0.15)


@pytest.mark.parametrize("busy", [1, 1.5, 2])
def test_while_nothing_is_written_the_fixed_part_is_a_small_share_also_on_a_busy_machine(busy: float) -> None:
    _, duration_s = settled(0.06 * busy, 0.0036 * busy, writing=False)
    assert 0.9 * ALONE_S < duration_s < 2.1 * ALONE_S
    assert 0.06 * busy / duration_s < 0.18


def test_where_reading_the_weights_takes_the_time_a_step_still_does_some_work() -> None:
    sizer, duration_s = settled(fixed_s=0.3, token_s=0.005)
    assert sizer.tokens(writing=True) > 100
    assert duration_s < 3.1 * 0.3


def test_far_into_a_long_prompt_a_step_does_not_shrink_to_nothing() -> None:
    sizer, _ = settled(fixed_s=0.065, token_s=0.0035)
    for _ in range(20):
        tokens = sizer.tokens(writing=True)
        sizer.observe_prefill(tokens, 0.11 + tokens * 0.0105)
    assert TARGET_S < 0.11 + sizer.tokens(writing=True) * 0.0105 < 2.5 * TARGET_S
    assert sizer.tokens(writing=True) > 20


def test_a_slow_machine_takes_the_smallest_step_of_few_prompts() -> None:
    sizer, _ = settled(fixed_s=0.1, token_s=0.1)
    assert sizer.tokens(writing=True) == 8
    assert sizer.sequences(writing=True) == sizer.sequences(writing=False) == 4


def test_before_anything_is_measured_the_step_is_small() -> None:
    assert PrefillSizer().step_tokens(1, writing=False) == 8


def test_sequences_share_the_step() -> None:
    sizer, _ = settled(0.06, 0.0036, writing=False)
    assert sizer.sequences(writing=False) >= 8
    assert sizer.step_tokens(8, writing=False) == sizer.tokens(writing=False) // 8


def test_the_short_end_of_a_prompt_does_not_change_the_step() -> None:
    sizer, _ = settled(0.01, 0.001)
    before = sizer.tokens(writing=True)
    sizer.observe_prefill(2, 0.012)
    assert sizer.tokens(writing=True) == before


@given(MEASURED, st.integers(1, 32), st.booleans())
def test_the_step_stays_in_bounds(measured: list[tuple[bool, int, float]], sequences: int, writing: bool) -> None:
    sizer = PrefillSizer()
    for decode, count, duration_s in measured:
        (sizer.observe_decode if decode else sizer.observe_prefill)(count, duration_s)
    assert 1 <= sizer.step_tokens(sequences, writing=writing) <= 2048
    assert sizer.step_tokens(1, writing=writing) >= 8


def test_a_short_rest_of_a_prompt_goes_with_the_step_before_it() -> None:
    sizer, _ = settled(fixed_s=0.055, token_s=0.0047)
    step = sizer.step_tokens(1, writing=True)
    assert sizer.step_tokens(1, step + 1, writing=True) == step + 1
    assert sizer.step_tokens(1, 2 * step, writing=True) == step
    assert sizer.step_tokens(1, step - 1, writing=True) == step
