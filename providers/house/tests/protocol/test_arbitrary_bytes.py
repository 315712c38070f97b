"""Whatever bytes come, a parser gives parts or a ProtocolFault, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from providers.house.tests.protocol.support import cut, exchange, keyless_opener, poured, request_opener

from ringfence_house.protocol.bhttp import ResponseDecoder, decode_request, encode_request
from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.incremental import Incremental
from ringfence_house.protocol.keyconfig import parse_key_config

ONE = exchange()
BEGINNINGS = (
    b"",
    ONE.request[0],
    b"".join(ONE.request[:2]),
    ONE.answer[0],
    b"\1\x40\xc8",
    b"\3\x40\xc8",
    b"\3\x40\x66",
)
STREAMS: dict[str, Callable[[], Incremental[Any]]] = {
    "request": request_opener,
    "request without keys": keyless_opener,
    "answer": ONE.answer_opener,
    "answer within": ResponseDecoder,
}
REQUEST = encode_request("POST", "https", "a", "/", [(b"a", b"b")], b"content", 64)


@pytest.mark.parametrize("parser", STREAMS)
@given(beginning=st.sampled_from(BEGINNINGS), data=st.binary(max_size=400), places=st.lists(st.integers(0, 500)))
def test_a_stream_of_any_bytes_gives_parts_or_a_fault(
    parser: str, beginning: bytes, data: bytes, places: list[int]
) -> None:
    wire = beginning + data
    parts, fault = poured(STREAMS[parser](), cut(wire, *places))
    again, same = poured(STREAMS[parser](), [wire])
    assert type(same) is type(fault)
    assert sum(map(_size, parts)) <= len(wire)
    if fault is None:
        assert b"".join(filter(_is_bytes, parts)) == b"".join(filter(_is_bytes, again))


@pytest.mark.parametrize("parse", [decode_request, parse_key_config])
@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_value_or_a_fault(parse: Callable[[bytes], object], data: bytes) -> None:
    _value_or_fault(parse, data)
    _value_or_fault(parse, b"\2" + data)


@given(place=st.integers(0, len(REQUEST) - 1), byte=st.integers(0, 255))
def test_a_request_with_any_byte_changed_gives_a_value_or_a_fault(place: int, byte: int) -> None:
    _value_or_fault(decode_request, REQUEST[:place] + bytes([byte]) + REQUEST[place + 1 :])


def _value_or_fault(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        assert parse(data) is not None
    except ProtocolFault as fault:
        assert str(fault).islower()  # noqa: PT017  (a value is as good)


def _is_bytes(part: object) -> bool:
    return isinstance(part, bytes)


def _size(part: object) -> int:
    return len(part) if isinstance(part, bytes) else 0
