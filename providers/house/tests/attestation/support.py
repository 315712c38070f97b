"""Apple-shaped chains and the evidence above them, made link by link without the code under test."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ringfence_house.attestation.apple import AppleMda
from ringfence_house.attestation.endorsement import EndorsementVerifier
from ringfence_house.attestation.node import Tier, VerifiedNode
from ringfence_house.attestation.verify import verify
from ringfence_house.releases.reference import Device, Reference, Release

NOW: Final = 1_800_000_000.0
DAY: Final = 86_400
SERIAL_NUMBER: Final = "C02TEST00001"
UEID: Final = "AQIDBAUGBwgJCgsMDQ4PEA"
MODEL: Final = "house-large"
DIGEST: Final = {name: sha256(name.encode()).hexdigest() for name in ("code", "model", "config", "other")}
FRESH: Final = "1.2.840.113635.100.8.11.1"
SERIAL: Final = "1.2.840.113635.100.8.9.1"
UDID: Final = "1.2.840.113635.100.8.9.2"
OS: Final = "1.2.840.113635.100.8.10.1"
SIP: Final = "1.2.840.113635.100.8.13.1"
BOOT: Final = "1.2.840.113635.100.8.13.2"
KEXTS: Final = "1.2.840.113635.100.8.13.3"
_STAND_IN: Final = "1.2.840.113635.100.8.13.9"
_ECDSA_SHA384: Final = bytes.fromhex("300a06082a8648ce3d040303")

Key = ec.EllipticCurvePrivateKey


def new_key(curve: ec.EllipticCurve | None = None) -> Key:
    return ec.generate_private_key(curve or ec.SECP256R1())


def spki(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def freshness(key: Key) -> bytes:
    return sha256(b"ringfence-ak-v1\0" + spki(key)).digest()


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_es256(key: Key, data: bytes) -> bytes:
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def jwk(key: Key) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    x, y = (base64url(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def key_config(key_id: int = 1) -> bytes:
    public = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    return bytes([key_id]) + b"\x00\x20" + public + b"\x00\x04\x00\x01\x00\x01"


def canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Apple Inc."),
        ]
    )


def certificate(
    subject: str,
    key: Key,
    issuer: str,
    signer: Key,
    *,
    ca: bool,
    start: float = NOW - DAY,
    end: float = NOW + 365 * DAY,
    values: Mapping[str, bytes] | None = None,
    key_usage: bool = True,
    may_issue: bool | None = None,
    critical: bool = False,
) -> x509.Certificate:
    first = datetime.fromtimestamp(start, UTC)
    draft = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
    draft = draft.not_valid_before(first).not_valid_after(first + timedelta(seconds=end - start))
    draft = draft.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if key_usage:
        issues = ca if may_issue is None else may_issue
        usage = x509.KeyUsage(not ca, False, False, False, False, issues, ca, False, False)
        draft = draft.add_extension(usage, critical=True)
    for oid, value in (values or {}).items():
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
        draft = draft.add_extension(extension, critical=critical)
    return draft.sign(signer, hashes.SHA384())


def der(found: x509.Certificate) -> bytes:
    return found.public_bytes(Encoding.DER)


class Authority:
    """A root and one issuer below it, named as Apple's are."""

    ROOT = "Apple Enterprise Attestation Root CA"
    ISSUER = "Apple Enterprise Attestation Sub CA 1"

    def __init__(self) -> None:
        self.root_key, self.issuer_key = new_key(ec.SECP384R1()), new_key(ec.SECP384R1())
        self.root = certificate(self.ROOT, self.root_key, self.ROOT, self.root_key, ca=True)
        self.issuer = certificate(self.ISSUER, self.issuer_key, self.ROOT, self.root_key, ca=True)

    def leaf(self, values: Mapping[str, bytes], **settings: object) -> bytes:
        """A leaf of this issuer, by default seven days long."""
        given: dict[str, object] = {"ca": False, "end": NOW + 6 * DAY, "values": values, **settings}
        return der(certificate("device", new_key(), self.ISSUER, self.issuer_key, **given))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def leaf_that_says_twice(self, values: Mapping[str, bytes], oid: str, second: bytes) -> bytes:
        """A leaf with two extensions of one OID, which no builder makes: the bytes are exchanged and signed again."""
        leaf = certificate(
            "device", new_key(), self.ISSUER, self.issuer_key, ca=False, values={**values, _STAND_IN: second}
        )
        stand_in, meant = (x509.ObjectIdentifier(each) for each in (_STAND_IN, oid))
        tbs = leaf.tbs_certificate_bytes.replace(_der_oid(stand_in), _der_oid(meant))
        signature = self.issuer_key.sign(tbs, ec.ECDSA(hashes.SHA384()))
        return _tlv(0x30, tbs + _ECDSA_SHA384 + _tlv(0x03, b"\0" + signature))


def _der_oid(oid: x509.ObjectIdentifier) -> bytes:
    numbers = [int(part) for part in oid.dotted_string.split(".")]
    encoded = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, 0x80 | (number & 0x7F))
        encoded += bytes(digits)
    return _tlv(0x06, encoded)


def _tlv(tag: int, content: bytes) -> bytes:
    if (length := len(content)) < 0x80:
        return bytes([tag, length]) + content
    encoded = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(encoded)]) + encoded + content


APPLE: Final = Authority()
"""Stands in for Apple; `VERIFIERS` believe it and nobody else."""
VERIFIERS: Final[tuple[EndorsementVerifier, ...]] = (AppleMda(APPLE.root),)
AK: Final = new_key()
RELEASE: Final = Release(
    id="2026.11.1",
    code=DIGEST["code"],
    model=MODEL,
    model_digest=DIGEST["model"],
    config=DIGEST["config"],
    not_before=int(NOW) - 10 * DAY,
    not_after=int(NOW) + 10 * DAY,
    capabilities=frozenset({"text"}),
    context_tokens=32_768,
    min_os="14.2",
)
DEVICE: Final = Device(serial=SERIAL_NUMBER, ueid=UEID)
REFERENCE: Final = Reference(
    releases={RELEASE.id: RELEASE}, devices={SERIAL_NUMBER: DEVICE}, expires_at=NOW + DAY, version=7
)


def reference(*, release: Release = RELEASE, device: Device = DEVICE, expires_at: float = NOW + DAY) -> Reference:
    return Reference(releases={release.id: release}, devices={device.serial: device}, expires_at=expires_at, version=8)


def _same_bytes(data: bytes) -> bytes:
    return data


def _same_text(text: str) -> str:
    return text


def _same_document(document: dict[str, object]) -> object:
    return document


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Good evidence of a good Mac; a test replaces one part. `None` leaves a value or claim out."""

    ak: Key = AK
    endorsed: Key | None = None
    values: Mapping[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    leaf: Mapping[str, object] = field(default_factory=dict[str, object])
    x5c: Callable[[Mapping[str, bytes]], Sequence[bytes]] | None = None
    claims: Mapping[str, object] = field(default_factory=dict[str, object])
    config: bytes = field(default_factory=key_config)
    header: bytes = b'{"alg":"ES256","typ":"eat+jwt"}'
    payload: Callable[[bytes], bytes] = _same_bytes
    sign: Callable[[Key, bytes], bytes] = sign_es256
    token: Callable[[str], str] = _same_text
    jwk: Mapping[str, str] | None = None
    type: str = "apple-mda"
    document: Callable[[dict[str, object]], object] = _same_document
    encoded: Callable[[bytes], bytes] = _same_bytes

    def leaf_values(self) -> dict[str, bytes]:
        good: dict[str, bytes | None] = {
            SERIAL: SERIAL_NUMBER.encode(),
            UDID: b"00008112-001A2B3C4D5E6F70",
            OS: b"15.1",
            FRESH: freshness(self.endorsed or self.ak),
            SIP: b"\x02\x01\x00",
            BOOT: b"Full Security",
            KEXTS: b"\x02\x01\x00",
        }
        return {oid: value for oid, value in {**good, **self.values}.items() if value is not None}

    def chain(self) -> Sequence[bytes]:
        if self.x5c is not None:
            return self.x5c(self.leaf_values())
        return APPLE.leaf(self.leaf_values(), **self.leaf), der(APPLE.issuer)

    def good_claims(self) -> dict[str, object]:
        return {
            "eat_profile": "tag:ringfence,2026:house-node/1",
            "iat": int(NOW),
            "nbf": int(NOW),
            "exp": int(NOW) + 3600,
            "ueid": UEID,
            "rf_ohttp": base64url(self.config),
            "rf_release": {"id": RELEASE.id, **{part: DIGEST[part] for part in ("code", "model", "config")}},
            "rf_boot": "b" * 22,
            "dbgstat": "disabled-since-boot",
        }

    def eat(self) -> str:
        claims = {key: value for key, value in {**self.good_claims(), **self.claims}.items() if value is not None}
        signed = f"{base64url(self.header)}.{base64url(self.payload(canonical(claims)))}"
        return self.token(f"{signed}.{base64url(self.sign(self.ak, signed.encode()))}")

    def evidence(self) -> bytes:
        chain = [b64encode(each).decode() for each in self.chain()]
        endorsement: dict[str, object] = {"type": self.type, "x5c": chain}
        document: dict[str, object] = {
            "v": 1,
            "eat": self.eat(),
            "ak": self.jwk or jwk(self.ak),
            "endorsement": endorsement,
        }
        return self.encoded(canonical(self.document(document)))

    def verify(
        self,
        *,
        at: Reference = REFERENCE,
        verifiers: Sequence[EndorsementVerifier] = VERIFIERS,
        min_tier: Tier = "apple-mda",
        model: str | None = MODEL,
        now: float = NOW,
        nonce: str | None = None,
    ) -> VerifiedNode:
        return verify(self.evidence(), at, verifiers, min_tier=min_tier, model=model, now=now, nonce=nonce)


GOOD: Final = Draft()


def with_values(**values: bytes | None) -> Draft:
    """Good evidence whose leaf says these values instead."""
    oids = {"serial": SERIAL, "udid": UDID, "os": OS, "fresh": FRESH, "sip": SIP, "boot": BOOT, "kexts": KEXTS}
    return replace(GOOD, values={oids[short]: value for short, value in values.items()})


def with_claims(**claims: object) -> Draft:
    """Good evidence whose token claims this instead."""
    return replace(GOOD, claims=claims)
