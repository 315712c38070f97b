"""The log against RFC 9162: known roots, and every proof for every size, right and wrong."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence_house.releases.log import Log, leaf_hash, verify_consistency, verify_inclusion

ENTRIES = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "60" * 16)]
LEAVES = [leaf_hash(b"%d" % number) for number in range(70)]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Log([]).root() == sha256(b"").digest()


def test_the_root_is_that_of_the_definition() -> None:
    """RFC 9162, 2.1.1, written out for five entries: ((0 1) (2 3)) 4."""

    def node(left: bytes, right: bytes) -> bytes:
        return sha256(b"\1" + left + right).digest()

    leaves = [sha256(b"\0" + entry).digest() for entry in ENTRIES[:5]]
    expected = node(node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3])), leaves[4])
    assert Log([leaf_hash(entry) for entry in ENTRIES[:5]]).root() == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 65])
def test_the_root_of_a_part_is_that_of_a_log_that_ends_there(size: int) -> None:
    assert Log(LEAVES).root(size) == Log(LEAVES[:size]).root()


@pytest.mark.parametrize("size", range(1, 20))
def test_every_entry_is_shown_to_be_in_the_log(size: int) -> None:
    log = Log(LEAVES[:size])
    for index in range(size):
        assert verify_inclusion(LEAVES[index], index, size, log.inclusion(index), log.root())


@pytest.mark.parametrize("size", range(1, 20))
def test_every_earlier_log_is_shown_to_be_the_beginning(size: int) -> None:
    log = Log(LEAVES[:size])
    for earlier in range(1, size):
        assert verify_consistency(earlier, size, log.root(earlier), log.root(), log.consistency(earlier))
    assert verify_consistency(size, size, log.root(), log.root(), ())


def spoilt(path: tuple[bytes, ...], draw: st.DrawFn) -> tuple[bytes, ...]:
    """The path with one step changed, taken out, put in or moved."""
    how = draw(st.sampled_from(["change", "add", "drop", "turn"]))
    at = draw(st.integers(0, max(0, len(path) - 1)))
    other = draw(st.binary(min_size=32, max_size=32))
    changes = {
        "change": (*path[:at], other, *path[at + 1 :]),
        "add": (*path[:at], other, *path[at:]),
        "drop": (*path[:at], *path[at + 1 :]),
        "turn": path[::-1],
    }
    return changes[how]


@settings(max_examples=150)
@given(st.data())
def test_a_spoilt_proof_shows_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 70))
    index = data.draw(st.integers(0, size - 1))
    earlier = data.draw(st.integers(1, size - 1))
    log = Log(LEAVES[:size])
    path = spoilt(log.inclusion(index), data.draw)  # type: ignore[arg-type]
    if path != log.inclusion(index):
        assert not verify_inclusion(LEAVES[index], index, size, path, log.root())
    joined = spoilt(log.consistency(earlier), data.draw)  # type: ignore[arg-type]
    if joined != log.consistency(earlier):
        assert not verify_consistency(earlier, size, log.root(earlier), log.root(), joined)


@settings(max_examples=100)
@given(st.integers(2, 70), st.integers(0, 69), st.integers(-2, 72))
def test_a_proof_is_of_one_place_alone(size: int, index: int, claimed: int) -> None:
    index %= size
    log = Log(LEAVES[:size])
    assert verify_inclusion(LEAVES[index], claimed, size, log.inclusion(index), log.root()) == (claimed == index)


@pytest.mark.parametrize("earlier", [1, 3, 4, 7])
def test_another_history_is_not_continued(earlier: int) -> None:
    other = [leaf_hash(b"other"), *LEAVES[1:8]]
    log = Log(LEAVES[:8])
    theirs = Log(other)
    assert not verify_consistency(earlier, 8, theirs.root(earlier), log.root(), log.consistency(earlier))
    assert not verify_consistency(earlier, 8, log.root(earlier), theirs.root(), theirs.consistency(earlier))
    assert not verify_consistency(8, 8, log.root(), theirs.root(), ())


@pytest.mark.parametrize("claimed", range(3, 13))
def test_a_proof_does_not_reach_a_longer_log_than_it_is_of(claimed: int) -> None:
    log = Log(LEAVES[:2])
    assert not verify_consistency(1, claimed, log.root(1), log.root(), log.consistency(1))


@pytest.mark.parametrize(("earlier", "size"), [(0, 3), (4, 3), (-1, 3), (2, 2)])
def test_sizes_that_do_not_follow_prove_nothing(earlier: int, size: int) -> None:
    assert not verify_consistency(earlier, size, LEAVES[0], LEAVES[1], (LEAVES[2],))
