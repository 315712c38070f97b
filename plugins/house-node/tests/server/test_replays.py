"""What is remembered against replay: for the window, no longer, and never less for want of room."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_house_node.server.replay import NoRoom, Replays

WINDOW_S = 240.0


def test_a_request_is_new_once_within_the_window() -> None:
    replays = Replays()

    assert replays.first(b"a", now=0, window_s=WINDOW_S)
    assert not replays.first(b"a", now=WINDOW_S, window_s=WINDOW_S)
    assert replays.first(b"a", now=WINDOW_S + 1, window_s=WINDOW_S)


def test_what_has_no_room_is_refused_and_nothing_is_forgotten_for_it() -> None:
    replays = Replays(limit=2)
    for enc in (b"a", b"b"):
        assert replays.first(enc, now=0, window_s=WINDOW_S)

    with pytest.raises(NoRoom):
        replays.first(b"c", now=1, window_s=WINDOW_S)
    assert not replays.first(b"a", now=1, window_s=WINDOW_S)
    assert replays.first(b"c", now=WINDOW_S + 1, window_s=WINDOW_S)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100)), max_size=60))
def test_within_a_window_no_request_is_new_twice(steps: list[tuple[int, float]]) -> None:
    replays, now, accepted = Replays(limit=4), 0.0, dict[int, float]()
    for number, later_s in steps:
        now += later_s
        with suppress(NoRoom):
            if replays.first(bytes([number]), now=now, window_s=WINDOW_S):
                assert number not in accepted or now - accepted[number] > WINDOW_S
                accepted[number] = now
        assert len(replays) <= 4
