"""The records of an audit log as one JSON array, or as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

from ringfence.privacy.audit.record import AuditRecord
from ringfence.receipt import Receipt

_COLUMNS = ("seq", "time", *Receipt.__dataclass_fields__, "mac")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export_json(records: Iterable[AuditRecord], fp: TextIO) -> int:
    """One JSON array, a record a line; returns the number of records."""
    count = 0
    for count, record in enumerate(records, start=1):
        fp.write("[\n" if count == 1 else ",\n")
        json.dump(record.as_dict(), fp)
    fp.write("\n]\n" if count else "[]\n")
    return count


def export_csv(records: Iterable[AuditRecord], fp: TextIO) -> int:
    """A header and a row a record: time in ISO 8601 (UTC), lists joined by spaces, mappings and attempts as JSON."""
    rows = csv.writer(fp)
    rows.writerow(_COLUMNS)
    count = 0
    for count, record in enumerate(records, start=1):  # noqa: B007  (the last value is the number of them)
        time = datetime.fromtimestamp(record.time_s, UTC).isoformat()
        receipt = [_cell(record.receipt.get(name)) for name in Receipt.__dataclass_fields__]
        rows.writerow([record.sequence, time, *receipt, _cell(record.mac)])
    return count


def _cell(value: object) -> object:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        value = " ".join(value)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | dict):
        value = json.dumps(value)
    # A spreadsheet runs what begins like a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


__all__ = ["export_csv", "export_json"]
