"""The reader of server-sent events, against the SDK's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from ringfence_openai.faults import Malformed
from ringfence_openai.sse import SseReader

_PIECES = st.sampled_from(
    [
        "data: {}",
        "data:x",
        "data:  two",
        "data",
        "data:",
        "event: e",
        "id: 1",
        "retry: 9",
        ": comment",
        "",
        "other: 1",
        "é",
    ]
)
_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def _ours(chunks: list[bytes]) -> list[bytes]:
    reader = SseReader()
    return [data for chunk in chunks for data in reader.feed(chunk)]


def _theirs(stream: bytes) -> list[bytes]:
    """What the SDK makes of it; events without data are of no use to either API."""
    return [event.data.encode() for event in SSEDecoder().iter_bytes(iter([stream])) if event.data]


@given(lines=st.lists(st.tuples(_PIECES, _ENDS), max_size=24), data=st.data())
def test_every_cut_gives_what_the_sdk_gives(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    stream = "".join(line + end for line, end in lines).encode() + b"\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert _ours(chunks) == _theirs(stream)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_one_byte_at_a_time_is_enough(end: str) -> None:
    stream = f"event: a{end}data: one{end}data: two{end}{end}data: three{end}{end}".encode()
    assert _ours([bytes([byte]) for byte in stream]) == [b"one\ntwo", b"three"]


def test_an_event_is_given_as_soon_as_it_is_complete() -> None:
    reader = SseReader()
    assert reader.feed(b"data: one\r\n\r") == [b"one"]
    assert reader.feed(b"\ndata: two\n\n") == [b"two"]


def test_an_event_that_the_stream_ends_inside_is_dropped() -> None:
    assert _ours([b"data: one\n\ndata: tw"]) == [b"one"]


def test_a_byte_order_mark_is_no_part_of_the_first_event() -> None:
    assert _ours([b"\xef\xbb", b"\xbfdata: one\n\n"]) == [b"one"]


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence_openai.sse._MOST_BYTES", 100)
    reader = SseReader()
    reader.feed(b"data: " + b"x" * 90)
    with pytest.raises(Malformed):
        reader.feed(b"x" * 90)
