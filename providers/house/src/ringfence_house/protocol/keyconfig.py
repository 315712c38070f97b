"""Key configurations (RFC 9458, section 3): which key a node can open requests with."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ringfence_house.protocol.faults import ProtocolFault
from ringfence_house.protocol.hpke import AEAD_ID, KDF_ID, KEM_ID, KEY_BYTES, check_public

_KEM: Final = KEM_ID.to_bytes(2, "big")
SUITE: Final = KDF_ID.to_bytes(2, "big") + AEAD_ID.to_bytes(2, "big")
"""The one symmetric suite, as it stands in configurations and headers."""
_END: Final = len(SUITE).to_bytes(2, "big") + SUITE
_LENGTH: Final = 1 + len(_KEM) + KEY_BYTES + len(_END)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig:
    """A public key and its number (0 … 255) at its node. `encoded` is the configuration as it goes over the wire."""

    key_id: int
    public: bytes
    encoded: bytes

    @property
    def kid(self) -> str:
        """The name of the key everywhere: base64url, without padding, of SHA-256 of `encoded`."""
        return urlsafe_b64encode(sha256(self.encoded).digest()).rstrip(b"=").decode()

    @property
    def header(self) -> bytes:
        """What a request sealed with it begins with (RFC 9458, section 4.1): key id, KEM, KDF, AEAD."""
        return request_header(self.key_id)


def request_header(key_id: int) -> bytes:
    """The header of a request for the key of that number."""
    return bytes([key_id]) + _KEM + SUITE


def make_key_config(key_id: int, public: bytes) -> KeyConfig:
    """The configuration of a key.

    Raises:
        ProtocolFault: the number is not one byte, or the key not one of X25519.
    """
    if not 0 <= key_id <= 0xFF:  # noqa: PLR2004  (one byte)
        raise ProtocolFault("the number of a key is not one byte")
    check_public(public)
    return KeyConfig(key_id=key_id, public=public, encoded=bytes([key_id]) + _KEM + public + _END)


def parse_key_config(data: bytes) -> KeyConfig:
    """Exactly one configuration with exactly the one suite, and nothing behind it.

    Raises:
        ProtocolFault: it is anything else, or its key is of low order.
    """
    if len(data) != _LENGTH:
        raise ProtocolFault("a key configuration has another length than one key with one suite")
    config = make_key_config(data[0], data[1 + len(_KEM) : -len(_END)])
    # INVARIANT: there is one spelling of a configuration, so its digest names it.
    if config.encoded != data:
        raise ProtocolFault("a key configuration names another suite")
    return config


__all__ = ["SUITE", "KeyConfig", "make_key_config", "parse_key_config", "request_header"]
