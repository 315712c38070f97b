"""What an opened request must say before anything computes: each check has its own answer inside the encryption."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime

from ringfence_house.protocol import names
from ringfence_house.protocol.bhttp import BinaryRequest
from ringfence_house_node.server.callers import Callers
from ringfence_house_node.service import Call

REPLAY_WINDOW_S = 2 * names.MAX_DATE_SKEW_S
"""A request whose date is as far ahead as is allowed can come back for this long."""

_MAX_TENANT_CHARS = 64


class InnerFault(Exception):
    """A request that is refused inside the encryption. `status` and `code` are for its client; it holds no content."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields of a request that the protocol speaks of."""

    date: str
    evidence: str
    expect: str
    tenant: str | None
    authorization: str | None
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the fields of a request must say at this node. `digest` is that of the evidence of the key it came for."""

    digest: str
    release: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: `name` has a share of the queue, `turn` says with whom it takes turns."""

    name: str
    turn: str


def read_fields(request: BinaryRequest) -> Fields:
    """The fields, each at most once.

    Raises:
        InnerFault: one is missing, twice, or no text.
    """
    return Fields(
        date=_needed(request.fields, b"date"),
        evidence=_needed(request.fields, names.EVIDENCE_FIELD.encode()),
        expect=_needed(request.fields, names.EXPECT_FIELD.encode()),
        tenant=_field(request.fields, names.TENANT_FIELD.encode()),
        authorization=_field(request.fields, b"authorization"),
        content_type=_field(request.fields, b"content-type") or "",
    )


def check_date(date: str, *, now: float) -> None:
    """Accepts the date of a request, in the one form that HTTP writes, within the window around `now`.

    Raises:
        InnerFault: another form, or too far off.
    """
    moment = _moment(date)
    if moment is None:
        raise InnerFault(400, "date_invalid", "the request's date is not an HTTP date")
    if abs(moment - now) > names.MAX_DATE_SKEW_S:
        raise InnerFault(400, "date_out_of_window", "the request's date is too far from this node's clock")


def check_expectation(fields: Fields, expected: Expected) -> None:
    """Accepts a request whose client verified the evidence of this key, and expects what runs here.

    Raises:
        InnerFault: it verified or expects something else.
    """
    if fields.evidence != expected.digest:
        raise InnerFault(412, "evidence_stale", "the client verified other evidence than this key's")
    if fields.expect != f"{expected.release} {expected.model}":
        raise InnerFault(412, "release_unexpected", "the client expects another release or model")


def check_target(request: BinaryRequest, fields: Fields) -> None:
    """Accepts what is asked for: one of the paths of the protocol, nothing that could be forwarded.

    Raises:
        InnerFault: another authority, path, method or media type.
    """
    if (request.scheme, request.authority) != ("https", names.AUTHORITY):
        raise InnerFault(421, "authority_unknown", "the request is for another authority")
    if request.path not in names.INNER_PATHS:
        raise InnerFault(404, "path_unknown", "there is nothing at this path")
    if request.method != "POST":
        raise InnerFault(405, "method_not_allowed", "only POST is answered here")
    if fields.content_type.partition(";")[0].strip().lower() != "application/json":
        raise InnerFault(415, "media_type_unknown", "the content of a request is application/json")


def caller_of(fields: Fields, callers: Callers) -> Caller:
    """The caller that the operator named; where nobody is named all are one, and tenants take turns.

    A tenant field is what a client says of itself, so it earns nobody a share.

    Raises:
        InnerFault: a stranger, where the operator names callers.
    """
    name = callers.name(fields.authorization)
    if name is None:
        raise InnerFault(401, "caller_unknown", "the request carries no token that is known here")
    return Caller(name=name, turn=name or f"tenant {fields.tenant or ''}")


def call_of(request: BinaryRequest, fields: Fields, caller: Caller) -> Call:
    """What the service gets: its tenant is one caller's, so that two callers who name one never share work."""
    tenant = None
    if fields.tenant is not None:
        tenant = hashlib.sha256(f"{caller.turn}\0{fields.tenant}".encode()).hexdigest()
    return Call(path=request.path, body=request.content, tenant=tenant)


def _moment(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        exact = format_datetime(moment.astimezone(UTC), usegmt=True) == date
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.timestamp() if exact else None


def _needed(fields: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    value = _field(fields, name)
    if value is None:
        raise InnerFault(400, "field_missing", f"the request has no field {name.decode()}")
    return value


def _field(fields: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    values = [value for given, value in fields if given == name]
    if len(values) > 1:
        raise InnerFault(400, "field_twice", f"the request has the field {name.decode()} twice")
    # Latin-1 never fails; all that is compared to is ASCII.
    value = values[0].decode("latin-1") if values else None
    if value is not None and name == names.TENANT_FIELD.encode() and not 0 < len(value) <= _MAX_TENANT_CHARS:
        raise InnerFault(400, "tenant_invalid", "the tenant field is empty or too long")
    return value


__all__ = [
    "REPLAY_WINDOW_S",
    "Caller",
    "Expected",
    "Fields",
    "InnerFault",
    "call_of",
    "caller_of",
    "check_date",
    "check_expectation",
    "check_target",
    "read_fields",
]
