"""Memory is admitted by arithmetic: what fits, what has to go first, and what never will."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence_mlx.admission import LEAST_TOKENS, WORKER_OVERHEAD_BYTES, Resident, admit, share_memory

SIZES = st.integers(0, 1000)


def resident(name: str, size: int, used: float, *, idle: bool = True) -> Resident:
    return Resident(name=name, admitted_bytes=size, last_used_s=used, idle=idle)


def test_what_fits_unloads_nothing() -> None:
    assert admit(10, 100, [resident("a", 90, 1.0)]).unload == ()


def test_the_longest_unused_goes_first() -> None:
    assert admit(50, 100, [resident("new", 50, 2.0), resident("old", 50, 1.0)]).unload == ("old",)


def test_a_busy_model_stays() -> None:
    admission = admit(60, 100, [resident("busy", 50, 1.0, idle=False)])
    assert (admission.unload, admission.short_bytes, admission.could_wait) == ((), 10, True)


def test_what_can_never_fit_cannot_wait() -> None:
    assert not admit(101, 100, []).could_wait


@given(SIZES, SIZES, st.lists(st.tuples(SIZES, st.floats(0, 10), st.booleans()), max_size=6))
def test_an_admitted_model_is_within_the_budget(
    needed: int, budget: int, given_residents: list[tuple[int, float, bool]]
) -> None:
    residents = [resident(str(i), size, used, idle=idle) for i, (size, used, idle) in enumerate(given_residents)]
    admission = admit(needed, budget, residents)
    kept = sum(one.admitted_bytes for one in residents if one.name not in admission.unload)
    assert admission.short_bytes > 0 or needed + kept <= budget


@given(st.integers(0, 4_000_000_000), st.integers(0, 4_000_000_000))
def test_a_share_is_within_the_budget_or_has_the_least_room(weights: int, budget: int) -> None:
    share = share_memory(
        weights_bytes=weights,
        kv_bytes_per_token=23_040,
        context_tokens=8192,
        prefix_cache_bytes=1 << 28,
        budget_bytes=budget,
    )
    least = weights + WORKER_OVERHEAD_BYTES + LEAST_TOKENS * 23_040
    assert share.total_bytes <= max(budget, least)
    assert share.kv_bytes >= LEAST_TOKENS * 23_040
