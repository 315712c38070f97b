"""The records of an audit log as one JSON array, as CSV for a spreadsheet, or in the shape of Apple's own report.

An Apple Intelligence Report (macOS: Settings, Privacy & Security) is a JSON object of two arrays: `modelRequests`, each
with `timestamp` (Unix seconds), `identifier`, `useCase`, `model`, `clientIdentifier`, `executionEnvironment`
(`OnDevice` or `PrivateCloudCompute`), prompt and response; and `privateCloudComputeRequests`, each with `timestamp`,
`requestId`, `pipelineKind` and the `nodes` with their attestation. Ours has the same keys, without prompt and response,
since no content is on record; a request to a partner has the environment `Partner`, and one that reached nobody none.
A node is `Validated`, or `DEVELOPMENT` where nothing was proved of it; without attestation there is none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

from ringfence.privacy.audit.record import AuditRecord
from ringfence.receipt import DEVELOPMENT, Receipt

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


_ENVIRONMENTS = {"device": "OnDevice", "house": "PrivateCloudCompute", "partner": "Partner"}


def export_report(records: Iterable[AuditRecord], fp: TextIO) -> int:
    """One JSON object; returns the number of records."""
    every = list(records)
    report = {
        "modelRequests": [_model_request(record) for record in every],
        "privateCloudComputeRequests": [_house_request(one) for one in every if one.receipt.get("ring") == "house"],
    }
    json.dump(report, fp, indent=1)
    fp.write("\n")
    return len(every)


def _model_request(record: AuditRecord) -> dict[str, object]:
    receipt = record.receipt
    sent = any(attempt.get("error") is None for attempt in receipt.get("attempts") or ())
    environment = _ENVIRONMENTS.get(str(receipt.get("ring"))) if sent or receipt.get("input_bytes") else None
    return {
        "timestamp": receipt.get("started_at"),
        "identifier": receipt.get("id"),
        "useCase": receipt.get("task"),
        "model": receipt.get("model"),
        "clientIdentifier": receipt.get("policy"),
        "executionEnvironment": environment,
        "recipient": receipt.get("recipient"),
        "labels": receipt.get("labels"),
        "outcome": receipt.get("outcome"),
        "consented": receipt.get("consented"),
        "redactions": receipt.get("redactions"),
    }


def _house_request(record: AuditRecord) -> dict[str, object]:
    receipt = record.receipt
    digest, attestation = receipt.get("attestation_digest"), str(receipt.get("attestation") or "")
    # INVARIANT: a machine that only a development authority vouches for is not called validated.
    state = DEVELOPMENT if attestation.startswith(DEVELOPMENT) else "Validated"
    node = {"attestationDigest": digest, "nodeState": state, "attestation": attestation or None}
    return {
        "timestamp": receipt.get("started_at"),
        "requestId": receipt.get("id"),
        "pipelineKind": receipt.get("task"),
        "pipelineParameters": {"model": receipt.get("model")},
        "nodes": [node] if digest else [],
    }


EXPORTS = {"json": export_json, "csv": export_csv, "report": export_report}


def _cell(value: object) -> object:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # pyright: ignore[reportUnknownVariableType]
        value = " ".join(value)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | dict):
        value = json.dumps(value)
    # A spreadsheet runs what begins like a formula.
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


__all__ = ["EXPORTS"]
