"""The audit log as an app uses it: what is written, in which files, and what it says when it cannot."""

from __future__ import annotations

import csv
import fcntl
import hmac
import io
import json
import os
import stat
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import AuditError, Closed
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.audit.files import HEAD_FILE, KEY_FILE, RECORDS_FILE
from ringfence.privacy.audit.record import mac_of, receipt_fields
from ringfence.receipt import Attempt, Receipt


def test_a_record_is_the_receipt(log: AuditLog, receipt: Receipt) -> None:
    log.append(receipt)
    [record] = log.records()
    assert record.receipt == json.loads(json.dumps(receipt.as_dict()))
    assert record.sequence == 1
    assert abs(record.time_s - time.time()) < 60


@pytest.mark.parametrize(
    "attempts", [(), (Attempt(recipient="a", ring="house", duration_s=1.0, error="TimedOut"),) * 2]
)
def test_the_fast_copy_of_a_receipt_equals_as_dict(receipt: Receipt, attempts: tuple[Attempt, ...]) -> None:
    changed = replace(receipt, attempts=attempts)
    assert json.dumps(receipt_fields(changed)) == json.dumps(changed.as_dict())
    assert list(receipt_fields(changed)) == [field.name for field in fields(Receipt)]


@given(key=st.binary(min_size=32, max_size=32), body=st.binary(max_size=200))
def test_a_mac_is_hmac_sha256(key: bytes, body: bytes) -> None:
    assert mac_of(key, body) == hmac.digest(key, body, "sha256").hex()


def test_line_and_head_carry_the_hmac_of_what_they_say(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    key = bytes.fromhex((folder / KEY_FILE).read_text())
    body, _, suffix = (folder / RECORDS_FILE).read_bytes().rpartition(b',"mac":')
    mac = hmac.digest(key, body, "sha256").hex()
    assert suffix == b'"%b"}\n' % mac.encode()
    head = json.loads((folder / HEAD_FILE).read_bytes())
    assert head["seal"] == hmac.digest(key, f"head:1:{mac}".encode(), "sha256").hex()


def test_a_log_of_several_openings_is_one_chain(folder: Path, receipt: Receipt) -> None:
    for _ in range(3):
        opened = AuditLog(folder)
        opened.append(receipt)
        opened.close()
    log = AuditLog(folder)
    found = log.verify()
    assert (found.ok, found.count, found.problems, found.notes) == (True, 3, (), ())
    assert found.head == list(log.records())[-1].mac


def test_an_empty_log_is_whole(log: AuditLog) -> None:
    log.open()
    assert log.verify().ok
    assert log.verify().count == 0


def test_files_are_for_their_owner_alone(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    mask = os.umask(0)
    try:
        log.append(receipt)
    finally:
        os.umask(mask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"audit": 0o700, RECORDS_FILE: 0o600, KEY_FILE: 0o600, HEAD_FILE: 0o600}


def test_nothing_is_made_before_the_log_is_used(folder: Path) -> None:
    AuditLog(folder).close()
    assert not folder.exists()


def test_reading_makes_nothing(log: AuditLog, folder: Path) -> None:
    with pytest.raises(AuditError, match="there is no audit log"):
        log.verify()
    with pytest.raises(AuditError, match="there is no audit log"):
        list(log.records())
    assert not folder.exists()


def test_records_are_chosen_by_time_and_number(log: AuditLog, receipt: Receipt) -> None:
    for _ in range(5):
        log.append(receipt)
        time.sleep(0.002)
    times = [record.time_s for record in log.records()]
    assert [record.sequence for record in log.records(limit=2)] == [4, 5]
    assert [record.sequence for record in log.records(since=times[1], until=times[3])] == [2, 3]
    assert [record.sequence for record in log.records(since=times[1], limit=1)] == [5]


def test_an_export_as_json_is_one_array(log: AuditLog, receipt: Receipt) -> None:
    log.open()
    empty = io.StringIO()
    assert log.export(empty) == 0
    assert json.loads(empty.getvalue()) == []
    log.append(receipt)
    log.append(replace(receipt, outcome="denied"))
    out = io.StringIO()
    assert log.export(out) == 2
    assert [record["receipt"]["outcome"] for record in json.loads(out.getvalue())] == ["answered", "denied"]


def test_an_export_as_csv_has_a_column_for_each_field(log: AuditLog, receipt: Receipt) -> None:
    log.append(replace(receipt, labels=("contact", "health"), task="=1+1"))
    out = io.StringIO()
    log.export(out, "csv")
    [row] = csv.DictReader(io.StringIO(out.getvalue()))
    assert list(row) == ["seq", "time", *(field.name for field in fields(Receipt)), "mac"]
    assert (row["seq"], row["labels"], row["redactions"]) == ("1", "contact health", '{"contact": 2}')
    assert row["task"] == "'=1+1", "a spreadsheet must not run it"


# ---------------------------------------------------------------- when it cannot be written


def test_a_folder_that_cannot_be_made_is_known_at_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"not writable: (not a directory|file exists) \(try: make"):
        AuditLog(tmp_path / "file" / "audit").open()


def test_a_file_where_the_folder_should_be_is_known_at_open(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")
    with pytest.raises(AuditError, match="not a directory"):
        AuditLog(tmp_path / "audit").open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_known_at_open(folder: Path) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(AuditError, match="permission denied"):
        AuditLog(folder).open()


def test_a_symbolic_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / RECORDS_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditError, match="not writable"):
        AuditLog(folder).open()
    assert not (tmp_path / "elsewhere").exists()


def test_a_closed_log_takes_no_record(log: AuditLog, receipt: Receipt) -> None:
    log.append(receipt)
    log.close()
    log.close()
    with pytest.raises(Closed):
        log.append(receipt)
    with pytest.raises(Closed):
        log.open()


def test_a_receipt_that_is_not_json_is_refused_and_leaves_nothing(log: AuditLog, receipt: Receipt) -> None:
    log.append(receipt)
    with pytest.raises(AuditError, match="cannot be recorded"):
        log.append(replace(receipt, duration_s=float("nan")))
    log.append(receipt)
    assert log.verify().ok
    assert log.verify().count == 2


def test_a_lock_that_is_held_ends_in_an_error(folder: Path, receipt: Receipt) -> None:
    log = AuditLog(folder, lock_timeout_s=0.1)
    log.append(receipt)
    with (folder / RECORDS_FILE).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        begin_s = time.monotonic()
        with pytest.raises(AuditError, match=r"locked for more than 0.1 s"):
            log.append(receipt)
        assert time.monotonic() - begin_s < 5
    log.append(receipt)
    assert log.verify().count == 2


@pytest.mark.parametrize("lost", [KEY_FILE, HEAD_FILE])
def test_a_lost_key_or_head_is_known_at_open(lost: str, log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    (folder / lost).unlink()
    with pytest.raises(AuditError, match=r"is lost .*move the folder away"):
        AuditLog(folder).open()
    assert not (folder / lost).exists(), "a new one would hide that it was lost"


def test_a_lost_key_cannot_be_verified(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    (folder / KEY_FILE).unlink()
    with pytest.raises(AuditError, match=r"the key of the audit log .* is lost"):
        log.verify()


def test_the_key_of_another_log_is_known_at_open(log: AuditLog, folder: Path, tmp_path: Path, receipt: Receipt) -> None:
    log.append(receipt)
    other = AuditLog(tmp_path / "other")
    other.open()
    (folder / KEY_FILE).write_bytes((tmp_path / "other" / KEY_FILE).read_bytes())
    with pytest.raises(AuditError, match="does not fit its key"):
        AuditLog(folder).open()
    assert not AuditLog(folder).verify().ok


@pytest.mark.parametrize("content", [b"", b"zz", b"ab" * 5, b"\xff" * 64])
def test_a_damaged_key_is_known_at_open(content: bytes, log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    (folder / KEY_FILE).write_bytes(content)
    with pytest.raises(AuditError, match=r"key .* is damaged"):
        AuditLog(folder).open()


def test_a_key_that_others_can_read_is_noted(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    (folder / KEY_FILE).chmod(0o644)
    assert ["could forge the chain" in note for note in log.verify().notes] == [True]


def test_a_folder_that_others_can_write_in_is_noted(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    folder.chmod(0o777)
    assert ["can remove files" in note for note in log.verify().notes] == [True]


def test_the_lock_is_given_back_after_an_error(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    head = (folder / HEAD_FILE).read_bytes()
    (folder / HEAD_FILE).write_bytes(b"x" * len(head))
    with (folder / RECORDS_FILE).open("ab") as records:
        records.write(b"x")
    with pytest.raises(AuditError, match="does not fit its key"):
        log.append(receipt)
    with (folder / RECORDS_FILE).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (folder / HEAD_FILE).write_bytes(head)
    log.append(receipt)
    assert log.verify().ok


def test_a_folder_that_is_moved_away_begins_anew(log: AuditLog, folder: Path, tmp_path: Path, receipt: Receipt) -> None:
    log.append(receipt)
    folder.rename(tmp_path / "kept")
    log.append(receipt)
    log.append(receipt)
    assert AuditLog(tmp_path / "kept").verify().count == 1
    assert log.verify().count == 2
    assert log.verify().ok
