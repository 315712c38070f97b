"""Tokens become text, and text stops where it must, wherever the borders of tokens fall."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_mlx.worker.text import StopMatcher, TextDecoder

TEXTS = [
    "plain",
    "  two leading spaces",
    "naïve — 東京 🚲\N{ZERO WIDTH JOINER}",
    "a\0b",
    "\N{REPLACEMENT CHARACTER} kept",
]


def decode_bytes(tokens: Sequence[int]) -> str:
    """A tokenizer whose tokens are bytes: the hardest case for characters cut in two."""
    return bytes(tokens).decode("utf-8", errors="replace")


def decode_sentencepiece(tokens: Sequence[int]) -> str:
    """A tokenizer that drops the leading space of a sequence."""
    return decode_bytes(tokens).removeprefix(" ")


def streamed(tokens: Sequence[int], decode: object = decode_bytes) -> list[str]:
    decoder = TextDecoder(decode)  # type: ignore[arg-type]  # a parameter for the tables below
    return [*(decoder.push(token) for token in tokens), decoder.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_joined_are_the_whole_text(text: str) -> None:
    assert "".join(streamed(text.encode())) == text


@given(st.text(max_size=40))
def test_any_text_survives_byte_by_byte(text: str) -> None:
    assert "".join(streamed(text.encode())) == text


@given(st.text(max_size=40))
def test_a_dropped_leading_space_is_dropped_once(text: str) -> None:
    assert "".join(streamed(text.encode(), decode_sentencepiece)) == text.removeprefix(" ")


def test_a_character_comes_out_whole() -> None:
    assert streamed("é".encode()) == ["", "é", ""]


def test_a_character_without_an_end_comes_out_as_a_replacement() -> None:
    assert "".join(streamed(b"x" + "é".encode()[:1])) == "x\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("cut_bytes", [1, 2, 3])
def test_a_character_that_the_limit_cut_in_two_is_left_out(cut_bytes: int) -> None:
    decoder = TextDecoder(decode_bytes)
    pieces = [decoder.push(token) for token in "x🚲".encode()[: 1 + cut_bytes]]
    assert "".join([*pieces, decoder.finish(is_cut_off=True)]) == "x"


def test_broken_bytes_are_not_held_back_for_ever() -> None:
    assert any(streamed([0xFF] * 20)[:-1])


@pytest.mark.parametrize("pieces", [["one END two"], ["one E", "ND two"], ["one ", "E", "N", "D", " two"]])
def test_a_stop_sequence_ends_the_text_before_itself(pieces: list[str]) -> None:
    matcher = StopMatcher(["END"])
    found = [matcher.push(piece) for piece in pieces]
    stopped = [result.stopped for result in found]
    assert "".join(result.text for result in found[: stopped.index(True) + 1]) == "one "


def test_a_beginning_that_was_no_stop_sequence_is_delivered() -> None:
    matcher = StopMatcher(["END"])
    assert [matcher.push("xEN").text, matcher.push("C").text] == ["x", "ENC"]


def test_what_is_held_back_at_the_end_is_delivered() -> None:
    matcher = StopMatcher(["END"])
    assert (matcher.push("xEN").text, matcher.finish()) == ("x", "EN")


def test_the_first_of_several_stop_sequences_wins() -> None:
    found = StopMatcher(["two", "one"]).push("zero one two")
    assert (found.text, found.stopped) == ("zero ", True)


@given(st.text("ab", max_size=30), st.text("ab", min_size=1, max_size=4), st.data())
def test_cuts_do_not_change_what_is_delivered(text: str, stop: str, data: st.DataObject) -> None:
    matcher, delivered, rest = StopMatcher([stop]), "", text
    stopped = False
    while rest and not stopped:
        length = data.draw(st.integers(1, len(rest)))
        found = matcher.push(rest[:length])
        delivered, rest, stopped = delivered + found.text, rest[length:], found.stopped
    if not stopped:
        delivered += matcher.finish()
    assert delivered == text.split(stop, maxsplit=1)[0]
