"""Whatever is changed in an audit log shows, and what a dying writer leaves is told from it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.privacy.audit import AuditLog, Verification
from ringfence.privacy.audit.files import HEAD_BYTES, HEAD_FILE, KEY_FILE, RECORDS_FILE
from ringfence.receipt import Receipt

COUNT = 6
LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def lines(log: AuditLog, folder: Path, receipt: Receipt) -> list[bytes]:
    for _ in range(COUNT):
        log.append(receipt)
    return (folder / RECORDS_FILE).read_bytes().splitlines(keepends=True)


def _put(folder: Path, content: bytes) -> Verification:
    (folder / RECORDS_FILE).write_bytes(content)
    return AuditLog(folder).verify()


def _found_also_after_one_more(folder: Path, content: bytes, receipt: Receipt) -> Verification:
    """The check now; and the same verdict after the log went on, so that going on hides nothing."""
    head = (folder / HEAD_FILE).read_bytes()
    found = _put(folder, content)
    AuditLog(folder).append(receipt)
    assert AuditLog(folder).verify().ok is found.ok
    (folder / HEAD_FILE).write_bytes(head)
    return found


@LAW
@given(data=st.data())
def test_any_change_of_any_byte_is_found(
    data: st.DataObject, folder: Path, lines: list[bytes], receipt: Receipt
) -> None:
    content = bytearray(b"".join(lines))
    place = data.draw(st.integers(0, len(content) - 2))  # the last newline is the next test's
    content[place] ^= data.draw(st.integers(1, 255))
    assert not _found_also_after_one_more(folder, bytes(content), receipt).ok


@LAW
@given(first=st.integers(0, COUNT - 1), count=st.integers(1, COUNT))
def test_any_removal_is_found(first: int, count: int, folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    left = lines[:first] + lines[first + count :]
    found = _found_also_after_one_more(folder, b"".join(left), receipt)
    assert not found.ok
    assert found.problems[0].record == first + 1
    assert "missing" in found.problems[0].detail


@LAW
@given(order=st.permutations(range(COUNT)).filter(lambda order: order != list(range(COUNT))))
def test_any_other_order_is_found(order: list[int], folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    assert not _found_also_after_one_more(folder, b"".join(lines[place] for place in order), receipt).ok


@LAW
@given(place=st.integers(0, COUNT), again=st.integers(0, COUNT - 1))
def test_any_record_put_in_again_is_found(
    place: int, again: int, folder: Path, lines: list[bytes], receipt: Receipt
) -> None:
    wider = [*lines[:place], lines[again], *lines[place:]]
    assert not _found_also_after_one_more(folder, b"".join(wider), receipt).ok


@LAW
@given(data=st.data())
def test_any_cut_within_a_record_is_found_or_loses_no_record(
    data: st.DataObject, folder: Path, lines: list[bytes], receipt: Receipt
) -> None:
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content) - 1))
    found = _found_also_after_one_more(folder, content[:cut], receipt)
    assert found.ok is (cut == len(content) - 1), "only the newline may be missing: the record is whole"


@pytest.mark.parametrize("place", range(COUNT + 1))
def test_a_record_of_another_log_is_found(
    place: int, folder: Path, lines: list[bytes], tmp_path: Path, receipt: Receipt
) -> None:
    other = AuditLog(tmp_path / "other")
    for _ in range(place + 1):
        other.append(receipt)
    foreign = (tmp_path / "other" / RECORDS_FILE).read_bytes().splitlines(keepends=True)[place]
    wider = [*lines[:place], foreign, *lines[place:]]
    found = _found_also_after_one_more(folder, b"".join(wider), receipt)
    assert not found.ok
    assert found.problems[0].line == place + 1


def test_a_log_that_was_emptied_is_found(folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    found = _found_also_after_one_more(folder, b"", receipt)
    assert [str(problem) for problem in found.problems] == [
        f"record 1: missing or changed, at the end, up to record {COUNT}"
    ]
    assert len(lines) == COUNT


def test_a_log_file_that_was_removed_is_found(
    folder: Path, lines: list[bytes], log: AuditLog, receipt: Receipt
) -> None:
    (folder / RECORDS_FILE).unlink()
    log.append(receipt)
    found = log.verify()
    assert not found.ok
    assert found.problems[0].record == 1
    assert next(log.records()).sequence == len(lines) + 1


def _lower_count(head: bytes) -> bytes:
    return head.replace(b'"count":6', b'"count":5')


def _no_object(_head: bytes) -> bytes:
    return b"null".ljust(HEAD_BYTES)


def _half(head: bytes) -> bytes:
    return head[: HEAD_BYTES // 2]


def _nothing(_head: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("tamper", [_lower_count, _no_object, _half, _nothing])
def test_a_changed_head_is_found(tamper: Callable[[bytes], bytes], folder: Path, lines: list[bytes]) -> None:
    head = folder / HEAD_FILE
    head.write_bytes(tamper(head.read_bytes()))
    found = _put(folder, b"".join(lines))
    assert [str(problem) for problem in found.problems] == [
        "the head is lost, or the key did not make it: a cut tail would not show"
    ]


def test_an_old_head_put_back_is_found(folder: Path, log: AuditLog, lines: list[bytes], receipt: Receipt) -> None:
    old = (folder / HEAD_FILE).read_bytes()
    log.append(receipt)
    log.append(receipt)
    log.close()
    (folder / HEAD_FILE).write_bytes(old)
    assert [str(problem) for problem in AuditLog(folder).verify().problems] == [
        "the head is of record 6: it was put back"
    ]
    assert len(lines) == COUNT


def test_a_folder_put_back_whole_is_found_by_a_kept_head(
    folder: Path, log: AuditLog, lines: list[bytes], receipt: Receipt
) -> None:
    old = {path: path.read_bytes() for path in folder.iterdir()}
    assert len(lines) == COUNT
    log.append(receipt)
    kept = log.verify().head
    assert log.verify(head=kept).ok
    log.append(receipt)
    assert log.verify(head=kept.upper()).ok
    for path, content in old.items():
        path.write_bytes(content)
    assert AuditLog(folder).verify().ok, "nothing in the folder can show it"
    found = AuditLog(folder).verify(head=kept)
    assert ["head that was kept" in problem.detail for problem in found.problems] == [True]


def test_a_chain_forged_under_another_key_is_found(
    folder: Path, lines: list[bytes], tmp_path: Path, receipt: Receipt
) -> None:
    forged = AuditLog(tmp_path / "forged")
    for _ in lines:
        forged.append(receipt)
    for name in (RECORDS_FILE, HEAD_FILE):
        (folder / name).write_bytes((tmp_path / "forged" / name).read_bytes())
    assert not AuditLog(folder).verify().ok
    assert (folder / KEY_FILE).exists()


def _forked(folder: Path, other: Path, receipt: Receipt) -> None:
    """Goes on with the log and with a copy of it, key included, so that both have other records from there."""
    shutil.copytree(folder, other)
    for place in (folder, other):
        log = AuditLog(place)
        log.append(replace(receipt, id=place.name))
        log.append(receipt)


def test_a_record_of_a_copy_that_went_on_is_found(
    folder: Path, lines: list[bytes], tmp_path: Path, receipt: Receipt
) -> None:
    _forked(folder, tmp_path / "copy", receipt)
    ours, theirs = (
        (place / RECORDS_FILE).read_bytes().splitlines(keepends=True) for place in (folder, tmp_path / "copy")
    )
    found = _put(folder, b"".join([*lines, theirs[COUNT], ours[COUNT + 1]]))
    assert [str(problem) for problem in found.problems] == [f"record {COUNT + 2}: does not follow record {COUNT + 1}"]


def test_the_head_of_a_copy_that_went_on_is_found(
    folder: Path, lines: list[bytes], tmp_path: Path, receipt: Receipt
) -> None:
    _forked(folder, tmp_path / "copy", receipt)
    (folder / HEAD_FILE).write_bytes((tmp_path / "copy" / HEAD_FILE).read_bytes())
    found = AuditLog(folder).verify()
    assert [str(problem) for problem in found.problems] == [
        f"record {len(lines) + 2}: is not the one that the head was made for"
    ]


# ---------------------------------------------------------------- what a dying writer leaves


@pytest.mark.parametrize("torn", [1, 40, 400, -76, -2])
def test_a_torn_line_is_noted_sealed_and_loses_nothing(
    torn: int, folder: Path, lines: list[bytes], receipt: Receipt
) -> None:
    """The head is one behind at most, so the writer died in the middle of the line after it."""
    following = _next_line(folder, receipt)
    torn_log = b"".join(lines) + following[:torn]
    before = _put(folder, torn_log)
    assert (before.ok, before.count) == (True, COUNT)
    assert before.notes == ("a write was interrupted after the last record; the next record will seal it",)
    log = AuditLog(folder)
    log.append(receipt)
    log.append(receipt)
    after = log.verify()
    assert (after.ok, after.count) == (True, COUNT + 2)
    assert after.notes == (f"a write was interrupted before record {COUNT + 1}; no whole record was lost",)
    assert (folder / RECORDS_FILE).read_bytes().startswith(torn_log), "nothing that was written is taken away"


def test_a_line_torn_twice_is_sealed_once(folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    following = _next_line(folder, receipt)
    _put(folder, b"".join(lines) + following[:50] + b"\n" + following[:60])
    log = AuditLog(folder)
    log.append(receipt)
    found = log.verify()
    assert (found.ok, found.count, len(found.notes)) == (True, COUNT + 1, 1)


def test_what_a_seal_covers_cannot_be_changed_or_removed(folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    torn = _next_line(folder, receipt)[:50]
    _put(folder, b"".join(lines) + torn)
    AuditLog(folder).append(receipt)
    sealed = (folder / RECORDS_FILE).read_bytes()
    for tampered in (
        sealed.replace(torn + b"\n", b""),
        sealed.replace(torn, torn[:-1]),
        sealed.replace(torn, torn + b"x"),
    ):
        assert not _put(folder, tampered).ok


def test_a_whole_record_without_its_newline_is_kept(folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    following = _next_line(folder, receipt)
    found = _put(folder, b"".join(lines) + following[:-1])
    assert (found.ok, found.count) == (True, COUNT + 1)
    log = AuditLog(folder)
    log.append(receipt)
    assert (log.verify().ok, log.verify().count, log.verify().notes) == (True, COUNT + 2, ())


def test_a_head_that_is_one_behind_is_noted_and_mended(folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    following = _next_line(folder, receipt)
    found = _put(folder, b"".join(lines) + following)
    assert (found.ok, found.count) == (True, COUNT + 1)
    assert found.notes == ("the writer ended before it wrote the head; the next record will",)
    log = AuditLog(folder)
    log.append(receipt)
    assert (log.verify().ok, log.verify().count, log.verify().notes) == (True, COUNT + 2, ())


def test_the_end_is_found_behind_much_that_is_torn(folder: Path, lines: list[bytes], receipt: Receipt) -> None:
    noise = bytes(random.Random(7).choices(b"abc{", k=300_000))
    _put(folder, b"".join(lines) + noise)
    log = AuditLog(folder)
    log.append(receipt)
    assert (log.verify().ok, log.verify().count) == (True, COUNT + 1)


def _next_line(folder: Path, receipt: Receipt) -> bytes:
    """The line that the next append would write; head and records are as before."""
    before = {name: (folder / name).read_bytes() for name in (RECORDS_FILE, HEAD_FILE)}
    AuditLog(folder).append(receipt)
    following = (folder / RECORDS_FILE).read_bytes()[len(before[RECORDS_FILE]) :]
    for name, content in before.items():
        (folder / name).write_bytes(content)
    return following
