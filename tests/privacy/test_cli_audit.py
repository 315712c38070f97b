"""`ringfence audit`, as a person and a script see it."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.root import root
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.audit.files import KEY_FILE, RECORDS_FILE
from ringfence.receipt import Attempt, Receipt


@pytest.fixture
def filled(log: AuditLog, folder: Path, receipt: Receipt) -> Path:
    log.append(receipt)
    log.append(replace(receipt, outcome="denied", ring=None, recipient=None, model=None, attempts=(), rules=("never",)))
    broken = Attempt(recipient="own-dc", ring="house", duration_s=1.0, error="StreamBroken", phase="mid_stream")
    log.append(replace(receipt, outcome="failed", ring="house", recipient="own-dc", attempts=(broken,)))
    return folder


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(root, ["audit", *map(str, arguments)])


def test_list_shows_a_row_a_record(filled: Path) -> None:
    shown = _run("list", "--log", filled)
    assert shown.exit_code == 0
    head, *rows = [re.split(r"\s{2,}", line.strip()) for line in shown.stdout.splitlines()]
    assert head == ["time", "outcome", "ring", "recipient", "task", "labels", "tokens", "rules"]
    asked = ["notification_summary", "unclassified", "141 → 22"]
    cells = [
        ["answered", "device", "mlx/smollm2-135m-instruct", *asked, "device-any"],
        ["denied", "–", "–", *asked, "never"],
        ["failed (StreamBroken)", "house", "own-dc/smollm2-135m-instruct", *asked, "device-any"],
    ]
    assert [row[1:] for row in rows] == cells
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", row[0]) for row in rows)


def test_list_has_no_colour_when_it_is_not_a_terminal(filled: Path) -> None:
    assert "\x1b" not in _run("list", "--log", filled).output


def test_list_as_json_is_one_document(filled: Path) -> None:
    shown = _run("list", "--json", "--limit", "2", "--log", filled)
    assert [record["seq"] for record in json.loads(shown.stdout)["records"]] == [2, 3]
    assert shown.stderr == ""


def test_list_of_an_empty_log_says_so_on_stderr(log: AuditLog, folder: Path) -> None:
    log.open()
    shown = _run("list", "--log", folder)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "the audit log has no records yet\n")
    assert json.loads(_run("list", "--json", "--log", folder).stdout) == {"records": []}


def test_nothing_in_a_record_reaches_the_terminal_as_a_command(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(replace(receipt, task="\x1b[31mred\x07", labels=("[bold]loud[/]",)))
    shown = _run("list", "--log", folder).stdout
    assert "\x1b" not in shown
    assert "[bold]loud[/]" in shown


def test_verify_of_a_whole_log_prints_count_and_head(filled: Path) -> None:
    head = AuditLog(filled).verify().head
    shown = _run("verify", "--log", filled)
    assert (shown.exit_code, shown.stdout) == (0, f"whole: 3 records\nhead: {head}\n")
    assert "--head" in shown.stderr
    assert _run("verify", "--head", head, "--log", filled).exit_code == 0


def test_verify_of_a_changed_log_names_the_record(filled: Path) -> None:
    records = filled / RECORDS_FILE
    records.write_bytes(records.read_bytes().replace(b'"denied"', b'"failed"'))
    shown = _run("verify", "--log", filled)
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[:2] == ["not whole: 2 records", "  record 2: changed"]
    found = json.loads(_run("verify", "--json", "--log", filled).stdout)
    assert (found["ok"], found["count"], found["problems"]) == (
        False,
        2,
        [{"record": 2, "line": 2, "detail": "changed"}],
    )


def test_verify_with_a_head_that_is_not_there_fails(filled: Path) -> None:
    assert _run("verify", "--head", "f" * 64, "--log", filled).exit_code == 1


def test_export_writes_to_stdout_or_a_file(filled: Path, tmp_path: Path) -> None:
    assert len(json.loads(_run("export", "--log", filled).stdout)) == 3
    out = tmp_path / "audit.csv"
    shown = _run("export", "--format", "csv", "-o", out, "--log", filled)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", f"3 records written to {out}\n")
    assert [row["outcome"] for row in csv.DictReader(io.StringIO(out.read_text()))] == ["answered", "denied", "failed"]


@pytest.mark.parametrize("command", ["list", "verify", "export"])
def test_a_missing_log_is_wrong_usage_and_makes_nothing(command: str, folder: Path) -> None:
    shown = _run(command, "--log", folder)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.splitlines() == [
        f"error: there is no audit log in {folder}",
        "try: ask something first, or name its folder with --log",
    ]
    assert not folder.exists()


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_missing_log_is_said_in_json(command: str, folder: Path) -> None:
    shown = _run(command, "--json", "--log", folder)
    assert (shown.exit_code, shown.stderr) == (2, "")
    assert "there is no audit log" in json.loads(shown.stdout)["error"]["message"]


def test_a_lost_key_is_a_failure(filled: Path) -> None:
    (filled / KEY_FILE).unlink()
    shown = _run("verify", "--log", filled)
    assert shown.exit_code == 1
    assert "is lost, so nothing can be verified\ntry: restore audit.key from a backup" in shown.stderr


def test_an_export_that_cannot_be_written_says_where(filled: Path, tmp_path: Path) -> None:
    shown = _run("export", "-o", tmp_path / "no" / "folder.json", "--log", filled)
    assert shown.exit_code == 2
    assert "folder.json cannot be written: no such file or directory" in shown.stderr
    assert "try: name another file with -o" in shown.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full: a device of Linux")
def test_an_export_to_a_full_disk_says_so(filled: Path) -> None:
    shown = _run("export", "-o", "/dev/full", "--log", filled)
    assert shown.exit_code == 1
    assert "error: /dev/full cannot be written: no space left on device" in shown.stderr


def test_an_exported_file_is_for_its_owner_alone(filled: Path, tmp_path: Path) -> None:
    _run("export", "-o", tmp_path / "out.json", "--log", filled)
    assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == 0o600


def test_the_log_is_the_one_in_the_state_folder(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_STATE_DIR", str(filled.parent))
    assert _run("verify").exit_code == 0
