"""Evidence as it travels: one spelling only, so that both sides agree on its digest."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeGuard, cast

from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.attestation.strict import canonical, from_base64, strict_json
from ringfence_house.protocol.names import MAX_DIRECTORY_BYTES, MAX_EVIDENCE_BYTES, MAX_NODES

VERSION = 1
_EVIDENCE_NAMES = {"v", "eat", "ak", "endorsement"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Evidence:
    """What a node says of itself; nothing of it is believed yet.

    `encoded` is its canonical JSON and `digest` SHA-256 of that (hex). `eat` is a compact JWS, `ak` the public key
    (JWK) that signed it, `endorsement` the type of what vouches for that key, and `x5c` its certificates in DER, leaf
    first.
    """

    encoded: bytes
    digest: str
    eat: str
    ak: Mapping[str, str]
    endorsement: str
    x5c: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Evidence({self.digest[:8]}…, {len(self.encoded)} bytes)"


def make_evidence(eat: str, ak: Mapping[str, str], endorsement: str, x5c: Sequence[bytes]) -> Evidence:
    """Evidence in its one spelling.

    Raises:
        EvidenceRefused: it would be longer than a client reads.
    """
    chain = [b64encode(certificate).decode("ascii") for certificate in x5c]
    document = {"v": VERSION, "eat": eat, "ak": dict(ak), "endorsement": {"type": endorsement, "x5c": chain}}
    return parse_evidence(canonical(document))


def parse_evidence(data: bytes) -> Evidence:
    """Evidence from its bytes.

    Raises:
        EvidenceRefused: it is too long, or any other spelling or shape than the one.
    """
    document = _object_of(data, MAX_EVIDENCE_BYTES, "the evidence")
    if not _is_version(document.get("v")):
        raise EvidenceRefused("form", "the evidence is of a version that is not known here")
    if set(document) != _EVIDENCE_NAMES or canonical(document) != data:
        raise EvidenceRefused("form", "the evidence is not written in the one way that is allowed")
    eat, ak, endorsement = document["eat"], document["ak"], document["endorsement"]
    if not isinstance(eat, str) or not _is_strings(ak) or not _is_endorsement(endorsement):
        raise EvidenceRefused("form", "a part of the evidence is of the wrong type")
    return Evidence(
        encoded=data,
        digest=sha256(data).hexdigest(),
        eat=eat,
        ak=ak,
        endorsement=cast("str", endorsement["type"]),
        x5c=_certificates(cast("list[object]", endorsement["x5c"])),
    )


def make_directory(evidence: Sequence[bytes]) -> bytes:
    """The directory of these nodes, each by its evidence's bytes; a node itself serves one of length one."""
    return canonical({"v": VERSION, "nodes": [strict_json(each) for each in evidence]})


def parse_directory(data: bytes) -> tuple[bytes, ...]:
    """The evidence of each node of a directory, as bytes that are not looked into yet.

    Raises:
        EvidenceRefused: the directory itself is too long, malformed, empty, or names too many nodes.
    """
    document = _object_of(data, MAX_DIRECTORY_BYTES, "the directory")
    nodes = document.get("nodes")
    if not _is_version(document.get("v")) or set(document) != {"v", "nodes"} or not isinstance(nodes, list):
        raise EvidenceRefused("form", "the directory is not of the one shape that is allowed")
    found = cast("list[object]", nodes)
    if not found:
        raise EvidenceRefused("form", "the directory names no node")
    if len(found) > MAX_NODES:
        raise EvidenceRefused("form", f"the directory names more than {MAX_NODES} nodes")
    return tuple(canonical(node) for node in found)


def _object_of(data: bytes, limit: int, what: str) -> dict[str, object]:
    if len(data) > limit:
        raise EvidenceRefused("form", f"{what} is longer than {limit} bytes")
    try:
        document = strict_json(data)
    except ValueError:
        raise EvidenceRefused("form", f"{what} is no JSON, or JSON with two readings") from None
    if not isinstance(document, dict):
        raise EvidenceRefused("form", f"{what} is no JSON object")
    return cast("dict[str, object]", document)


def _is_version(value: object) -> bool:
    return type(value) is int and value == VERSION  # `True` is no version


def _is_strings(value: object) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and all(isinstance(item, str) for item in cast("dict[str, object]", value).values())


def _is_endorsement(value: object) -> TypeGuard[dict[str, object]]:
    if not isinstance(value, dict):
        return False
    found = cast("dict[str, object]", value)
    return set(found) == {"type", "x5c"} and isinstance(found["type"], str) and isinstance(found["x5c"], list)


def _certificates(values: Sequence[object]) -> tuple[bytes, ...]:
    try:
        return tuple(from_base64(value) if isinstance(value, str) else b"" for value in values)
    except ValueError:
        raise EvidenceRefused("form", "a certificate of the evidence is not written in base64") from None


__all__ = ["Evidence", "make_directory", "make_evidence", "parse_directory", "parse_evidence"]
