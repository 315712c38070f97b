"""Retention removes whole segments that are past their time, leaves a sealed checkpoint, and hides nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ringfence.errors import AuditError
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.audit import log as log_module
from ringfence.privacy.audit.files import HEAD_FILE, RECORDS_FILE, read_key
from ringfence.privacy.audit.segments import (
    CHECKPOINT_FILE,
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
    remove_expired,
    segment_s,
    segments,
)
from ringfence.receipt import Receipt

DAY_S = 86_400
KEEP_S = 30 * DAY_S
LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Clock:
    """The time that the log sees."""

    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(log_module, "time", made)
    return made


def _days(log: AuditLog, clock: Clock, receipt: Receipt, days: int, a_day: int = 3) -> None:
    for _ in range(days):
        for _ in range(a_day):
            log.append(receipt)
        clock.now_s += DAY_S


def test_a_log_without_a_limit_stays_one_file(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder)
    _days(log, clock, receipt, 500, a_day=1)
    assert not segments(folder)
    assert log.verify().count == 500


def test_records_within_their_time_are_kept_in_segments_of_a_day(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 5)
    assert len(segments(folder)) == 4
    found = log.verify()
    assert found.ok
    assert found.count == len(list(log.records())) == 15
    assert not (folder / CHECKPOINT_FILE).exists()


def test_segments_past_their_time_go_and_a_checkpoint_stays(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 40)
    found = log.verify()
    assert found.ok, found.problems
    assert found.removed.sequence == 3 * 9
    assert found.count == 3 * 31
    assert next(iter(log.records())).sequence == 3 * 9 + 1
    assert "records 1 to 27 were removed by retention" in " ".join(found.notes)
    assert min(record.time_s for record in log.records()) >= clock.now_s - KEEP_S - 2 * DAY_S


def test_what_is_kept_for_ever_is_never_removed(folder: Path, clock: Clock, receipt: Receipt) -> None:
    """Two apps share a log: what one of them keeps for ever stays, whatever the other keeps."""
    mine, other = AuditLog(folder, keep_s=DAY_S), AuditLog(folder)
    for _ in range(20):
        mine.append(receipt)
        clock.now_s += DAY_S
    other.append(receipt)
    for _ in range(20):
        mine.append(receipt)
        clock.now_s += DAY_S
    found = mine.verify()
    assert found.ok
    assert found.removed.sequence in range(17, 21)
    assert found.count == 41 - found.removed.sequence


@pytest.mark.parametrize("fate", ["remove", "cut", "change", "swap"])
def test_a_segment_that_was_tampered_with_shows_and_is_not_removed(
    fate: str, folder: Path, clock: Clock, receipt: Receipt
) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 10)
    first, second = segments(folder)[:2]
    match fate:
        case "remove":
            first.unlink()
        case "cut":
            first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:-1]))
        case "change":
            first.write_bytes(first.read_bytes().replace(b'"outcome":"answered"', b'"outcome":"denied"', 1))
        case _:
            content = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(content)
    assert not log.verify().ok
    clock.now_s += 2 * KEEP_S
    _days(log, clock, receipt, 3)
    # A segment whose end was cut verifies by itself, and goes; the gap after it is there for good.
    assert (folder / CHECKPOINT_FILE).exists() is (fate == "cut")
    assert not log.verify().ok, "retention must not wipe out the trace of tampering"


def test_a_forged_checkpoint_shows(folder: Path, clock: Clock, receipt: Receipt) -> None:
    """Somebody without the key cuts the beginning off and says that retention did it."""
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 5)
    removed = list(log.records())[5]
    for path in segments(folder)[:2]:
        path.unlink()
    forged = Checkpoint(sequence=6, mac=removed.mac, time_s=removed.time_s, removed_at_s=clock.now_s)
    (folder / CHECKPOINT_FILE).write_bytes(encode_checkpoint(os.urandom(32), forged))
    found = log.verify()
    assert not found.ok
    assert "checkpoint" in str(found.problems[0])


def test_an_older_checkpoint_that_is_put_back_shows(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 35)
    older = (folder / CHECKPOINT_FILE).read_bytes()
    _days(log, clock, receipt, 10)
    (folder / CHECKPOINT_FILE).write_bytes(older)
    assert not log.verify().ok


@pytest.mark.parametrize("moment", ["before the file went", "before the next file", "before the head"])
def test_a_writer_that_dies_during_retention_harms_nothing(
    moment: str, folder: Path, clock: Clock, receipt: Receipt
) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 31)
    oldest = segments(folder)[0]
    content = oldest.read_bytes()
    if moment == "before the file went":
        _days(log, clock, receipt, 5)
        assert not oldest.exists()
        oldest.write_bytes(content)
    elif moment == "before the next file":
        (folder / RECORDS_FILE).rename(folder / "audit-0000000000000091.jsonl")
    else:
        head = (folder / "audit.head").read_bytes()
        log.append(receipt)
        (folder / "audit.head").write_bytes(head)
    log.close()
    again = AuditLog(folder, keep_s=KEEP_S)
    assert again.verify().ok, again.verify().problems
    _days(again, clock, receipt, 5)
    found = again.verify()
    assert found.ok, found.problems
    assert len(list(again.records())) == found.count or moment == "before the file went"
    assert not oldest.exists()


def test_retention_that_fails_loses_no_record(
    folder: Path, clock: Clock, receipt: Receipt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 3)

    def full(*_arguments: object, **_settings: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module, "remove_expired", full)
    _days(log, clock, receipt, 3)
    assert log.verify().count == 18
    assert "cannot be removed" in caplog.text


def test_nobody_else_writes_while_one_removes(
    folder: Path, clock: Clock, receipt: Receipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = AuditLog(folder, keep_s=KEEP_S), AuditLog(folder, keep_s=KEEP_S, lock_timeout_s=0.02)
    removed: list[int] = []

    def tried(*arguments: Any, **settings: Any) -> int:
        with pytest.raises(AuditError, match="locked"):
            other.append(receipt)
        removed.append(remove_expired(*arguments, **settings))
        return removed[-1]

    monkeypatch.setattr(log_module, "remove_expired", tried)
    _days(log, clock, receipt, 40)
    assert sum(removed) > 0
    other.append(receipt)
    assert log.verify().ok


def test_one_wrong_look_at_the_clock_removes_nothing(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 5)
    right_s = clock.now_s
    clock.now_s += 100 * 365 * DAY_S
    log.append(receipt)
    clock.now_s = right_s
    _days(log, clock, receipt, 5)
    found = log.verify()
    assert found.ok, found.problems
    assert found.count == 31
    assert found.removed.sequence == 0


def test_what_is_old_goes_also_after_a_long_rest(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 5)
    clock.now_s += 2 * KEEP_S
    _days(log, clock, receipt, 3)
    assert log.verify().removed.sequence == 15


def test_a_head_that_was_kept_is_found_while_its_record_is_there(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder, keep_s=KEEP_S)
    _days(log, clock, receipt, 2)
    head = log.verify().head
    _days(log, clock, receipt, 20)
    assert log.verify(head=head).ok
    _days(log, clock, receipt, 20)
    found = log.verify(head=head)
    assert not found.ok
    assert "retention removed" in str(found.problems[-1])


@LAW
@given(data=st.data())
def test_any_change_of_any_byte_of_any_file_is_found(
    data: st.DataObject, folder: Path, clock: Clock, receipt: Receipt, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = tmp_path_factory.mktemp("retained") / "audit"
    log = AuditLog(fresh, keep_s=KEEP_S)
    _days(log, clock, receipt, 33, a_day=1)
    log.close()
    path = data.draw(st.sampled_from(sorted(fresh.glob("audit*"))))
    key, content = read_key(fresh), bytearray(path.read_bytes())
    said = len(bytes(content).rstrip())  # the padding of a head says nothing
    place = data.draw(st.integers(0, said - 1))
    content[place] ^= data.draw(st.integers(1, 127).filter(lambda bits: content[place] ^ bits != ord("\n")))
    path.write_bytes(bytes(content))
    assume(path.name != "audit.key" or _key(fresh) != key)  # a digit in upper case is the same key
    assert _fails(fresh)


def _key(folder: Path) -> bytes | None:
    try:
        return read_key(folder)
    except AuditError:
        return None


def _fails(folder: Path) -> bool:
    try:
        return not AuditLog(folder).verify().ok
    except AuditError:
        return True


@pytest.mark.parametrize(("keep_s", "expected"), [(KEEP_S, 86_400), (8 * 3_600, 3_600), (60, 60), (1, 60)])
def test_a_segment_is_a_day_or_an_eighth_of_what_is_kept(keep_s: int, expected: float) -> None:
    assert segment_s(keep_s) == expected


def test_a_checkpoint_is_read_back_only_with_its_key() -> None:
    key, checkpoint = os.urandom(32), Checkpoint(sequence=7, mac="a" * 64, time_s=1.5, removed_at_s=2.5)
    written = encode_checkpoint(key, checkpoint)
    assert decode_checkpoint(key, written) == checkpoint
    assert decode_checkpoint(os.urandom(32), written) is None
    assert decode_checkpoint(key, written.replace(b'"sequence": 7', b'"sequence": 8')) is None


WRITER = """
import sys, time
from pathlib import Path
from ringfence.privacy.audit import AuditLog, log
from ringfence.receipt import Receipt
class Clock:
    now_s = 1_790_000_000.0 + float(sys.argv[2])
    def time(self): Clock.now_s += 3_000; return Clock.now_s
log.time = Clock()
audit = AuditLog(Path(sys.argv[1]), keep_s=864_000, lock_timeout_s=60)
receipt = Receipt(id="x", started_at=1.0, outcome="answered", policy="p", policy_digest="d", task="t", labels=("l",))
for _ in range(300):
    audit.append(receipt)
"""


def test_several_processes_may_write_and_remove_while_another_verifies(folder: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(number)]) for number in range(3)]
    while any(writer.poll() is None for writer in writers):
        if (folder / HEAD_FILE).exists():
            found = AuditLog(folder, lock_timeout_s=60).verify()
            assert found.ok, found.problems
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    found = AuditLog(folder).verify()
    assert found.ok, found.problems
    assert found.count + found.removed.sequence == 900
    assert found.removed.sequence > 0


def test_the_time_to_keep_may_change(folder: Path, clock: Clock, receipt: Receipt) -> None:
    log = AuditLog(folder)
    _days(log, clock, receipt, 3)
    log.keep_s = KEEP_S
    _days(log, clock, receipt, 3)
    assert log.verify().ok
    assert log.verify().count == 18


def test_a_log_that_is_being_begun_is_no_log_yet(folder: Path) -> None:
    folder.mkdir()
    (folder / RECORDS_FILE).touch()
    with pytest.raises(AuditError, match="there is no audit log"):
        AuditLog(folder).verify()
