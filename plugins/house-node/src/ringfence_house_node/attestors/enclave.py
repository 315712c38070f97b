"""The attestation key in the Secure Enclave of a Mac, through Apple's Security framework.

Not run in our tests: they have no Mac. The calls are those of Apple's "Protecting keys with the Secure Enclave"; all
that stands around them is tested with a double of the framework. The process must be signed with a keychain access
group, or the system refuses to keep the key (errSecMissingEntitlement).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from ringfence.errors import Unavailable
from ringfence_house.attestation.development import raw_signature
from ringfence_house.attestation.token import public_jwk, spki_of

DEFAULT_LABEL: Final = "ringfence-house-attestation"
_FOUND, _NOT_FOUND = 0, -25300
_MISSING_ENTITLEMENT: Final = -34018


class EnclaveKey:
    """A P-256 key that this Mac's Secure Enclave made and will not give away. `repr` shows nothing of it."""

    def __init__(self, security: Any, key: Any) -> None:
        self._security = security
        self._key = key
        self._public = _public(security, key)

    def __repr__(self) -> str:
        return "EnclaveKey()"

    @classmethod
    def open(cls, label: str = DEFAULT_LABEL) -> EnclaveKey:
        """The key of that label, made now if there is none.

        Raises:
            Unavailable: this is no Mac, the framework's bindings are not installed, or the enclave refuses.
        """
        security = _framework()
        key = _find(security, label)
        return cls(security, _create(security, label) if key is None else key)

    def jwk(self) -> Mapping[str, str]:
        """See `AttestationKey`."""
        return public_jwk(self._public)

    def spki(self) -> bytes:
        """See `AttestationKey`."""
        return spki_of(self._public)

    def sign(self, data: bytes) -> bytes:
        """See `AttestationKey`."""
        algorithm = self._security.kSecKeyAlgorithmECDSASignatureMessageX962SHA256
        signature, error = self._security.SecKeyCreateSignature(self._key, algorithm, data, None)
        if signature is None:
            raise _refused("does not sign", error)
        return raw_signature(bytes(signature))


def _framework() -> Any:
    if platform.system() != "Darwin":
        raise Unavailable(
            "the secure enclave is there on a mac only",
            reason="wrong_platform",
            way_out="a mac for the node, or --dev for a development house",
        )
    try:
        return import_module("Security")
    except ImportError:
        raise Unavailable(
            "the bindings of apple's security framework are not installed",
            reason="no_package",
            way_out="pip install pyobjc-framework-Security",
        ) from None


def _find(security: Any, label: str) -> Any:
    query = {
        security.kSecClass: security.kSecClassKey,
        security.kSecAttrKeyType: security.kSecAttrKeyTypeECSECPrimeRandom,
        security.kSecAttrTokenID: security.kSecAttrTokenIDSecureEnclave,
        security.kSecAttrApplicationTag: label.encode(),
        security.kSecUseDataProtectionKeychain: True,
        security.kSecReturnRef: True,
    }
    status, key = security.SecItemCopyMatching(query, None)
    if status == _NOT_FOUND:
        return None
    if status != _FOUND:
        raise _refused("does not find its key", status)
    return key


def _create(security: Any, label: str) -> Any:
    # Usable without a person at the keyboard, and never on another machine or in a backup.
    access, error = security.SecAccessControlCreateWithFlags(
        None,
        security.kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        security.kSecAccessControlPrivateKeyUsage,
        None,
    )
    if access is None:
        raise _refused("makes no key", error)
    attributes = {
        security.kSecAttrKeyType: security.kSecAttrKeyTypeECSECPrimeRandom,
        security.kSecAttrKeySizeInBits: 256,
        security.kSecAttrTokenID: security.kSecAttrTokenIDSecureEnclave,
        security.kSecUseDataProtectionKeychain: True,
        security.kSecPrivateKeyAttrs: {
            security.kSecAttrIsPermanent: True,
            security.kSecAttrApplicationTag: label.encode(),
            security.kSecAttrAccessControl: access,
        },
    }
    key, error = security.SecKeyCreateRandomKey(attributes, None)
    if key is None:
        raise _refused("makes no key", error)
    return key


def _public(security: Any, key: Any) -> ec.EllipticCurvePublicKey:
    point, error = security.SecKeyCopyExternalRepresentation(security.SecKeyCopyPublicKey(key), None)
    if point is None:
        raise _refused("does not show its public key", error)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes(point))


def _refused(what: str, error: Any) -> Unavailable:
    # A status, or an NSError: of that its number alone, whose words we do not know.
    code = error if isinstance(error, int) else error.code() if error is not None else 0
    way_out = "sign the node's app with a keychain access group" if code == _MISSING_ENTITLEMENT else None
    return Unavailable(f"the secure enclave {what} (status {code})", reason="not_configured", way_out=way_out)


__all__ = ["DEFAULT_LABEL", "EnclaveKey"]
