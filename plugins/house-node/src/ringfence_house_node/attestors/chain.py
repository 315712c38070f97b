"""The certificates that an MDM server received from a Mac, in whichever form it hands them on.

The answer to the command `DeviceInformation` holds `DevicePropertiesAttestation`: an array of certificates in DER, leaf
first. Servers show it as the property list it came in, as JSON with base64, or as PEM.
"""

from __future__ import annotations

import json
import plistlib
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast
from xml.parsers.expat import ExpatError

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ringfence.errors import Unavailable

MAX_CHAIN_BYTES: Final = 256 * 1024
ATTESTATION: Final = "DevicePropertiesAttestation"
_WRAPPERS: Final = ("QueryResponses", "query_responses", ATTESTATION)
_MOST_WRAPPERS: Final = 4


def read_chain(path: Path) -> tuple[bytes, ...]:
    """The certificates in the file at `path`, in DER and in their order, without a root.

    Raises:
        Unavailable: it is missing, or holds none in a form that is known here.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CHAIN_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise _unreadable(path, f"cannot be read: {reason}") from None
    if len(data) > MAX_CHAIN_BYTES:
        raise _unreadable(path, "is too long")
    try:
        return parse_chain(data)
    except ValueError:
        raise _unreadable(path, "holds no certificates in PEM, a property list or JSON") from None


def parse_chain(data: bytes) -> tuple[bytes, ...]:
    """The certificates in `data`, in DER and in their order, without a root.

    Raises:
        ValueError: there are none, or they are in another form.
    """
    if b"-----BEGIN CERTIFICATE-----" in data and not data.lstrip().startswith((b"{", b"[", b"<")):
        found = x509.load_pem_x509_certificates(data)
    else:
        found = [_certificate(each) for each in _array(_document(data))]
    # The root comes along with some servers; a client takes its own and refuses a chain that brings one.
    chain = tuple(each.public_bytes(Encoding.DER) for each in found if each.subject != each.issuer)
    if not chain:
        raise ValueError("no certificates")
    return chain


def _document(data: bytes) -> object:
    if data.startswith(b"bplist") or data.lstrip().startswith(b"<"):
        try:
            return cast("object", plistlib.loads(data))
        except (ExpatError, plistlib.InvalidFileException, IndexError, OverflowError, RecursionError):
            raise ValueError("no property list") from None
    try:
        return cast("object", json.loads(data))
    except RecursionError:
        raise ValueError("no JSON") from None


def _array(document: object) -> Sequence[object]:
    """The array itself, or the one inside of a whole answer to the command."""
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(document, dict):
            break
        wrapper = cast("dict[str, object]", document)
        document = next((wrapper[name] for name in _WRAPPERS if name in wrapper), None)
    if not isinstance(document, list):
        raise ValueError("no array of certificates")  # noqa: TRY004  (a fault of the file, not of a caller)
    return cast("list[object]", document)


def _certificate(value: object) -> x509.Certificate:
    if isinstance(value, bytes):
        return x509.load_der_x509_certificate(value)
    if not isinstance(value, str):
        raise ValueError("no certificate")  # noqa: TRY004  (a fault of the file, not of a caller)
    if value.startswith("-----BEGIN"):
        return x509.load_pem_x509_certificate(value.encode())
    return x509.load_der_x509_certificate(b64decode("".join(value.split()), validate=True))


def _unreadable(path: Path, reason: str) -> Unavailable:
    return Unavailable(
        f"the chain '{path.name}' {reason}",
        reason="not_configured",
        way_out="store there what the mdm server received as DevicePropertiesAttestation",
    )


__all__ = ["ATTESTATION", "parse_chain", "read_chain"]
