"""What an enemy who can write into the log's folder tried on the commands that read it without checking macs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.root import root
from ringfence.privacy.audit import AuditLog
from ringfence.privacy.audit.files import RECORDS_FILE
from ringfence.receipt import Receipt

_FORGERIES: dict[str, dict[str, Any]] = {
    "a time that no calendar has": {"time": 1e300},
    "no time": {"time": float("nan")},
    "an endless number": {"seq": float("inf")},
    "attempts that are words": {"receipt": {"attempts": ["x"]}},
    "attempts that are a number": {"receipt": {"attempts": 3}},
    "tokens that are words": {"receipt": {"input_tokens": "9"}},
    "labels that are a number": {"receipt": {"labels": 3}},
}


_LINE: dict[str, Any] = {"v": 1, "seq": 2, "time": 1.0, "prev": "0" * 64, "receipt": dict[str, Any](), "mac": "=1+1"}


def _forged(folder: Path, fields: dict[str, Any]) -> None:
    with (folder / RECORDS_FILE).open("a", encoding="ascii") as records:
        records.write(json.dumps(_LINE | fields) + "\n")


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(root, ["audit", *map(str, arguments)])


@pytest.mark.parametrize("fields", _FORGERIES.values(), ids=_FORGERIES)
@pytest.mark.parametrize(
    "command", [("list",), ("list", "--json"), ("export",), ("export", "--format", "csv")], ids=" ".join
)
def test_a_forged_line_hides_no_true_record(
    log: AuditLog, folder: Path, receipt: Receipt, fields: dict[str, Any], command: tuple[str, ...]
) -> None:
    log.append(receipt)
    _forged(folder, fields)
    shown = _run(*command, "--log", folder)
    assert (shown.exit_code, shown.exception) == (0, None)
    assert "notification_summary" in shown.stdout


def test_no_cell_of_an_exported_table_is_a_formula(log: AuditLog, folder: Path, receipt: Receipt) -> None:
    log.append(receipt)
    _forged(folder, {})
    rows = list(csv.DictReader(io.StringIO(_run("export", "--format", "csv", "--log", folder).stdout)))
    assert rows[1]["mac"] == "'=1+1"
