"""Frames survive any cut of the stream; what is no frame is refused within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_mlx.wire import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, pack

FRAMES = st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none(), max_size=4), max_size=5)


@given(FRAMES, st.integers(1, 9))
def test_frames_come_back_whatever_the_cut(frames: list[Frame], step: int) -> None:
    data = b"".join(map(pack, frames))
    decoder = FrameDecoder()
    found = [frame for start in range(0, len(data), step) for frame in decoder.feed(data[start : start + step])]
    assert found == frames


def test_half_a_surrogate_pair_survives() -> None:
    assert list(FrameDecoder().feed(pack({"text": "\ud800"}))) == [{"text": "\ud800"}]


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", b"\0\0\0\2{]", b"\0\0\0\2[]", b"\0\0\0\1\xff", b"\0\1\x86\xa0" + b"[" * 100_000],
    ids=["huge length", "not JSON", "not an object", "not UTF-8", "nested too deep"],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        list(FrameDecoder().feed(data))


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError):
        pack({"text": "x" * MAX_FRAME_BYTES})


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_cannot_hold_is_not_sent(value: object) -> None:
    with pytest.raises(FrameError):
        pack({"value": value})


def test_an_error_shows_nothing_of_the_frame() -> None:
    with pytest.raises(FrameError) as caught:
        list(FrameDecoder().feed(b"\0\0\0\7secret!"))
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
