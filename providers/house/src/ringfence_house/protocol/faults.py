"""What is wrong with bytes of the other side. The words are ours; nothing of the bytes is in them."""

from __future__ import annotations


class ProtocolFault(Exception):
    """Bytes that the protocol does not allow. `str()` is lower case and holds no content."""


class KeyUnknown(ProtocolFault):
    """The request was sealed for a key that is not, or no more, here."""


class Truncated(ProtocolFault):
    """The bytes ended before the end that the protocol marks."""


class TooLong(ProtocolFault):
    """More bytes than the protocol allows."""


__all__ = ["KeyUnknown", "ProtocolFault", "TooLong", "Truncated"]
