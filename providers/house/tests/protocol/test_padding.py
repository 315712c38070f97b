"""Events padded with comments: their lengths fall into few classes, and a reader sees the same events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_house.protocol.padding import pad_event


def event(size: int) -> bytes:
    return b"data: ".ljust(size - 2, b"x") + b"\n\n"


@given(size=st.integers(8, 5000))
def test_the_length_is_a_multiple_and_the_event_is_whole(size: int) -> None:
    padded = pad_event(event(size))
    assert len(padded) % (128 if len(padded) <= 1024 else 256) == 0
    assert padded.startswith(event(size))
    comment = padded[size:]
    assert comment == b"" or (comment[:1], comment[-1:], comment.count(b"\n")) == (b":", b"\n", 1)


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        (8, 128), (126, 128), (127, 256), (128, 128), (129, 256), (1022, 1024), (1023, 1280), (1024, 1024),
        (1025, 1280), (1278, 1280), (1279, 1536), (1280, 1280),
    ],
)  # fmt: skip
def test_the_classes_of_length(size: int, padded: int) -> None:
    assert len(pad_event(event(size))) == padded


def test_several_events_are_padded_as_one() -> None:
    assert pad_event(b"data: a\n\ndata: b\n\n") == b"data: a\n\ndata: b\n\n:" + b" " * 108 + b"\n"


@pytest.mark.parametrize("part", [b"", b"data: a", b"data: a\r"])
def test_part_of_a_line_is_refused(part: bytes) -> None:
    with pytest.raises(ValueError, match="whole events"):
        pad_event(part)
