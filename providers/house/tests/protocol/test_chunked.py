"""What must hold of sealed chunks, whatever the network does to them: all of it, or an error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from providers.house.tests.protocol.support import (
    CONFIG,
    PIECES,
    cut,
    exchange,
    keyless_opener,
    pour,
    poured,
    request_opener,
)

from ringfence_house.protocol.chunked import RequestOpener, RequestSealer
from ringfence_house.protocol.faults import KeyUnknown, ProtocolFault, TooLong, Truncated
from ringfence_house.protocol.hpke import generate
from ringfence_house.protocol.incremental import Incremental, varint
from ringfence_house.protocol.keyconfig import make_key_config
from ringfence_house.protocol.names import MAX_CHUNK_BYTES

ONE = exchange()
OTHER = exchange()
TEXT = b"".join(PIECES)
Side: TypeAlias = tuple[tuple[bytes, ...], Callable[[], Incremental[bytes]]]
SIDES: dict[str, Side] = {"request": (ONE.request, request_opener), "answer": (ONE.answer, ONE.answer_opener)}
CHUNKS = range(1, len(ONE.answer))


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest) -> Side:
    return SIDES[request.param]


def refused(side: Side, *wire: bytes) -> ProtocolFault:
    """The fault; what came out before is the beginning of what was sealed, and not all of it as a whole answer."""
    out, fault = poured(side[1](), wire)
    assert fault is not None
    assert TEXT.startswith(b"".join(out))
    return fault


# -- what was sealed comes out


@given(pieces=st.lists(st.binary(max_size=200), min_size=2, max_size=8), places=st.lists(st.integers(0, 2000)))
def test_what_was_sealed_opens_however_the_bytes_are_cut(pieces: list[bytes], places: list[int]) -> None:
    sealer = RequestSealer(CONFIG)
    wire = b"".join([*map(sealer.seal, pieces[:-1]), sealer.finish(pieces[-1])])
    opener = request_opener()
    assert pour(opener, cut(wire, *places)) == b"".join(pieces)
    answer = opener.sealer()
    wire = b"".join([*map(answer.seal, pieces[:-1]), answer.finish(pieces[-1])])
    assert pour(sealer.opener(), cut(wire, *places)) == b"".join(pieces)


def test_each_byte_may_come_alone(side: Side) -> None:
    wire = b"".join(side[0])
    assert pour(side[1](), cut(wire, *range(len(wire)))) == TEXT


def test_a_chunk_is_given_as_soon_as_its_last_byte_has_come() -> None:
    opener = ONE.answer_opener()
    prefix, first, *_ = ONE.answer
    assert opener.feed(prefix + first[:-1]) == []
    assert opener.feed(first[-1:]) == [PIECES[0]]


@pytest.mark.parametrize("size", [0, 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 3 * MAX_CHUNK_BYTES])
@pytest.mark.parametrize("last", [False, True], ids=["sealed", "finished with"])
def test_chunks_hold_at_most_16384_bytes(size: int, last: bool) -> None:
    data = bytes(size)
    sealer = RequestSealer(CONFIG)
    wire = sealer.finish(data) if last else sealer.seal(data) + sealer.finish()
    opener = request_opener()
    pieces = [*opener.feed(wire), *opener.end()]
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= MAX_CHUNK_BYTES for piece in pieces)


def test_the_answer_is_finished_only_when_the_bytes_have_ended() -> None:
    opener = ONE.answer_opener()
    opener.feed(b"".join(ONE.answer))
    assert not opener.finished
    opener.end()
    assert opener.finished


def test_the_name_of_the_request_is_known_once_its_header_was_read() -> None:
    opener = request_opener()
    opener.feed(ONE.request[0][:-1])
    assert (opener.key_id, opener.enc) == (None, None)
    opener.feed(ONE.request[0][-1:])
    assert (opener.key_id, opener.enc) == (7, ONE.sealer.enc)


def test_of_several_live_keys_the_one_with_the_number_opens() -> None:
    older, newer = generate(), generate()
    find = {1: older, 2: newer}.get
    for key_id, key in ((1, older), (2, newer)):
        sealer = RequestSealer(make_key_config(key_id, key.public))
        assert pour(RequestOpener(find), [sealer.finish(b"text")]) == b"text"


# -- what the network did to it does not


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(SIDES)), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error(name: str, place: int, bit: int) -> None:
    wire = bytearray(b"".join(SIDES[name][0]))
    wire[place % len(wire)] ^= 1 << bit
    refused(SIDES[name], bytes(wire))


@pytest.mark.parametrize("place", range(len(ONE.request[0])))
def test_no_byte_of_the_header_can_be_changed(place: int) -> None:
    wire = bytearray(b"".join(ONE.request))
    wire[place] ^= 0x40
    refused(SIDES["request"], bytes(wire))


def test_an_encapsulated_key_of_zeros_is_an_error() -> None:
    wire = b"".join(ONE.request)
    refused(SIDES["request"], wire[:7] + bytes(32) + wire[39:])


@pytest.mark.parametrize("places", [[], [3], [17, 40], [60]], ids=str)
def test_cut_at_any_byte_is_an_error(side: Side, places: list[int]) -> None:
    wire = b"".join(side[0])
    for end in range(len(wire)):
        refused(side, *cut(wire[:end], *places))


@pytest.mark.parametrize("end", range(len(ONE.answer)))
def test_cut_after_any_chunk_is_a_cut(side: Side, end: int) -> None:
    assert isinstance(refused(side, *side[0][:end]), Truncated)


def test_a_cut_within_an_empty_final_chunk_is_a_cut() -> None:
    sealer = ONE.opener.sealer()
    wire = sealer.seal(TEXT) + sealer.finish()
    for end in range(1, 18):
        assert isinstance(refused(SIDES["answer"], wire[:-end]), Truncated)


@pytest.mark.parametrize("number", CHUNKS)
def test_a_chunk_dropped_is_an_error(side: Side, number: int) -> None:
    refused(side, *side[0][:number], *side[0][number + 1 :])


@pytest.mark.parametrize("number", CHUNKS)
def test_a_chunk_doubled_is_an_error(side: Side, number: int) -> None:
    refused(side, *side[0][: number + 1], *side[0][number:])


@pytest.mark.parametrize(("first", "second"), list(combinations(CHUNKS, 2)))
def test_chunks_swapped_are_an_error(side: Side, first: int, second: int) -> None:
    wire = list(side[0])
    wire[first], wire[second] = wire[second], wire[first]
    refused(side, *wire)


@pytest.mark.parametrize("number", CHUNKS[:-1])
def test_a_chunk_made_the_last_is_an_error(side: Side, number: int) -> None:
    chunk = side[0][number]
    assert chunk[0] < 64  # its length is one byte
    refused(side, *side[0][:number], b"\0" + chunk[1:])


def test_the_final_chunk_made_one_of_many_is_an_error(side: Side) -> None:
    *before, final = side[0]
    refused(side, *before, varint(len(final) - 1) + final[1:], final)


@pytest.mark.parametrize(
    "extra",
    [b"\0", b"x", ONE.answer[-1], b"".join(ONE.answer), bytes(40_000)],
    ids=["a zero", "a byte", "its last chunk", "all of it", "40,000 zeros"],
)
def test_bytes_after_the_final_chunk_are_an_error(side: Side, extra: bytes) -> None:
    refused(side, *side[0], extra)


@pytest.mark.parametrize("number", CHUNKS)
@pytest.mark.parametrize(
    "other",
    [OTHER.answer, ONE.another_answer(), ONE.request],
    ids=["another exchange", "another answer to it", "the request"],
)
def test_a_tail_of_something_else_is_an_error(number: int, other: tuple[bytes, ...]) -> None:
    refused(SIDES["answer"], *ONE.answer[:number], *other[number:])


def test_the_answer_to_another_request_is_an_error() -> None:
    refused(SIDES["answer"], *OTHER.answer)


def test_a_second_answer_after_the_first_is_an_error() -> None:
    refused(SIDES["answer"], *ONE.answer, *ONE.another_answer())


def test_a_second_answer_does_not_go_on_where_the_first_was_cut() -> None:
    second = ONE.another_answer()
    refused(SIDES["answer"], *ONE.answer[:2], *second)
    opener = ONE.answer_opener()
    assert pour(opener, ONE.answer) == TEXT
    with pytest.raises(ProtocolFault):
        opener.feed(b"".join(second))
    with pytest.raises(ProtocolFault):
        opener.end()


def test_the_own_request_sent_back_is_an_error() -> None:
    refused(SIDES["answer"], *ONE.request)


# -- keys


def test_a_key_that_is_not_here_is_said_so_before_anything_is_opened() -> None:
    opener = keyless_opener()
    with pytest.raises(KeyUnknown):
        opener.feed(ONE.request[0])
    assert opener.enc is None


@pytest.mark.parametrize("place", range(7))
def test_another_number_or_suite_is_a_key_that_is_not_here(place: int) -> None:
    header = bytearray(ONE.request[0])
    header[place] ^= 1
    with pytest.raises(KeyUnknown):
        request_opener().feed(bytes(header))


def test_another_key_with_the_same_number_is_a_key_that_is_not_here() -> None:
    opener = RequestOpener({7: generate()}.get)
    with pytest.raises(KeyUnknown):
        opener.feed(b"".join(ONE.request[:2]))


def test_once_a_chunk_has_opened_it_is_not_the_key() -> None:
    opener = request_opener()
    opener.feed(b"".join(ONE.request[:2]))
    with pytest.raises(ProtocolFault) as caught:
        opener.feed(ONE.request[1])
    assert not isinstance(caught.value, KeyUnknown)


def test_there_is_no_answer_before_a_chunk_has_opened() -> None:
    opener = request_opener()
    opener.feed(ONE.request[0])
    with pytest.raises(RuntimeError, match="nothing of the request"):
        opener.sealer()


# -- limits, and one spelling


@pytest.mark.parametrize("length", [MAX_CHUNK_BYTES + 17, 2**30 - 1, 2**62 - 1])
def test_a_length_over_the_limit_is_refused_before_its_bytes_come(side: Side, length: int) -> None:
    with pytest.raises(TooLong):
        side[1]().feed(side[0][0] + varint(length))


def test_a_final_chunk_without_end_is_refused(side: Side) -> None:
    with pytest.raises(TooLong):
        side[1]().feed(side[0][0] + b"\0" + bytes(MAX_CHUNK_BYTES + 17))


@pytest.mark.parametrize("length", ["4010", "8000001c", "c00000000000001c", "4000", "80000000"])
def test_a_length_has_one_spelling(side: Side, length: str) -> None:
    with pytest.raises(ProtocolFault, match="shortest form"):
        side[1]().feed(side[0][0] + bytes.fromhex(length))


@pytest.mark.parametrize("length", range(1, 17))
def test_a_chunk_that_holds_nothing_is_refused(side: Side, length: int) -> None:
    with pytest.raises(ProtocolFault, match="holds nothing"):
        side[1]().feed(side[0][0] + varint(length))


def test_nothing_is_sealed_after_the_final_chunk() -> None:
    sealer = RequestSealer(CONFIG)
    sealer.finish(b"text")
    with pytest.raises(RuntimeError):
        sealer.seal(b"more")
    with pytest.raises(RuntimeError):
        sealer.finish()


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (63, "3f"), (64, "4040"), (16383, "7fff"), (16384, "80004000"), (2**62 - 1, "ffffffffffffffff")],
)
def test_lengths_are_written_in_the_shortest_form(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


def test_what_has_no_encoding_is_not_written() -> None:
    with pytest.raises(ValueError, match="no encoding"):
        varint(2**62)


def test_the_prefix_of_every_message_is_fresh() -> None:
    heads: set[bytes] = set()
    for each in (ONE, OTHER):
        heads |= {each.request[0], each.answer[0], each.another_answer()[0]}
    assert len(heads) == 6


def test_a_request_in_crumbs_is_refused_long_before_its_end() -> None:
    sealer = RequestSealer(CONFIG)
    opener, fed = request_opener(), 0
    with pytest.raises(TooLong):  # noqa: PT012  (how far it came counts)
        for _ in range(4 * 2**20):
            opener.feed(sealer.seal(b"x"))
            fed += 1
    assert fed == 64


def test_a_request_in_chunks_of_some_size_may_be_long() -> None:
    sealer, opener = RequestSealer(CONFIG), request_opener()
    piece = bytes(4096)
    out = [len(opened) for _ in range(300) for opened in opener.feed(sealer.seal(piece))]
    assert sum(out) == 300 * 4096
