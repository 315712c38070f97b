"""Development: a CA of one's own in Apple's place, and an attestation key in a file. Proves nothing about a machine.

The same OIDs and the same checks as for a Mac, so that what works here works there; only the root differs, and it
stands in the trust file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ringfence_house.attestation import posture
from ringfence_house.attestation.chain import verify_chain
from ringfence_house.attestation.endorsement import Endorsement
from ringfence_house.attestation.issue import freshness_of
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.token import COORDINATE_BYTES, public_jwk, spki_of
from ringfence_house.protocol.names import CLOCK_SKEW_S

LEAF_LIFE_S: Final = 7 * 86_400
_CA_LIFE: Final = timedelta(days=3650)
_ROOT_FILE, _ISSUER_FILE, _KEY_FILE = "ca-root.pem", "ca-issuer.pem", "ca-issuer.key"


class SoftwareDev:
    """Verifies chains that end at a development CA of the trust file."""

    type: Tier = "software-dev"

    def __init__(self, development_ca: Sequence[bytes]) -> None:
        self._roots = tuple(x509.load_der_x509_certificate(root) for root in development_ca)

    def verify(self, x5c: Sequence[bytes], now: float) -> Endorsement:
        """See `EndorsementVerifier`."""
        return posture.read_posture(verify_chain(x5c, self._roots, now), self.type, now)


class FileKey:
    """An attestation key in a file that only its owner may read. `repr` shows nothing of it."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "FileKey()"

    @classmethod
    def open(cls, path: Path) -> FileKey:
        """The key at `path`, made now if there is none.

        Raises:
            ValueError: others may read the file, or it holds no P-256 key.
            OSError: it cannot be read or written.
        """
        if not path.exists():
            _write_secret(path, ec.generate_private_key(ec.SECP256R1()))
        return cls(_read_secret(path))

    def jwk(self) -> Mapping[str, str]:
        """See `AttestationKey`."""
        return public_jwk(self._key.public_key())

    def spki(self) -> bytes:
        """See `AttestationKey`."""
        return spki_of(self._key.public_key())

    def sign(self, data: bytes) -> bytes:
        """See `AttestationKey`."""
        return raw_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))


def raw_signature(der: bytes) -> bytes:
    """An ECDSA signature on P-256 as JWS wants it, `r || s`, from its DER."""
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(COORDINATE_BYTES, "big") + s.to_bytes(COORDINATE_BYTES, "big")


class DevelopmentCa:
    """A root, and the issuer below it that signs leaves. The root's key is thrown away once the issuer is made."""

    def __init__(self, root: x509.Certificate, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._root = root
        self._issuer = issuer
        self._key = key

    def __repr__(self) -> str:
        return "DevelopmentCa()"

    @property
    def root(self) -> bytes:
        """The root in DER, for the trust file."""
        return self._root.public_bytes(Encoding.DER)

    @classmethod
    def open(cls, folder: Path, now: float) -> DevelopmentCa:
        """The CA that is kept in `folder`, made now if there is none.

        Raises:
            ValueError: a file in there is damaged, or others may read the key.
            OSError: the folder cannot be read or written.
        """
        if not (folder / _KEY_FILE).exists():
            _make_ca(folder, now)
        root, issuer = (
            x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in (_ROOT_FILE, _ISSUER_FILE)
        )
        return cls(root, issuer, _read_secret(folder / _KEY_FILE))

    def issue_leaf(
        self, spki: bytes, *, serial: str, udid: str, os_version: str, now: float, life_s: int = LEAF_LIFE_S
    ) -> tuple[bytes, bytes]:
        """The chain that endorses the key of `spki` for a device in good posture: leaf and issuer, in DER."""
        values = {
            posture.SERIAL: serial.encode("ascii"),
            posture.UDID: udid.encode("ascii"),
            posture.OS_VERSION: os_version.encode("ascii"),
            posture.FRESHNESS: freshness_of(spki),
            posture.SIP: posture.GOOD_INTEGER,
            posture.BOOT_POLICY: posture.GOOD_BOOT_POLICY,
            posture.KEXTS: posture.GOOD_INTEGER,
        }
        # The leaf's own key signs nothing, as with Apple: what is endorsed is the freshness.
        subject_key = ec.generate_private_key(ec.SECP256R1()).public_key()
        leaf = _draft("Ringfence development device", self._issuer.subject, subject_key, now, timedelta(seconds=life_s))
        leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        leaf = leaf.add_extension(_usage(signs_certificates=False), critical=True)
        for oid, value in values.items():
            leaf = leaf.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False)
        signed = leaf.sign(self._key, hashes.SHA256())
        return signed.public_bytes(Encoding.DER), self._issuer.public_bytes(Encoding.DER)


def _make_ca(folder: Path, now: float) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    root_key, issuer_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _name("Ringfence development root")
    root = _authority("Ringfence development root", root_name, root_key.public_key(), root_key, now)
    issuer = _authority("Ringfence development issuer", root_name, issuer_key.public_key(), root_key, now)
    (folder / _ROOT_FILE).write_bytes(root.public_bytes(Encoding.PEM))
    (folder / _ISSUER_FILE).write_bytes(issuer.public_bytes(Encoding.PEM))
    _write_secret(folder / _KEY_FILE, issuer_key)  # last: where it is, the rest is


def _authority(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, now: float
) -> x509.Certificate:
    draft = _draft(name, issuer, key, now, _CA_LIFE)
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return draft.add_extension(_usage(signs_certificates=True), critical=True).sign(signer, hashes.SHA256())


def _draft(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, life: timedelta
) -> x509.CertificateBuilder:
    made = datetime.fromtimestamp(int(now), UTC)
    return (
        x509.CertificateBuilder(issuer, _name(name), key, x509.random_serial_number())
        .not_valid_before(made - timedelta(seconds=CLOCK_SKEW_S))  # for clients whose clock is behind
        .not_valid_after(made + life)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_secret(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _read_secret(path: Path) -> ec.EllipticCurvePrivateKey:
    if path.stat().st_mode & 0o077:
        raise ValueError(f"others than its owner may read '{path.name}'; try: chmod 600")
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        raise ValueError(f"'{path.name}' holds no key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"'{path.name}' holds a key of another kind")  # noqa: TRY004  (a fault of the file)
    return key


__all__ = ["DevelopmentCa", "FileKey", "SoftwareDev", "raw_signature"]
