"""The inner request: what stands inside of the encryption, and nowhere else."""

from __future__ import annotations

import hmac
from email.utils import formatdate
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import httpx2

from ringfence.errors import GateError, InvalidRequest
from ringfence_house.protocol.bhttp import Field, encode_request
from ringfence_house.protocol.faults import TooLong
from ringfence_house.protocol.names import (
    AUTHORITY,
    EVIDENCE_FIELD,
    EXPECT_FIELD,
    INNER_PATHS,
    PAD_REQUEST_BYTES,
    TENANT_FIELD,
)

if TYPE_CHECKING:
    from ringfence_house.attestation.node import VerifiedNode

_TAKEN_OVER: Final = ("content-type", "accept", "authorization")
"""Of what the vendor's client would send; the rest says something of this machine, or is HTTP's own."""


def inner_request(request: httpx2.Request, node: VerifiedNode, *, tenant: str | None, now: float) -> bytes:
    """`request` as Binary HTTP for `node`, padded. Its body has been read.

    Raises:
        GateError: it is for another place than the inner paths of the protocol.
        InvalidRequest: it is longer than the protocol allows.
    """
    url = request.url
    path = url.raw_path.decode("ascii")
    if (request.method, url.scheme, url.netloc.decode("ascii")) != ("POST", "https", AUTHORITY):
        raise GateError("a request into the house is for its one address only")
    if path not in INNER_PATHS:
        raise GateError("a request into the house is for a path that the house does not have")
    try:
        fields = _fields(request, node, tenant, now)
        return encode_request("POST", "https", AUTHORITY, path, fields, request.content, PAD_REQUEST_BYTES)
    except TooLong:
        raise InvalidRequest(
            "the request is longer than a house takes", way_out="fewer or smaller attachments"
        ) from None


def _fields(request: httpx2.Request, node: VerifiedNode, tenant: str | None, now: float) -> list[Field]:
    given = [(name, request.headers[name]) for name in _TAKEN_OVER if name in request.headers]
    ours = [
        ("date", formatdate(now, usegmt=True)),
        (EVIDENCE_FIELD, node.digest),
        (EXPECT_FIELD, f"{node.release.id} {node.release.model}"),
    ]
    if tenant is not None:
        ours.append((TENANT_FIELD, tenant))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in (*given, *ours)]


def tenant_key(secret: bytes, tenant: str | None) -> str | None:
    """An opaque key for `tenant`, the same as long as `secret` is; the name itself never leaves."""
    return None if tenant is None else hmac.new(secret, tenant.encode("utf-8"), sha256).hexdigest()


__all__ = ["inner_request", "tenant_key"]
