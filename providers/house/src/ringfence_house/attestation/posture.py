"""What a device leaf says: identity, freshness and posture, under Apple's OIDs 1.2.840.113635.100.8.*.

Sources: Apple, "Managed Device Attestation" (Platform Deployment) and the response to the MDM command
`DeviceInformation`, key `DevicePropertiesAttestation`.
"""

from __future__ import annotations

import re
from typing import Final

from cryptography import x509

from ringfence_house.attestation.endorsement import Endorsement
from ringfence_house.attestation.node import Tier
from ringfence_house.attestation.refusal import EvidenceRefused
from ringfence_house.protocol.names import MAX_POSTURE_AGE_S

_ARC: Final = "1.2.840.113635.100.8"
SERIAL: Final = f"{_ARC}.9.1"
UDID: Final = f"{_ARC}.9.2"
OS_VERSION: Final = f"{_ARC}.10.1"
FRESHNESS: Final = f"{_ARC}.11.1"
SIP: Final = f"{_ARC}.13.1"
BOOT_POLICY: Final = f"{_ARC}.13.2"
KEXTS: Final = f"{_ARC}.13.3"

GOOD_INTEGER: Final = b"\x02\x01\x00"
"""DER INTEGER 0: good, for `SIP` and `KEXTS`. They are no BOOLEANs, and 1 is bad."""
GOOD_BOOT_POLICY: Final = b"Full Security"
"""As raw bytes, without a DER string around it."""
FRESHNESS_BYTES: Final = 32

_SERIAL = re.compile(rb"[A-Z0-9]{8,20}")
_UDID = re.compile(rb"[A-Fa-f0-9-]{20,40}")
_OS_VERSION = re.compile(rb"[0-9]{1,4}(\.[0-9]{1,4}){0,3}")


def read_posture(leaf: x509.Certificate, tier: Tier, now: float) -> Endorsement:
    """What a leaf whose path was verified says of its device.

    Raises:
        EvidenceRefused: a value is absent, blank or bad, or the posture is older than 8 days at `now`.
    """
    values = _values(leaf)
    # INVARIANT: exact bytes. Another encoding of the same number, or a character more, is not good.
    _require(values.get(SIP) == GOOD_INTEGER, "system integrity protection is not attested as on")
    _require(values.get(BOOT_POLICY) == GOOD_BOOT_POLICY, "the boot policy is not attested as full security")
    _require(values.get(KEXTS) == GOOD_INTEGER, "third-party kernel extensions are not attested as refused")
    freshness = values.get(FRESHNESS, b"")
    _require(len(freshness) == FRESHNESS_BYTES, "the freshness is absent, or not 32 raw bytes")
    issued_at = leaf.not_valid_before_utc.timestamp()
    _require(issued_at + MAX_POSTURE_AGE_S > now, "the posture is more than 8 days old")
    return Endorsement(
        tier=tier,
        serial=_text(values, SERIAL, _SERIAL, "serial number"),
        udid=_text(values, UDID, _UDID, "udid"),
        os_version=_text(values, OS_VERSION, _OS_VERSION, "version of the system"),
        freshness=freshness,
        issued_at=issued_at,
        not_after=leaf.not_valid_after_utc.timestamp(),
    )


def _values(leaf: x509.Certificate) -> dict[str, bytes]:
    try:
        extensions = list(leaf.extensions)
    except Exception:  # noqa: BLE001  (whatever a parser raises of strange bytes)
        raise EvidenceRefused("endorsement", "the leaf says something twice, or cannot be read") from None
    return {
        extension.oid.dotted_string: extension.value.value
        for extension in extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }


def _text(values: dict[str, bytes], oid: str, pattern: re.Pattern[bytes], what: str) -> str:
    value = values.get(oid, b"")
    _require(pattern.fullmatch(value) is not None, f"the {what} is absent or malformed")
    return value.decode("ascii")


def _require(holds: bool, sentence: str) -> None:  # noqa: FBT001  (an assertion that cannot be switched off)
    if not holds:
        raise EvidenceRefused("endorsement", sentence)


__all__ = [
    "BOOT_POLICY",
    "FRESHNESS",
    "GOOD_BOOT_POLICY",
    "GOOD_INTEGER",
    "KEXTS",
    "OS_VERSION",
    "SERIAL",
    "SIP",
    "UDID",
    "read_posture",
]
