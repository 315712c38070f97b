"""HPKE (RFC 9180), base mode, with one suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM.

The only module that knows pyhpke. No function takes a suite, a mode or an ephemeral key.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from ringfence_house.protocol.faults import ProtocolFault

if TYPE_CHECKING:
    from pyhpke import CipherSuite, ContextInterface, KEMKeyInterface

KEM_ID: Final = 0x0020
KDF_ID: Final = 0x0001
AEAD_ID: Final = 0x0001
KEY_BYTES: Final = 32
"""Of a public key, a private key and an encapsulated key."""
AEAD_KEY_BYTES: Final = 16
AEAD_NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class PrivateKey:
    """A private key, in memory only. Nothing prints it."""

    __slots__ = ("kem_key", "public")

    def __init__(self, key: KEMKeyInterface, public: bytes) -> None:
        self.kem_key = key
        """For this module."""
        self.public = public
        """The public key, 32 bytes."""

    def __repr__(self) -> str:
        return "PrivateKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("a private key stays in memory")


class _Context:
    __slots__ = ("_context",)

    def __init__(self, context: ContextInterface) -> None:
        self._context = context

    def export(self, context: bytes, length: int) -> bytes:
        """A secret that both sides derive from `context`."""
        return self._context.export(context, length)


class Sender(_Context):
    """Seals messages in order. `enc` is what the receiver needs."""

    __slots__ = ("enc",)

    def __init__(self, enc: bytes, context: ContextInterface) -> None:
        super().__init__(context)
        self.enc = enc

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        """The next message, sealed."""
        return self._context.seal(plaintext, aad)


class Receiver(_Context):
    """Opens messages in order. A message that does not open ends it: its counter has gone on."""

    __slots__ = ("_failed",)

    def __init__(self, context: ContextInterface) -> None:
        super().__init__(context)
        self._failed = False

    def open(self, ciphertext: bytes, aad: bytes = b"") -> bytes:
        """The next message.

        Raises:
            ProtocolFault: it is not what the sender sealed next, or an earlier one was not.
        """
        if not self._failed:
            try:
                return self._context.open(ciphertext, aad)
            except Exception:  # noqa: BLE001  (whatever pyhpke raises here, the message did not open)
                self._failed = True
        raise ProtocolFault("a sealed message does not open")


def generate() -> PrivateKey:
    """A new private key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415  (slow, so on first use)

    return private_key(X25519PrivateKey.generate().private_bytes_raw())


def private_key(raw: bytes) -> PrivateKey:
    """The private key of these 32 bytes.

    Raises:
        ProtocolFault: they are not 32.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415  (slow, so on first use)
    from pyhpke import KEMKey  # noqa: PLC0415  (slow, so on first use)

    if len(raw) != KEY_BYTES:
        raise ProtocolFault("a private key has 32 bytes")
    key = X25519PrivateKey.from_private_bytes(raw)
    return PrivateKey(KEMKey.from_pyca_cryptography_key(key), key.public_key().public_bytes_raw())


def setup_sender(public: bytes, info: bytes) -> Sender:
    """A context to seal for the holder of `public`, with a new ephemeral key.

    Raises:
        ProtocolFault: `public` is no key, or one of low order.
    """
    try:
        return Sender(*_suite().create_sender_context(_suite().kem.deserialize_public_key(public), info))
    except ValueError:
        # RFC 9180, 7.1.4: a shared secret of zeros, which a point of low order gives, is refused by the exchange.
        raise ProtocolFault("a public key is not one of X25519") from None


def setup_receiver(key: PrivateKey, enc: bytes, info: bytes) -> Receiver:
    """A context to open what was sealed for `key`.

    Raises:
        ProtocolFault: `enc` is no key, or one of low order.
    """
    try:
        return Receiver(_suite().create_recipient_context(enc, key.kem_key, info))
    except ValueError:
        raise ProtocolFault("an encapsulated key is not one of X25519") from None


def check_public(public: bytes) -> None:
    """Nothing, if messages can be sealed for `public`.

    Raises:
        ProtocolFault: it is no key, or one of low order.
    """
    setup_sender(public, b"")


@cache
def _suite() -> CipherSuite:
    from pyhpke import AEADId, CipherSuite, KDFId, KEMId  # noqa: PLC0415  (slow, so on first use)

    return CipherSuite.new(KEMId(KEM_ID), KDFId(KDF_ID), AEADId(AEAD_ID))


__all__ = [
    "AEAD_ID",
    "AEAD_KEY_BYTES",
    "AEAD_NONCE_BYTES",
    "KDF_ID",
    "KEM_ID",
    "KEY_BYTES",
    "TAG_BYTES",
    "PrivateKey",
    "Receiver",
    "Sender",
    "check_public",
    "generate",
    "private_key",
    "setup_receiver",
    "setup_sender",
]
