"""One line of the audit log: a receipt in a chain of HMACs. Pure; the files are `files`' business.

A line is the JSON object `{"v", "seq", "time", "prev", "receipt", "mac"}` and a newline, ASCII only. `mac` is
HMAC-SHA256 over the bytes of the line before `,"mac"`, and `prev` is the `mac` of the record before, so that no record
can be changed, removed, moved or put in by somebody without the key. A record that follows an interrupted write carries
`interrupted`: the length and SHA-256 of what that write left. `keep` is how many seconds its policy keeps it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from ringfence.errors import AuditError
from ringfence.receipt import Attempt, Receipt

FORMAT_VERSION = 1
GENESIS = "0" * 64
"""The `prev` of the first record."""

_LATEST_TIME_S = 253_370_764_800.0
"""The year 9999, with a day to spare for every time zone."""

_MAC_PREFIX = b',"mac":"'
_MAC_CHARACTERS = 64
_SUFFIX_BYTES = len(_MAC_PREFIX) + _MAC_CHARACTERS + len(b'"}')

# The names are read from the classes, so that a field added there is recorded too.
_RECEIPT_FIELDS: tuple[str, ...] = tuple(Receipt.__dataclass_fields__)
_ATTEMPT_FIELDS: tuple[str, ...] = tuple(Attempt.__dataclass_fields__)
_receipt_values = attrgetter(*_RECEIPT_FIELDS)
_attempt_values = attrgetter(*_ATTEMPT_FIELDS)
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """What an interrupted write left in the log before a record: its length and hash."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One record as it stands in the log. `time_s` is the Unix time at which it was written."""

    sequence: int
    time_s: float
    previous: str
    mac: str
    receipt: Mapping[str, Any]
    interrupted: Interruption | None = None
    keep_s: float | None = None
    """How long the policy of its request keeps it, in seconds; `None` for ever."""

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready copy, without what only `verify` needs."""
        return {"seq": self.sequence, "time": self.time_s, "mac": self.mac, "receipt": dict(self.receipt)}


def receipt_fields(receipt: Receipt) -> dict[str, Any]:
    """`receipt.as_dict()`, several times as fast."""
    fields = dict(zip(_RECEIPT_FIELDS, _receipt_values(receipt), strict=True))
    if receipt.attempts:
        fields["attempts"] = [
            dict(zip(_ATTEMPT_FIELDS, _attempt_values(attempt), strict=True)) for attempt in receipt.attempts
        ]
    return fields


@lru_cache(maxsize=4)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def mac_of(key: bytes, body: bytes) -> str:
    """HMAC-SHA256 of `body` in hex. The key is set up once and copied: half the time of `hmac.digest`, twice a call."""
    mac = _keyed(key).copy()
    mac.update(body)
    return mac.hexdigest()


def encode_record(
    key: bytes,
    *,
    sequence: int,
    time_s: float,
    previous: str,
    receipt: Receipt,
    interrupted: Interruption | None = None,
    keep_s: int | None = None,
) -> tuple[bytes, str]:
    """The line of a record, newline included, and its mac.

    Raises:
        AuditError: the receipt holds something that is not JSON.
    """
    try:
        fields = _encode(receipt_fields(receipt))
    except (TypeError, ValueError, RecursionError):
        raise AuditError("the receipt of this request cannot be recorded: a field of it is not JSON") from None
    seal = f',"interrupted":[{interrupted.size_bytes},"{interrupted.sha256}"]' if interrupted else ""
    keep = "" if keep_s is None else f',"keep":{keep_s}'
    head = f'{{"v":{FORMAT_VERSION},"seq":{sequence},"time":{time_s:.6f},"prev":"{previous}"{seal}{keep},"receipt":'
    body = (head + fields).encode("ascii")
    mac = mac_of(key, body)
    return b'%b%b%b"}\n' % (body, _MAC_PREFIX, mac.encode("ascii")), mac


def is_authentic(key: bytes, line: bytes) -> bool:
    """Whether `line`, without its newline, carries the mac that `key` gives it."""
    body, suffix = line[:-_SUFFIX_BYTES], line[-_SUFFIX_BYTES:]
    if not (suffix.startswith(_MAC_PREFIX) and suffix.endswith(b'"}')):
        return False
    expected = mac_of(key, body).encode("ascii")
    return hmac.compare_digest(suffix[len(_MAC_PREFIX) : -2], expected)


def decode_record(line: bytes) -> AuditRecord | None:
    """The record in `line`, without its newline, or `None` if it is not one. The mac is not checked."""
    try:
        fields = json.loads(line)
        if fields["v"] != FORMAT_VERSION or not isinstance(fields["receipt"], dict):
            return None
        interrupted = fields.get("interrupted")
        return AuditRecord(
            sequence=int(fields["seq"]),
            time_s=_time(fields["time"]),
            previous=str(fields["prev"]),
            mac=str(fields["mac"]),
            receipt=fields["receipt"],
            interrupted=Interruption(size_bytes=interrupted[0], sha256=interrupted[1]) if interrupted else None,
            keep_s=None if fields.get("keep") is None else float(fields["keep"]),
        )
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def _time(written: Any) -> float:
    """Raises: ValueError, for what no calendar has, NaN included."""
    time_s = float(written)
    if not 0 <= time_s <= _LATEST_TIME_S:
        raise ValueError
    return time_s


def authentic_record(key: bytes, line: bytes) -> AuditRecord | None:
    """The record in `line`, without its newline, if this log's key made it."""
    return decode_record(line) if is_authentic(key, line) else None


def interruption(left: bytes) -> Interruption:
    """The seal of what an interrupted write left."""
    return Interruption(size_bytes=len(left), sha256=hashlib.sha256(left).hexdigest())


__all__ = [
    "FORMAT_VERSION",
    "GENESIS",
    "AuditRecord",
    "Interruption",
    "authentic_record",
    "decode_record",
    "encode_record",
    "interruption",
    "is_authentic",
    "mac_of",
    "receipt_fields",
]
