"""The trust file of a recipient: the first root of the release repository, and development CAs where they are wanted.

It is JSON: either the TUF root metadata as it stands, or
`{"v": 1, "root": {…TUF root…}, "development_ca": ["-----BEGIN CERTIFICATE-----…"]}`. It is read from disk and never
fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ringfence.errors import Unavailable
from ringfence_house.attestation.apple import AppleMda
from ringfence_house.attestation.development import SoftwareDev
from ringfence_house.attestation.endorsement import EndorsementVerifier
from ringfence_house.attestation.strict import canonical, strict_json

MAX_TRUST_BYTES: Final = 2**20
WHICH_FILE: Final = (
    "trust: the 1.root.json that 'ringfence house keys init' made, or the file that a development node names"
)
"""What a person can do who named another file."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trust:
    """What a client believes before it asks anybody: `root` is TUF root metadata, `development_ca` are roots in DER."""

    root: bytes
    development_ca: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Trust({len(self.root)} bytes of root, {len(self.development_ca)} development CAs)"

    @property
    def is_development(self) -> bool:
        """Whether software may stand in for a device: never so for real use."""
        return bool(self.development_ca)

    def verifiers(self) -> tuple[EndorsementVerifier, ...]:
        """One for each type of endorsement that is trusted; Apple's root is always the pinned one."""
        apple = AppleMda()
        return (SoftwareDev(self.development_ca), apple) if self.development_ca else (apple,)


def read_trust(path: Path) -> Trust:
    """The trust file at `path`.

    Raises:
        Unavailable: it is missing, too long, or no trust file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TRUST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise _refused(f"cannot read the trust file '{path.name}': {reason}") from None
    try:
        return parse_trust(data)
    except ValueError as error:
        raise _refused(f"'{path.name}' is not a root file of releases: {error}") from None


def parse_trust(data: bytes) -> Trust:
    """A trust file from its bytes.

    Raises:
        ValueError: it is none; the message says why.
    """
    if len(data) > MAX_TRUST_BYTES:
        raise ValueError("it is too long")
    document = _object(strict_json(data))
    if "signed" in document:
        return Trust(root=_root(document, data))
    if not document.keys() & {"v", "root"}:
        raise ValueError("it holds no signed root")
    if (
        type(document.get("v")) is not int
        or document["v"] != 1
        or not document.keys() <= {"v", "root", "development_ca"}
    ):
        raise ValueError("it is of a shape that is not known here")
    root = _object(document.get("root"))
    return Trust(
        root=_root(root, json.dumps(root).encode("utf-8")),
        development_ca=tuple(_certificate(pem) for pem in _list(document.get("development_ca", []))),
    )


def make_trust(root: bytes, development_ca: Sequence[bytes] = ()) -> bytes:
    """The bytes of a trust file: of TUF root metadata and of development roots in DER."""
    pems = [x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM).decode("ascii") for each in development_ca]
    return canonical({"v": 1, "root": json.loads(root), "development_ca": pems})


def _root(document: Mapping[str, object], data: bytes) -> bytes:
    signed = _object(document.get("signed"))
    if signed.get("_type") != "root" or "signatures" not in document:
        raise ValueError("its root is no root metadata of a repository")
    return data


def _certificate(pem: object) -> bytes:
    try:
        return x509.load_pem_x509_certificate(str(pem).encode("ascii")).public_bytes(Encoding.DER)
    except ValueError:
        raise ValueError("a development ca is no certificate") from None


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object, or lacks one")  # noqa: TRY004  (a fault of bytes, not of a caller)
    return cast("dict[str, object]", value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("its development_ca is no list")  # noqa: TRY004  (a fault of bytes, not of a caller)
    return cast("list[object]", value)


def _refused(message: str) -> Unavailable:
    return Unavailable(message, reason="not_configured", way_out=WHICH_FILE)


__all__ = ["WHICH_FILE", "Trust", "make_trust", "parse_trust", "read_trust"]
